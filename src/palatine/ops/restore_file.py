"""restore FILE: a bundle straight into a palace.

It is imported into a repository of its own, which is gone afterwards: everything in it was verified
before the target is touched. The snapshot of what was at the target goes into the repository in
use. So does the bundle's, if it is to be merged: the next merge must find what the last one took,
and one that was killed must be able to go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from palatine.errors import NoRepository, UsageError
from palatine.ops import intake
from palatine.ops.bundles import take
from palatine.ops.restore import restore
from palatine.ops.restoring import Mode, Request, Restored
from palatine.ops.temporary import Joined, Terms, temporary_repository
from palatine.restore import intent
from palatine.store.repository import Repository


def restore_file(
    in_use: Repository | None, file: intake.Request, request: Request, terms: Terms
) -> tuple[Restored, intake.Imported]:
    """Restore a bundle as a request says; without a repository in use, only to a new target.

    Raises NoRepository where one is needed, and what `import_native` and `restore` raise.
    """
    if request.mode == Mode.UNDO:
        raise UsageError("--undo takes no FILE: what it puts back is known", "leave out FILE")
    if in_use is None and (request.mode != Mode.NEW or intent.stands(request.target.resolve())):
        raise NoRepository(
            f"there is no repository for the snapshot of what is at {request.target} now",
            "make one with: pal init",
        )
    file = replace(file, whole=True)
    if request.mode == Mode.MERGE and not request.dry_run:
        assert in_use is not None
        imported = take(in_use, file, terms.cache)
        in_use.refresh()
        return restore(in_use, imported.stored, request), imported
    with _imported(in_use, file, terms) as (repository, imported):
        return restore(repository, imported.stored, request), imported


@contextlib.contextmanager
def _imported(
    in_use: Repository | None, file: intake.Request, terms: Terms
) -> Iterator[tuple[Repository, intake.Imported]]:
    """Yield a repository that has what was imported, besides what the one in use has."""
    if in_use is not None:
        terms = replace(terms, digest=in_use.digest.name)
    with temporary_repository(terms) as temporary:
        imported = take(temporary, file, terms.cache)
        temporary.refresh()
        yield (Joined(in_use, temporary) if in_use is not None else temporary), imported
