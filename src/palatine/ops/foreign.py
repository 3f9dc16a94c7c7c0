"""import of another tool's archive: unpacked into a scratch directory, and captured from there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from palatine.bundle.files import sibling
from palatine.bundle.formats import registry as formats
from palatine.bundle.formats.base import Found, shown
from palatine.capture.outcomes import Taken
from palatine.capture.palace import Before, Captured, Options, capture
from palatine.capture.signatures import Signatures
from palatine.errors import Malformed, SourceError, UsageError
from palatine.layouts import registry as layouts
from palatine.model.names import check_label, split_palace
from palatine.model.snapshot import Artifact, Missing, Snapshot, Stats
from palatine.ops import parts
from palatine.ops.intake import Imported, Request, Sink, checked, kept
from palatine.ops.places import user
from palatine.ops.snapshot import PROGRAM
from palatine.ops.temporary import scratch_directory
from palatine.store.repository import Repository


def import_foreign(repository: Repository, request: Request, format: str, cache: Path) -> Imported:
    """Take another tool's archive into a repository, as a snapshot of the palace that is in it.

    The snapshot's host is empty, its path the archive's: nobody's palace on this host is taken for
    it. Raises UsageError, Damaged, Malformed, Refused, NoKey, and what the repository raises.
    """
    for tag in request.tags:
        check_label(tag)
    one = formats.by_name(format)
    with scratch_directory(cache) as staging:
        opener = formats.opener(request.limits, request.keys, request.skip_verify)
        repository.reporter.begin("unpacking")
        try:
            found = one.read(request.file, staging, opener, request.skip_verify)
        finally:
            repository.reporter.end()
        beside = sibling(request.file)
        if request.skip_verify and beside.exists():
            told = f"{beside.name} beside it was not compared with it"
            found = replace(found, unverified=(*found.unverified, told))
        return _captured(repository, request, found, format)


def _captured(repository: Repository, request: Request, found: Found, format: str) -> Imported:
    clock = repository.clock
    tenant, palace = _name(request, found, format)
    now_us = clock.now_us()
    time_us = now_us if found.time_us is None else found.time_us
    with (
        repository.writing(tenant, palace, time_us) as (session, writer),
        contextlib.closing(Signatures(None)) as signatures,
    ):
        captured = capture(
            found.path, Sink(repository, writer), repository.config.chunking, Options(),
            Before(clock.now_ns(), signatures, None, clock), repository.reporter,
        )  # fmt: skip
        _check_read(captured, request)
        writer.flush()
        made = _snapshot(request, found, captured, (tenant, palace, time_us))
        layout = layouts.of_name(found.layout)
        made = parts.completed(made, layout, parts.Gathered(), repository, None)
        stored, fresh = kept(
            repository, session, checked(made, repository), (request.tags, request.tags)
        )
        return Imported(
            request.file, stored, fresh, writer.added, format, why="it was no snapshot before",
            notes=found.notes,
            unverified=(*found.unverified, *map(_lacking, captured.findings.missing)),
        )  # fmt: skip


def _check_read(captured: Captured, request: Request) -> None:
    """Raise SourceError for what was unpacked and is not kept.

    Only a database that cannot be read may be left out, as it is of a live palace: the snapshot
    says that it lacks it. (Where it is all there is, capture has raised an error.)
    """
    for one in captured.findings.missing:
        unread = isinstance(captured.databases.get(one.path), Missing)
        if not unread or request.whole:
            hint = "pal import takes the rest of it" if unread else ""
            raise SourceError(f"{os.fsdecode(one.path)} was unpacked, but {one.reason}", hint)


def _lacking(one: Missing) -> str:
    return (
        f"{shown(one.path)} is not in the snapshot: {one.reason}; only the archive has what there"
        " is of it"
    )


def _name(request: Request, found: Found, format: str) -> tuple[str, str]:
    if request.palace is not None:
        return split_palace(request.palace)
    if found.palace is None:
        raise UsageError(
            f"an archive of {format} does not say whose palace it is", "--palace NAME does"
        )
    try:
        return split_palace(f"{found.tenant}/{found.palace}")
    except UsageError as error:
        raise Malformed(f"the archive is of {found.palace!r}: {error}", "--palace NAME") from error


def _snapshot(
    request: Request, found: Found, captured: Captured, what: tuple[str, str, int]
) -> Snapshot:
    tenant, palace, time_us = what
    counts = captured.counts
    place = request.file.absolute()
    if not found.path.is_dir():
        place = place.with_name(found.path.name)  # a snapshot of one file knows it by its path
    databases = [
        Artifact(path, "sqlite", taken.how)
        for path, taken in captured.databases.items()
        if isinstance(taken, Taken)
    ]
    return Snapshot(
        tenant=tenant,
        palace=palace,
        time_us=time_us,
        wall_us=time_us,
        host="",
        user=user(),
        path=os.fsencode(place),
        parents=(),
        message=found.message,
        layout=found.layout,
        owner=captured.owner,
        root=captured.root,
        outside=(),
        # what it added is left out: imported again, it is to be the same snapshot
        stats=Stats(counts.files, counts.directories, counts.symlinks, counts.size, 0),
        artifacts=tuple(sorted(databases, key=lambda one: one.path)),
        missing=tuple(sorted(captured.findings.missing, key=lambda gap: gap.path)),
        program=PROGRAM,
    )
