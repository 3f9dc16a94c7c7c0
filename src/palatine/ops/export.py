"""export: a snapshot as one file that travels: a native bundle, or what another tool reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from palatine.bundle.files import check_free
from palatine.bundle.zstd.write import LEVEL, check_level
from palatine.errors import UsageError
from palatine.model.names import DEFAULT_TENANT
from palatine.ops.exporting import NATIVE, Exported, Request, write_native
from palatine.ops.moments import utc
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

if TYPE_CHECKING:
    from palatine.bundle.formats.base import Format

__all__ = ["Exported", "Request", "default_name", "export", "layouts_of"]

_SUFFIX, _AGE = ".tar.zst", ".age"


def export(repository: Repository, stored: Stored, request: Request, cache: Path) -> Exported:
    """Write a snapshot; what is at the target then is all of that, or what was there.

    `cache` is the user's cache directory, for what cannot be written straight from the repository.
    Raises Exists, Refused, Damaged, NoSpace, SourceError, UsageError.
    """
    check_level(request.level)
    format = _format(request, stored)
    if not request.is_dry:
        request = replace(request, target=_target(request, stored, format))
    repository.refresh()
    notices = _incomplete(stored)
    if format is None and request.redact is None:
        done = write_native(repository, stored, request)
    else:
        from palatine.ops.export_copy import export_copy

        done = export_copy(repository, stored, (request, format), cache)
    done = replace(done, stored=stored, notices=(*notices, *done.notices))
    for notice in done.notices:
        repository.reporter.notice(notice)
    return done


def layouts_of(format: str) -> tuple[str, ...] | None:
    """Return the layouts that a format is for, None for all of them; raises UsageError."""
    if format == NATIVE:
        return None
    from palatine.bundle.formats.registry import by_name

    return by_name(format).layouts


def default_name(stored: Stored, redacted: bool = False) -> str:
    """Return the name of a file that nobody named: palace, the snapshot's time in UTC, its id."""
    one = stored.snapshot
    tenant = "" if one.tenant == DEFAULT_TENANT else f"{one.tenant}+"
    kind = "-redacted" if redacted else ""
    time = f"{utc(one.time_us):%Y%m%dT%H%M%SZ}"
    return f"{tenant}{one.palace}-{time}-{stored.id.hex()[:8]}{kind}{_SUFFIX}"


def _format(request: Request, stored: Stored) -> Format | None:
    """Return the format asked for, None for a native bundle; raises UsageError."""
    if request.format == NATIVE:
        return None
    from palatine.bundle.formats.base import PathFormat
    from palatine.bundle.formats.registry import by_name

    format = by_name(request.format)
    format.check_layout(stored.snapshot.layout)
    if request.lock is not None and isinstance(format, PathFormat):
        raise UsageError(
            f"{format.name} writes more than one file, and none of them encrypted",
            "leave out --format: a native bundle holds every palace, and can be encrypted",
        )
    if request.level != LEVEL:
        raise UsageError(
            f"--level is for native bundles, and not for {format.name}", "leave it out"
        )
    return format


def _target(request: Request, stored: Stored, format: Format | None) -> Path:
    """Return the path to write to; raises Exists, UsageError before any work is done."""
    target = request.target
    if target is None:
        raise UsageError("it is not said where to", "name a file, or a directory for it")
    if target.is_dir():
        if format is None:
            name = default_name(stored, request.redact is not None)
        else:
            from palatine.ops.export_copy import about

            name = format.default_name(about(stored))
        target = target / (name if request.lock is None else name + _AGE)
    elif target.name.endswith(_AGE) and request.lock is None:
        raise UsageError(
            f"{target} is named like an encrypted file, and nothing says for whom",
            "--encrypt does; or name it otherwise",
        )
    (check_free if format is None else format.check_free)(target, request.force)
    return target


def _incomplete(stored: Stored) -> tuple[str, ...]:
    missing = len(stored.snapshot.missing)
    if not missing:
        return ()
    what = "1 path is" if missing == 1 else f"{missing} paths are"
    return (f"{stored.palace}: {what} missing in the snapshot, and so in what is exported",)
