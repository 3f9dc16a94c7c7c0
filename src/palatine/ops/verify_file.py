"""verify FILE: everything about a bundle that can be checked without a repository.

A native bundle is read as an import reads it, into a sink that keeps nothing but ids: compression,
archive, manifest, every hash, the holes, and at the end the snapshot's own id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from palatine.bundle.native.intake import Intake
from palatine.bundle.native.manifest import Head
from palatine.bundle.native.matching import NativeBundle
from palatine.bundle.opening import Opened, check_beside, opened
from palatine.bundle.recognise import NATIVE, recognise
from palatine.errors import Damaged, FormatTooNew, NoKey
from palatine.events import SILENT, Reporter
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.config import Chunking
from palatine.model.names import join_palace
from palatine.model.snapshot import encode_snapshot_file
from palatine.ops.bundle_health import Databases
from palatine.ops.intake import Request
from palatine.ops.temporary import scratch_directory


@dataclass(frozen=True)
class FileReport:
    """What is known of a bundle, in sentences: what was checked, what could not be, the damage.

    `notes` are neither. `seen`: what is in it was read, to its end; then `palace`, `snapshot` (its
    id in hexadecimal), `time_us`, `files` and `size` in bytes say what it is.
    """

    file: Path
    format: str | None = None
    seen: bool = False
    encrypted: bool = False
    redacted: bool = False
    palace: str = ""
    snapshot: str = ""
    time_us: int | None = None
    files: int = 0
    size: int = 0
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no damage was found; `unchecked` says how much that means."""
        return not self.damage


def verify_file(
    request: Request, cache: Path, check: bool = False, reporter: Reporter = SILENT
) -> FileReport:
    """Check a bundle; with `check` SQLite checks the databases in it, too.

    Damage is in the report, and that it is encrypted and no key opens it; Refused (a limit),
    PathNotFound, SourceError and UsageError are raised. Names that differ only in case are no
    damage here: nothing is written.
    """
    limits = replace(request.limits, allow_case_folding=True)
    request = replace(request, limits=limits)
    report = FileReport(request.file)
    try:
        found = recognise(request.file, request.format, limits, request.keys)
        report = replace(report, file=found.path, format=found.format)
        request = replace(request, file=found.path)
        if found.format != NATIVE:
            return _foreign(request, found.format, (cache, check), report)
        with opened(found.path, limits, request.keys) as file:
            report = replace(report, encrypted=file.encrypted)
            return _native(request, file, (cache, check, reporter), report)
    except NoKey as error:
        return _locked(replace(report, encrypted=True), error)
    except FormatTooNew as error:
        said = f"not verified: {error.message}"
        return replace(report, unchecked=(*report.unchecked, said))
    except Damaged as error:
        return replace(report, damage=(*report.damage, error.message))


def _locked(report: FileReport, error: NoKey) -> FileReport:
    """Return a report on a file that no key opens: its own bytes may still be compared."""
    said = f"not verified: {error.message}"
    report = replace(report, unchecked=(*report.unchecked, said))
    if report.file.is_dir():
        return report
    try:
        if check_beside(report.file):
            return replace(report, checked=(_as_beside(report.file),))
    except Damaged as damage:
        return replace(report, damage=(*report.damage, damage.message))
    return report


def _as_beside(path: Path) -> str:
    return f"the file has the hash in {path.name}.sha256"


def _native(
    request: Request, file: Opened, how: tuple[Path, bool, Reporter], report: FileReport
) -> FileReport:
    cache, check, reporter = how
    with NativeBundle(file.stream, request.limits) as bundle:
        head = bundle.head
        reporter.begin("verifying", head.size)
        try:
            intake = Intake(_Names(Digest(head.digest)), Chunking(), reporter)
            if check:
                with scratch_directory(cache) as scratch:
                    databases = Databases(scratch)
                    made = intake.take(head, databases.through(bundle.entries()))
                report = _with_databases(report, databases)
            else:
                made = intake.take(head, bundle.entries())
            file.finish()
        finally:
            reporter.end()
    object_id, _ = encode_snapshot_file(made, Digest(head.digest))
    return _told(report, head, file, object_id.hex())


def _told(report: FileReport, head: Head, file: Opened, object_id: str) -> FileReport:
    """Return a report on a bundle that was read to its end, and is whole."""
    record = head.snapshot
    checked = [f"{record.stats.files} files and the manifest have the hashes of SHA256SUMS"]
    notes, unchecked = list(report.notes), list(report.unchecked)
    if file.has_sum:
        checked.append(_as_beside(file.path))
    else:
        notes.append(f"there is no {file.path.name}.sha256 beside it to compare it with")
    if object_id == record.id:
        checked.append("its files and their metadata give the snapshot's id")
    else:
        unchecked.append(
            "not verified that this is what was captured: the files do not give the snapshot's id"
            " (another version wrote it, or it was changed and its hashes too)"
        )
    if record.missing:
        notes.append(f"the snapshot itself lacks {len(record.missing)} of what was to be in it")
    return replace(
        report, seen=True, redacted=head.redacted is not None, snapshot=record.id,
        palace=join_palace(record.tenant, record.palace), time_us=record.time_us,
        files=record.stats.files, size=record.stats.size,
        checked=(*checked, *report.checked), unchecked=tuple(unchecked), notes=tuple(notes),
    )  # fmt: skip


def _foreign(
    request: Request, format: str, how: tuple[Path, bool], report: FileReport
) -> FileReport:
    from palatine.bundle.formats import registry

    cache, check = how
    with scratch_directory(cache) as staging:
        opener = registry.opener(request.limits, request.keys)
        found = registry.by_name(format).read(request.file, staging, opener, False)
        report = replace(
            report, seen=True, time_us=found.time_us, notes=found.notes,
            palace=join_palace(found.tenant, found.palace) if found.palace else "",
            checked=(f"it is whole as far as {format} lets one tell",), unchecked=found.unverified,
        )  # fmt: skip
        if check:
            databases = Databases(staging)
            databases.below(found.path)
            report = _with_databases(report, databases)
    return report


def _with_databases(report: FileReport, databases: Databases) -> FileReport:
    many = "database" if databases.sound == 1 else "databases"
    checked = (f"SQLite found {databases.sound} {many} sound",) if databases.sound else ()
    return replace(
        report, checked=(*report.checked, *checked),
        damage=(*report.damage, *databases.damage),
        unchecked=(*report.unchecked, *databases.unchecked),
    )  # fmt: skip


class _Names:
    """A sink that keeps nothing: it knows what ids objects would have."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        return self._digest.object_id(kind, data)

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        return self._digest.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        return False

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        raise Damaged(f"nothing was kept of {object_id.hex()}")
