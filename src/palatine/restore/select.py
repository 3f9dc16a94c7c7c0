"""Which part of a snapshot is restored."""

from __future__ import annotations

from collections.abc import Sequence

from palatine.errors import UsageError
from palatine.ids import ObjectId
from palatine.store.trees import Item, Source, find


class Selection:
    """Chosen paths with everything below them, and the directories that lead there."""

    def __init__(self, source: Source, tree: ObjectId, paths: Sequence[bytes]) -> None:
        """Choose `paths` (from the palace's root), or everything when there are none.

        Raises PathNotFound for a path the snapshot does not hold.
        """
        self._chosen = [_clean(path) for path in paths]
        for path in self._chosen:
            find(source, tree, path)

    def wants(self, item: Item) -> bool:
        """Whether an entry is restored (a directory also for the sake of what is in it)."""
        if not self._chosen:
            return True
        path = item.path
        return any(
            path == chosen or path.startswith(chosen + b"/") or chosen.startswith(path + b"/")
            for chosen in self._chosen
        )


def _clean(path: bytes) -> bytes:
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if not names or b".." in names:
        raise UsageError(f"{path.decode(errors='replace')!r} is not a path inside a palace")
    return b"/".join(names)
