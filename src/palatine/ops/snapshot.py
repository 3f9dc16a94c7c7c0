"""snapshot: capture one palace and commit it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from palatine.capture.outcomes import Taken
from palatine.capture.palace import Before, Captured, Options, Place, capture_together
from palatine.capture.signatures import UNKNOWN, Signatures
from palatine.errors import NameTaken, PalatineError, Refused
from palatine.ids import Kind, ObjectId
from palatine.layouts.base import Layout
from palatine.model.names import check_label, check_message, join_palace
from palatine.model.snapshot import (
    Artifact,
    CapturedAs,
    Health,
    Snapshot,
    Stats,
    encode_snapshot_file,
)
from palatine.ops import health, parts
from palatine.ops.places import avoided, host, signature_file, user
from palatine.store.repository import Repository
from palatine.store.session import Session
from palatine.store.snapshots import Stored, newest
from palatine.store.writer import Writer

PROGRAM = "palatine"


@dataclass(frozen=True)
class Request:
    """What to snapshot, and as what.

    `derived` says that nobody chose the name: then a name that another path holds is refused.
    `check`: have SQLite check the databases whose health is not known (with `force`, all).
    `layout` is the name of the palace's layout; without one it is recognised. `merged` are
    snapshots that were merged into what is there: parents besides the first.
    """

    source: Path
    tenant: str
    palace: str
    derived: bool = False
    message: str = ""
    tags: Sequence[str] = ()
    force: bool = False
    capture: Options = field(default_factory=Options)
    check: bool = False
    layout: str | None = None
    merged: Sequence[ObjectId] = ()


@dataclass(frozen=True)
class Done:
    """What came of it: the snapshot that now stands for the palace, new or not.

    `left_out` are things that no snapshot holds (sockets and the like), in words; `damaged`
    databases that a check found to be so; `longest_pin` seconds that databases were held still;
    `hook_failures` hooks that had to succeed and did not, in words; `notes` what there is to say of
    the capture of a path, in words.
    """

    stored: Stored
    fresh: bool
    left_out: tuple[str, ...]
    damaged: tuple[bytes, ...] = ()
    longest_pin: float = 0.0
    hook_failures: tuple[str, ...] = ()
    notes: tuple[tuple[bytes, str], ...] = ()


class _Sink:
    """A repository's writer, with the repository to read from."""

    def __init__(self, repository: Repository, writer: Writer) -> None:
        self.put = writer.put
        self.present = writer.present
        self.name = writer.name
        self._repository = repository

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        return self._repository.get(kind, object_id)


def snapshot(repository: Repository, request: Request) -> Done:
    """Snapshot a palace.

    Nothing changed since its parent: no new snapshot, unless forced; tags go to the parent then.
    Raises NameTaken, Refused, PathNotFound, SourceError, and what the repository raises.
    """
    for tag in request.tags:
        check_label(tag)
    check_message(request.message)
    source = request.source.resolve()
    _check_place(repository, source)
    layout = _layout(repository, request, source)
    began_us, began_ns = repository.clock.now_us(), repository.clock.now_ns()
    history = _history(repository, request)
    if request.derived:
        _check_name(history, request, source)
    parent = newest(one for one in history if _is_here(one, source))
    after = max((one.snapshot.time_us for one in history), default=0)
    time_us = max(began_us, after + 1)
    with (
        contextlib.ExitStack() as stack,
        repository.writing(request.tenant, request.palace, time_us) as (session, writer),
    ):
        before = parent.snapshot if parent else None
        beside = parts.places(layout, request.source, source)
        outside = parts.wanted(beside, request.capture.excludes, before)
        # Outside parts first: graphs and logs speak of what is in the palace by the time they do
        wanted = [(one.place, one.old) for one in outside]
        wanted.append((source, before.root.tree if before else None))
        places = _places(repository, request, wanted, began_ns, stack)
        results = capture_together(
            places, _Sink(repository, writer), repository.config.chunking, repository.reporter
        )
        captured = results.pop()
        if not isinstance(captured, Captured):
            raise captured
        gathered = parts.gather(outside, results)
        writer.flush()
        made = _snapshot(request, source, captured, parent, (time_us, began_us), writer.added)
        made = parts.completed(made, layout, gathered, repository, before)
        databases = dict(gathered.databases(captured))
        known = health.Known(before, again=request.force)
        made = health.judged(repository, made, known, databases, request.check)
        said = request.force or request.merged  # that there was a merge is news
        if parent is not None and not said and _is_equal(made, parent.snapshot):
            done = _done(_kept(repository, parent, request), False, request, captured)
        else:
            stored = _commit(repository, session, made, request)
            done = _done(stored, True, request, captured)
        for place, result in zip(places, [*results, captured], strict=True):
            _note(place.before.signatures, result)
    return replace(done, longest_pin=gathered.longest_pin(captured), notes=_notes(databases))


def _layout(repository: Repository, request: Request, source: Path) -> Layout:
    from palatine.layouts import registry  # other commands need none of it

    if request.layout is not None:
        return registry.by_name(request.layout, repository.reporter)
    return registry.match(source, repository.reporter)


def _places(
    repository: Repository,
    request: Request,
    wanted: Sequence[tuple[Path, ObjectId | None]],
    began_ns: int,
    stack: contextlib.ExitStack,
) -> list[Place]:
    """Return what to capture: outside parts and the palace, each with the tree it had.

    The signatures that are opened are closed with `stack`.
    """
    settings = replace(request.capture, avoid=avoided(repository))
    main = request.source.resolve()
    places = []
    for source, old in wanted:
        file = signature_file(repository, request.tenant, request.palace, source)
        known = stack.enter_context(contextlib.closing(Signatures(file)))
        options = settings if source == main else replace(settings, excludes=())
        places.append(Place(source, options, Before(began_ns, known, old, repository.clock)))
    return places


def _commit(repository: Repository, session: Session, made: Snapshot, request: Request) -> Stored:
    object_id, data = encode_snapshot_file(made, repository.digest)
    stored = Stored(object_id, session.key, made, tuple(sorted(set(request.tags))))
    # Tags first: a tag without its snapshot is nothing, a snapshot without its tag may be collected
    for tag in stored.tags:
        repository.snapshots.add_tag(stored, tag)
    session.commit(data)
    return stored


def _kept(repository: Repository, parent: Stored, request: Request) -> Stored:
    for tag in request.tags:
        repository.snapshots.add_tag(parent, tag)
    tags = tuple(sorted({*parent.tags, *request.tags}))
    return parent._replace(tags=tags)


def _done(stored: Stored, fresh: bool, request: Request, captured: Captured) -> Done:
    artifacts = stored.snapshot.artifacts if request.check else ()
    damaged = tuple(one.path for one in artifacts if one.health == Health.DAMAGED)
    left_out = tuple(captured.findings.left_out)
    return Done(stored, fresh, left_out, damaged)


def _notes(databases: dict[bytes, Taken]) -> tuple[tuple[bytes, str], ...]:
    return tuple((path, taken.note) for path, taken in sorted(databases.items()) if taken.note)


def _note(signatures: Signatures, captured: Captured | PalatineError) -> None:
    """Note what was captured, for the next time; nothing of what could not be."""
    if not isinstance(captured, Captured):
        return
    noted = {
        path: taken.signature
        for path, taken in captured.databases.items()
        if isinstance(taken, Taken) and taken.signature != UNKNOWN
    }
    signatures.save(noted)


def _history(repository: Repository, request: Request) -> list[Stored]:
    return [
        one
        for one in repository.list_snapshots()
        if (one.snapshot.tenant, one.snapshot.palace) == (request.tenant, request.palace)
    ]


def _is_here(stored: Stored, source: Path) -> bool:
    return stored.snapshot.host == host() and stored.snapshot.path == os.fsencode(source)


def _check_name(history: list[Stored], request: Request, source: Path) -> None:
    holder = newest(one for one in history if one.snapshot.host == host())
    if holder is not None and not _is_here(holder, source):
        name = join_palace(request.tenant, request.palace)
        raise NameTaken(
            f"the palace {name!r} is {os.fsdecode(holder.snapshot.path)} on this host,"
            f" not {source}",
            "give this one a name of its own with --palace NAME"
            f" (or the same, with --palace {name}, if it has moved)",
        )


def _check_place(repository: Repository, source: Path) -> None:
    inside = repository.backend.directory
    if inside is not None and source.is_relative_to(inside.resolve()):
        raise Refused(
            f"{source} lies inside the repository {inside}",
            "a repository does not keep itself: name the palace's own directory",
        )


def _snapshot(
    request: Request,
    source: Path,
    captured: Captured,
    parent: Stored | None,
    times: tuple[int, int],
    added: int,
) -> Snapshot:
    counts, findings = captured.counts, captured.findings
    artifacts = [Artifact(path, "file", CapturedAs.TORN) for path in findings.torn]
    artifacts += [
        Artifact(path, "sqlite", taken.how)
        for path, taken in captured.databases.items()
        if isinstance(taken, Taken)
    ]
    return Snapshot(
        tenant=request.tenant,
        palace=request.palace,
        time_us=times[0],
        wall_us=times[1],
        host=host(),
        user=user(),
        path=os.fsencode(source),
        parents=(*([parent.id] if parent else []), *request.merged),
        message=request.message,
        layout="generic",
        owner=captured.owner,
        root=captured.root,
        outside=(),
        stats=Stats(counts.files, counts.directories, counts.symlinks, counts.size, added),
        artifacts=tuple(sorted(artifacts, key=lambda one: one.path)),
        missing=tuple(sorted(findings.missing, key=lambda one: one.path)),
        program=PROGRAM,
    )


def _is_equal(made: Snapshot, parent: Snapshot) -> bool:
    """Whether a snapshot would say of its palace what its parent says."""
    return (made.root, made.owner, made.missing, made.outside) == (
        parent.root,
        parent.owner,
        parent.missing,
        parent.outside,
    ) and not health.is_news(made, parent)
