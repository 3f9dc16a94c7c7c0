"""import of another tool's archive: unpacked into a scratch directory, and captured from there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from palatine.bundle.formats import registry as formats
from palatine.bundle.formats.base import Found
from palatine.capture.outcomes import Taken
from palatine.capture.palace import Before, Captured, Options, capture
from palatine.capture.signatures import Signatures
from palatine.errors import Malformed, SourceError, UsageError
from palatine.layouts import registry as layouts
from palatine.model.names import check_label, split_palace
from palatine.model.snapshot import Artifact, Snapshot, Stats
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
        if captured.findings.missing:
            first = captured.findings.missing[0]
            raise SourceError(f"{os.fsdecode(first.path)} was unpacked, but {first.reason}")
        writer.flush()
        made = _snapshot(request, found, captured, (tenant, palace, time_us, writer.added))
        layout = layouts.of_name(found.layout)
        made = parts.completed(made, layout, parts.Gathered(), repository, None)
        stored, fresh = kept(
            repository, session, checked(made, repository), (request.tags, request.tags)
        )
        return Imported(
            request.file, stored, fresh, writer.added, format, why="it was no snapshot before",
            notes=found.notes, unverified=found.unverified,
        )  # fmt: skip


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
    request: Request, found: Found, captured: Captured, what: tuple[str, str, int, int]
) -> Snapshot:
    tenant, palace, time_us, added = what
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
        stats=Stats(counts.files, counts.directories, counts.symlinks, counts.size, added),
        artifacts=tuple(sorted(databases, key=lambda one: one.path)),
        missing=(),
        program=PROGRAM,
    )
