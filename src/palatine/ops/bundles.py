"""import: whatever lies at a path, a native bundle or another tool's archive, into a repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from palatine.bundle.recognise import NATIVE, recognise
from palatine.errors import UsageError
from palatine.ops.intake import Imported, Request, import_native
from palatine.store.repository import Repository


def take(repository: Repository, request: Request, cache: Path) -> Imported:
    """Take a bundle into a repository; `cache` is the user's cache directory, for scratch files.

    Raises UsageError, PathNotFound, SourceError, NoKey, Damaged, Malformed, Refused, and what the
    repository raises.
    """
    found = recognise(request.file, request.format, request.limits, request.keys)
    request = replace(request, file=found.path)
    if found.format == NATIVE:
        if request.skip_verify:
            raise UsageError(
                "--skip-verify is for other tools' archives: a native bundle is always verified",
                "leave it out",
            )
        return import_native(repository, request)
    from palatine.ops.foreign import import_foreign

    if request.file.is_dir():
        repository.reporter.notice(f"{request.file} is taken as a directory of {found.format}")
    return import_foreign(repository, request, found.format, cache)
