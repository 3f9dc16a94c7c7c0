"""What the verbs of every theme stand on: a repository that is open, and what revisions name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palatine.store.repository import Repository as Store

if TYPE_CHECKING:
    from palatine.store.forgotten import Forgotten
    from palatine.store.snapshots import Stored


class Opened:
    """A repository that is open."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def location(self) -> str:
        """Where the repository is, as people write it."""
        return self.store.backend.location

    def resolve(self, revision: str) -> Stored:
        """Return the snapshot that a revision without a path names.

        An id also names one that was forgotten, until gc has collected it; a notice says so.
        Raises UnknownRevision, AmbiguousRevision, UsageError.
        """
        found, is_forgotten = self._find(revision)
        if is_forgotten:
            short = found.id.hex()[:16]
            self.store.reporter.notice(
                f"{short} of {found.palace} was forgotten, and can be had until gc collects it: "
                f"pal tag {short} TAG brings it back"
            )
        return found

    def _find(self, revision: str) -> tuple[Stored, bool]:
        """Return the snapshot that a revision names, and whether it was forgotten."""
        from palatine.ops import revisions

        snapshots, now_us = self.store.list_snapshots(), self.store.clock.now_us()
        found = revisions.resolve(snapshots, revision, now_us, self.forgotten)
        return found, all(one.id != found.id for one in snapshots)

    def forgotten(self) -> list[Forgotten]:
        """Return what was forgotten, oldest first; `stored` is None once gc has collected it."""
        from palatine.ops import undelete

        return undelete.restorable(self.store)

    def close(self) -> None:
        """Let go of files."""
        self.store.close()
