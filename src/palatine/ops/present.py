"""What is at a target now: as the `pre-restore` snapshot of it, or looked at for a dry run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from palatine.capture.outcomes import Taken
from palatine.capture.palace import Before, Captured, Options, capture
from palatine.capture.scratch import Scratch
from palatine.capture.signatures import Signatures
from palatine.errors import NameTaken, PathNotFound, SourceError, UnknownRevision
from palatine.layouts import registry
from palatine.model.names import join_palace
from palatine.model.snapshot import Artifact, CapturedAs, Health, Missing, Outside, Snapshot
from palatine.ops import parts
from palatine.ops.places import avoided, host, signature_file
from palatine.ops.planning import Planned, plan
from palatine.ops.protection import PRE_RESTORE
from palatine.ops.restoring import PreRestore
from palatine.ops.snapshot import Request, snapshot
from palatine.restore.task import Root
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored, newest
from palatine.store.trees import Source

_RECENT_US = 3600 * 1_000_000
"""A snapshot of an unchanged palace that is older is not tagged `pre-restore`, but made anew: its
tag protects it for a week from when it was made."""


@dataclass(frozen=True)
class Present:
    """What is there: the palace's root and those of its outside parts, by name, with their places.

    The palace's own name is empty. `missing` could not be captured. `before` is the snapshot; a
    dry run has none, and `source` then also has what is in no repository.
    """

    source: Source
    roots: dict[str, Root]
    places: dict[str, Path]
    missing: tuple[Missing, ...]
    before: PreRestore | None
    tagged: bool = False
    """Whether the snapshot got its tag just now."""
    stamps: Mapping[Path, int] = field(default_factory=dict)
    """Surveys of what is to be exchanged, from before it was captured."""


def known_as(repository: Repository, target: Path) -> Planned:
    """Return the name that a target has in this repository, or would be given."""
    last = newest(here(repository, target))
    (planned,) = plan([target], None, repository.reporter)
    if last is None:
        return planned
    one = last.snapshot
    return replace(planned, tenant=one.tenant, palace=one.palace, derived=False)


def here(repository: Repository, target: Path) -> list[Stored]:
    """Return the snapshots of a place on this host, under whatever name."""
    return [
        one
        for one in repository.list_snapshots()
        if (one.snapshot.host, one.snapshot.path) == (host(), os.fsencode(target))
    ]


def last_pre_restore(repository: Repository, target: Path) -> Stored:
    """Return the snapshot of what was at a target before the last restore over it.

    Raises UnknownRevision when there is none.
    """
    found = newest(one for one in here(repository, target) if PRE_RESTORE in one.tags)
    if found is None:
        raise UnknownRevision(
            f"nothing was restored over {target}: there is nothing to undo",
            "pal log lists its snapshots, and pal restore REV TARGET --replace puts one back",
        )
    return found


def pre_restore(repository: Repository, known: Planned, why: str) -> Present:
    """Snapshot what is there, with the tag `pre-restore`; the palace's lock is held.

    Raises NameTaken, SourceError, and what the repository raises.
    """
    began = repository.clock.monotonic()
    last = newest(here(repository, known.source))
    is_old = last and last.snapshot.wall_us + _RECENT_US < repository.clock.now_us()
    request = Request(
        known.source, known.tenant, known.palace, known.derived, why, (PRE_RESTORE,),
        force=bool(is_old), layout=known.layout,
    )  # fmt: skip
    try:
        done = snapshot(repository, request)
    except NameTaken as error:
        name = join_palace(known.tenant, "NAME")
        raise NameTaken(
            f"what is at {known.source} is to be snapshotted first, but {error.message}",
            f"give it a name of its own: pal snapshot {known.source} --palace {name}",
        ) from error
    one = done.stored.snapshot
    seconds = repository.clock.monotonic() - began
    return Present(
        repository,
        {"": root_of(one), **{part.name: root_of(one, part) for part in one.outside}},
        {part.name: Path(os.fsdecode(part.place)) for part in one.outside},
        one.missing,
        PreRestore(done.stored, done.fresh, seconds),
        tagged=done.fresh or last is None or PRE_RESTORE not in last.tags,
    )


@contextlib.contextmanager
def looked_at(
    repository: Repository,
    known: Planned,
    old: Snapshot | None,
    beside: Mapping[str, Path] | None = None,
    whole: bool = False,
) -> Iterator[Present]:
    """Look at what is there and keep nothing of it; `old` is a snapshot that may be like it.

    `beside` are the places of outside parts by their names, unless the layout is to say them. With
    `whole` the source has all bytes of what is there, else only what comparing needs. Parts that
    cannot be read are missing. Raises SourceError.
    """
    if beside is None:
        found = parts.places(registry.by_name(known.layout), known.source, known.source)
        beside = {one.name: one.place.resolve() for one in found}
    with contextlib.closing(Scratch(repository, repository.digest, whole)) as scratch:
        main = _captured(repository, known, known.source, (scratch, old, b""))
        roots, missing = {"": _root(main)}, list(main.findings.missing)
        for name, place in beside.items():
            prefix = b"@" + name.encode()
            try:
                part = _captured(repository, known, place, (scratch, old, prefix))
            except (PathNotFound, SourceError) as error:
                missing.append(Missing(prefix, error.message))
                continue
            roots[name] = _root(part)
            unread = part.findings.missing
            missing += [Missing(prefix + b"/" + one.path, one.reason) for one in unread]
        yield Present(scratch, roots, dict(beside), tuple(missing), None)


def root_of(snapshot: Snapshot, part: Outside | None = None) -> Root:
    """Return the root of a snapshot, or of an outside part of it, with what is known of it."""
    prefix = b"@" + part.name.encode() + b"/" if part else b""
    mine = [
        one
        for one in snapshot.artifacts
        if one.path.startswith(prefix) and (part or not one.path.startswith(b"@"))
    ]
    torn = {one.path.removeprefix(prefix) for one in mine if one.captured == CapturedAs.TORN}
    databases = {one.path.removeprefix(prefix) for one in mine if _is_database(one)}
    source = part or snapshot
    return Root(source.root, source.owner, frozenset(databases), frozenset(torn))


def forget_tag(repository: Repository, now: Present) -> None:
    """Take the tag away again after a restore that changed nothing: there is nothing to undo."""
    if now.tagged and now.before is not None:
        repository.snapshots.remove_tag(now.before.stored, PRE_RESTORE)


def _is_database(one: Artifact) -> bool:
    """Whether a snapshot says that an artifact is a database; layouts have kinds of their own."""
    pinned = one.captured == CapturedAs.PINNED
    return pinned or one.kind == "sqlite" or one.health != Health.UNKNOWN


def _captured(
    repository: Repository,
    known: Planned,
    place: Path,
    how: tuple[Scratch, Snapshot | None, bytes],
) -> Captured:
    scratch, old, prefix = how
    part, _ = old.split(prefix) if old else (None, b"")
    root = part.root if part else old.root if old and not prefix else None
    file = signature_file(repository, known.tenant, known.palace, place)
    clock = repository.clock
    with contextlib.closing(Signatures(file)) as signatures:
        return capture(
            place, scratch, repository.config.chunking, Options(avoid=avoided(repository)),
            Before(clock.now_ns(), signatures, root.tree if root else None, clock),
            repository.reporter,
        )  # fmt: skip


def _root(found: Captured) -> Root:
    databases = {path for path, taken in found.databases.items() if isinstance(taken, Taken)}
    return Root(found.root, found.owner, frozenset(databases), frozenset(found.findings.torn))
