"""export of what is not in the repository as it is: redacted, or in another tool's format.

The snapshot is restored into a private directory of the cache, and what is there is changed,
captured again or written by a format. Nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from palatine import fsio
from palatine.bundle.formats.base import About, Format, PathFormat, Redaction, StreamFormat
from palatine.bundle.zstd.write import Sink
from palatine.errors import Refused, SourceError
from palatine.ops.exporting import Exported, Request, put, write_native
from palatine.ops.redacted import outline, recaptured
from palatine.ops.restore_new import restore_new
from palatine.ops.restoring import Request as RestoreRequest
from palatine.ops.temporary import Terms, scratch_directory, temporary_repository
from palatine.redact.report import Report
from palatine.redact.tree import redact_tree
from palatine.restore.fresh import translated
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

POLICY = "palatine:default"
"""What a nexo bundle calls our rules: they begin with its own."""

_What = tuple[Request, Format | None]


def export_copy(repository: Repository, stored: Stored, what: _What, cache: Path) -> Exported:
    """Write a snapshot by way of a copy. Raises what `export` does."""
    request, format = what
    with scratch_directory(cache) as scratch:
        top = scratch / "copy"
        top.mkdir()
        palace = top / "palace"
        restore_new(repository, stored, RestoreRequest(palace))
        report = None
        if request.redact is not None:
            report = _redact(repository, request, top)
            stored = outline(stored, palace, report, request.redact)
        if request.is_dry:
            return Exported(stored, stored.snapshot.stats, request.format, None, redaction=report)
        if format is not None:
            done = _write_foreign(stored, (request, format), palace, report)
        else:
            assert report is not None
            terms = Terms(
                cache, repository.digest.name, repository.settings, repository.reporter,
                repository.clock,
            )  # fmt: skip
            with temporary_repository(terms) as temporary:
                changed = recaptured(temporary, stored, repository, palace)
                redacted = report.to_plain() if report.complete else None
                done = write_native(temporary, changed, request, redacted)
    return replace(done, redaction=report, notices=(*_unclean(report), *done.notices))


def about(stored: Stored, recipients: Sequence[str] = (), report: Report | None = None) -> About:
    """Return what a format may say of a snapshot."""
    one = stored.snapshot
    redaction = None
    if report is not None and report.complete:
        artifacts = tuple(sorted(report.artifacts))
        redaction = Redaction(POLICY, tuple(report.rules), report.matches, artifacts)
    return About(
        one.palace, one.tenant, one.layout, stored.id.hex(), one.time_us, _version(),
        one.path, one.message, next(iter(stored.tags), ""), redaction, tuple(recipients),
    )  # fmt: skip


def _version() -> str:
    """Return our version, as formats that say who wrote an archive have it."""
    try:
        return metadata.version("palatine")
    except metadata.PackageNotFoundError:
        return "unknown"


def _redact(repository: Repository, request: Request, top: Path) -> Report:
    """Take the secrets out of a copy; raises Refused when something in it could not be looked at.

    Parts from outside are called in the report as in a bundle, and then again as before.
    """
    assert request.redact is not None
    beside, outside = top / "palace.outside", top / "outside"
    if beside.is_dir():
        fsio.rename_directory(beside, outside)
    scratch = top.parent / "redaction"
    scratch.mkdir(mode=fsio.DIRECTORY_MODE)
    try:
        report = redact_tree(top, request.redact, scratch, repository.reporter)
    except OSError as error:
        raise SourceError(f"the copy cannot be redacted: {error.strerror or error}") from error
    if outside.is_dir():
        fsio.rename_directory(outside, beside)
    if report.unprocessed and not request.is_dry:
        first = report.unprocessed[0]
        raise Refused(
            f"{len(report.unprocessed)} that may hold secrets could not be redacted, first of all"
            f" {first.path}, which {first.reason}",
            "--redact-dry-run names all of them",
        )
    return report


def _write_foreign(
    stored: Stored, what: tuple[Request, Format], palace: Path, report: Report | None
) -> Exported:
    request, format = what
    assert request.target is not None
    target, stats, notes = request.target.absolute(), stored.snapshot.stats, [""]
    if isinstance(format, PathFormat):
        with translated(target):
            told = format.write(palace, about(stored, (), report), target, request.force)
        return Exported(stored, stats, format.name, target, notices=told)
    assert isinstance(format, StreamFormat)
    stream = format
    recipients = [str(one) for one in request.lock.recipients] if request.lock else []
    wanted = about(stored, [one for one in recipients if one.startswith("age1")], report)

    def write(sink: Sink) -> None:
        notes[:] = stream.write(palace, wanted, sink)

    size, digest = put(request, write, format.sibling)
    if not target.name.endswith((format.suffix, f"{format.suffix}.age")):
        notes.append(f"{format.name} looks for names that end in {format.suffix}")
    encrypted = request.lock is not None
    return Exported(
        stored, stats, format.name, target, size, digest, encrypted, notices=tuple(notes)
    )


def _unclean(report: Report | None) -> tuple[str, ...]:
    if report is None or report.complete:
        return ()
    kept = [one.path for one in report.histories if one.verdict in ("unclean", "unread")]
    return (
        f"git history was kept that holds secrets, or could not be searched: {', '.join(kept)};"
        " what is exported does not count as redacted",
    )
