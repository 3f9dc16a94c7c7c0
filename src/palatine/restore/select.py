"""Which part of a snapshot is restored."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from palatine.errors import UsageError
from palatine.ids import ObjectId
from palatine.model.snapshot import Outside, Snapshot
from palatine.model.tree import Entry
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

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self._chosen

    def wants(self, item: Item) -> bool:
        """Whether an entry is restored (a directory also for the sake of what is in it)."""
        if not self._chosen:
            return True
        path = item.path
        return any(
            path == chosen or path.startswith(chosen + b"/") or chosen.startswith(path + b"/")
            for chosen in self._chosen
        )

    def takes(self, path: bytes) -> bool:
        """Whether a path was chosen, alone or with what it lies in: not only for what is below."""
        return not self._chosen or any(
            path == chosen or path.startswith(chosen + b"/") for chosen in self._chosen
        )


@dataclass(frozen=True)
class Chosen:
    """What is restored of a palace (None: nothing) and of its outside parts, by their names."""

    palace: Selection | None
    outside: dict[str, Selection]

    def parts(self, snapshot: Snapshot) -> list[tuple[Outside, Selection]]:
        """Return the outside parts of which anything is restored."""
        return [
            (part, self.outside[part.name])
            for part in snapshot.outside
            if part.name in self.outside
        ]


def choose(
    source: Source, snapshot: Snapshot, paths: Iterable[bytes], kinds: Iterable[str] = ()
) -> Chosen:
    """Choose paths (`@NAME/…` in outside parts) and all artifacts of some kinds of a snapshot.

    Without either everything is chosen. Raises PathNotFound, UsageError.
    """
    wanted = [_clean(path) for path in paths]
    for kind in kinds:
        wanted += _of_kind(snapshot, kind)
    by_part: dict[str | None, list[bytes]] = defaultdict(list)
    for path in wanted:
        part, inner = snapshot.split(path)
        by_part[part.name if part else None].append(inner)

    def selection(name: str | None, root: Entry) -> Selection | None:
        inside = by_part.get(name, [])
        if wanted and not inside:
            return None
        return Selection(source, root.tree, () if b"" in inside else inside)

    parts = {part.name: selection(part.name, part.root) for part in snapshot.outside}
    return Chosen(
        selection(None, snapshot.root),
        {name: one for name, one in parts.items() if one is not None},
    )


def _of_kind(snapshot: Snapshot, kind: str) -> list[bytes]:
    found = [one.path for one in snapshot.artifacts if one.kind == kind]
    if not found:
        known = ", ".join(sorted({one.kind for one in snapshot.artifacts}))
        raise UsageError(
            f"the snapshot has nothing of the kind {kind!r}",
            f"it has: {known}" if known else "nothing in it has a kind: choose with --path",
        )
    return found


def _clean(path: bytes) -> bytes:
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if not names or b".." in names:
        raise UsageError(f"{os.fsdecode(path)!r} is not a path inside a palace")
    return b"/".join(names)
