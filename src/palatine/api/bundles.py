"""Verbs for bundles: one file that travels. Some need no repository."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from palatine.api.opened import Opened
from palatine.api.places import PathLike, cache_of
from palatine.events import SILENT, Reporter
from palatine.ops.defaults import absolute
from palatine.ops.defaults import default_cache as default_cache

if TYPE_CHECKING:
    from palatine.ops.exporting import Exported
    from palatine.ops.exporting import Request as ExportRequest
    from palatine.ops.intake import Imported
    from palatine.ops.intake import Request as ImportRequest
    from palatine.ops.restoring import Request, Restored
    from palatine.ops.verify_file import FileReport


class Bundles(Opened):
    """Bundles out of the repository and into it."""

    def export(
        self,
        revision: str,
        target: PathLike | ExportRequest,
        *,
        level: int = 3,
        force: bool = False,
    ) -> Exported:
        """Write a snapshot as one file; in a directory, it is named after palace and time.

        `level` is zstd's, 1 to 19. A request says more: another format, encryption, redaction.
        Raises Exists without `force` when it is there, Refused, Damaged, NoSpace, SourceError,
        UsageError; nothing half-written is left.
        """
        from palatine.ops.export import Request, export

        if not isinstance(target, Request):
            target = Request(absolute(target), level, force)
        return export(self.store, self.resolve(revision), target, cache_of(self.store))

    def import_bundle(self, request: ImportRequest | PathLike) -> Imported:
        """Take a bundle into the repository: a file, or the newest in a directory of them.

        A request says more than which. Raises PathNotFound, UsageError, NoKey, Damaged, Malformed,
        Refused; nothing of it is visible then.
        """
        from palatine.ops.bundles import take

        return take(self.store, import_request(request), cache_of(self.store))

    def restore_bundle(
        self, request: ImportRequest | PathLike, how: Request
    ) -> tuple[Restored, Imported]:
        """Put a bundle back as `restore` does a snapshot, without keeping it in the repository.

        Merged, it is imported. Raises what `import_bundle` and `restore` raise.
        """
        from palatine.ops.restore_file import restore_file
        from palatine.ops.temporary import Terms

        store = self.store
        terms = Terms(
            cache_of(store), settings=store.settings, reporter=store.reporter, clock=store.clock
        )
        return restore_file(store, import_request(request), how, terms)


def verify_bundle(
    request: ImportRequest | PathLike,
    *,
    check: bool = False,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
) -> FileReport:
    """Check a bundle without a repository; `check` has SQLite check the databases in it.

    Damage is in the report, not raised. Raises PathNotFound, SourceError, UsageError, Refused.
    """
    from palatine.ops.verify_file import verify_file

    directory = default_cache() if cache is None else absolute(cache)
    return verify_file(import_request(request), directory, check, reporter)


def restore_bundle(
    request: ImportRequest | PathLike,
    how: PathLike | Request,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
) -> tuple[Restored, Imported]:
    """Put a bundle into a new or empty directory; needs no repository.

    Raises Exists, PathNotFound, UsageError, NoKey, Damaged, Malformed, Refused, NoSpace.
    """
    from palatine.ops.restore_file import restore_file
    from palatine.ops.restoring import Request
    from palatine.ops.temporary import Terms

    terms = Terms(default_cache() if cache is None else absolute(cache), reporter=reporter)
    wanted = how if isinstance(how, Request) else Request(absolute(how))
    return restore_file(None, import_request(request), wanted, terms)


def import_request(request: ImportRequest | PathLike) -> ImportRequest:
    """Return a request for a file that was only named, or with its path made absolute."""
    from palatine.ops.intake import Request as ImportRequest

    if isinstance(request, ImportRequest):
        return replace(request, file=absolute(request.file))
    return ImportRequest(absolute(request))
