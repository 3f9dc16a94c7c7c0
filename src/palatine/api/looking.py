"""Verbs that look: what there is, and what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from palatine.api.opened import Opened
from palatine.api.places import PathLike
from palatine.ops.defaults import absolute

if TYPE_CHECKING:
    from palatine.ops import browse, history
    from palatine.ops import diff as diff_op
    from palatine.ops import stats as stats_op
    from palatine.store.snapshots import Stored


class Looking(Opened):
    """Looking at snapshots and at what they hold."""

    def palaces(self) -> list[history.Palace]:
        """Return every palace with its newest snapshot, sorted by name."""
        from palatine.ops import history

        return history.palaces(self.store)

    def log(self, palace: str | None = None) -> list[Stored]:
        """Return the snapshots, of one palace or of all, newest first."""
        from palatine.ops import history

        return history.log(self.store, palace)

    def counts(self, revision: str) -> dict[str, int]:
        """Return how many entries of each sort a snapshot holds, as its system counts them.

        Raises SourceError when a database in it cannot be read.
        """
        from palatine.ops import counts

        return counts.counts(self.store, self.resolve(revision))

    def resolve_path(self, revision: str) -> tuple[Stored, str]:
        """Return the snapshot and the path (empty: its root) that REV or REV:PATH names."""
        from palatine.ops import revisions

        base, steps, path = revisions.split(revision)
        return self.resolve(base + steps), path or ""

    def is_revision(self, text: str) -> bool:
        """Whether a text names a snapshot that is here."""
        from palatine.ops import revisions

        return revisions.is_known(self.store.list_snapshots(), text)

    def ls(self, revision: str, *, recursive: bool = False) -> Iterator[browse.Listed]:
        """Yield what is in a directory of a snapshot: REV or REV:PATH."""
        from palatine.ops import browse

        stored, path = self.resolve_path(revision)
        return browse.ls(self.store, stored, path, recursive)

    def cat(self, revision: str) -> Iterator[bytes | bytearray]:
        """Yield the bytes of REV:PATH, some MiB at a time."""
        from palatine.ops import browse

        stored, path = self.resolve_path(revision)
        return browse.cat(self.store, stored, path)

    def find(self, pattern: str, palace: str | None = None) -> Iterator[browse.Found]:
        """Yield paths that match a glob, in each snapshot in which they are new or different."""
        from palatine.ops import browse

        return browse.find_paths(self.store, reversed(self.log(palace)), pattern)

    def diff(self, old: str, new: str) -> list[diff_op.Change]:
        """Return what changed from one revision to another."""
        from palatine.ops import diff

        return diff.diff(self.store, self.resolve(old), self.resolve(new))

    def diff_directory(self, old: str, directory: PathLike) -> list[diff_op.Change]:
        """Return what changed from a revision to a directory as it is now."""
        from palatine.ops import diff

        return diff.diff_directory(self.store, self.resolve(old), absolute(directory))

    def stats(self) -> stats_op.RepositoryStats:
        """Return what the repository holds and what it costs."""
        from palatine.ops import stats

        return stats.stats(self.store)
