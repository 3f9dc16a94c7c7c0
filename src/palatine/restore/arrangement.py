"""What a directory shall hold: a tree, or the chosen paths of one laid over what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from palatine.errors import PathNotFound
from palatine.ids import ObjectId
from palatine.model.tree import EntryKind, Piece
from palatine.restore.select import Selection
from palatine.store.differences import Side, side_by_side
from palatine.store.trees import Item, Source, find, items, leaves


class Trees(NamedTuple):
    """What a directory holds, and what it shall hold; None for a side that has no such directory.

    Equal trees: all of it stays.
    """

    present: ObjectId | None
    wanted: ObjectId | None


class Placed(NamedTuple):
    """An entry that shall be there, and what is there under its name; of a directory its trees."""

    item: Item
    there: Item | None
    trees: Trees


class Arrangement:
    """All of a tree that a selection wants, and nothing else."""

    def __init__(self, source: Source, trees: Trees, selection: Selection) -> None:
        self.trees = trees
        self._source = source
        self._selection = selection

    def groups(self, trees: Trees, path: bytes) -> Iterator[tuple[Piece, Iterable[Placed]]]:
        """Yield what a directory shall hold, gathered by the pieces it comes from.

        `path` is the directory's, empty or ending in a slash.
        """
        assert trees.wanted is not None
        wants = self._selection.wants
        for _, piece in leaves(self._source, trees.wanted):
            found = (one for one in items(piece, path) if wants(one))
            yield piece, (Placed(one, None, Trees(None, _tree(one))) for one in found)

    def find(self, path: bytes) -> Item | None:
        """Return the entry that shall be at a path, whether or not it is wanted."""
        return _find(self._source, self.trees.wanted, path)


class Overlay(Arrangement):
    """A tree in the place of another; of what a partial selection does not take, all stays."""

    def groups(self, trees: Trees, path: bytes) -> Iterator[tuple[Piece, Iterable[Placed]]]:
        """Yield what a directory shall hold; see `Arrangement.groups`."""
        if trees.present == trees.wanted and trees.wanted is not None:
            for _, piece in leaves(self._source, trees.wanted):
                yield piece, (_kept(one) for one in items(piece, path))
            return
        sides = [Side(self._source, tree) for tree in trees]
        gathered: dict[int, tuple[Piece, list[Placed]]] = {}
        for mine, its in side_by_side(sides[0], sides[1], path):
            placed = self._choose(mine, its)
            if placed is None:
                continue
            piece = placed.item.piece
            gathered.setdefault(id(piece), (piece, []))[1].append(placed)
            if len(gathered) > 2:  # each side is in a piece, and at the end of another
                yield gathered.pop(next(iter(gathered)))
        yield from gathered.values()

    def find(self, path: bytes) -> Item | None:
        """Return the entry that shall be at a path."""
        mine, its = (_find(self._source, tree, path) for tree in self.trees)
        placed = self._choose(mine, its)
        return placed.item if placed else None

    def _choose(self, mine: Item | None, its: Item | None) -> Placed | None:
        if its is None or not self._selection.wants(its):
            stays = mine is not None and not self._selection.everything
            return _kept(mine) if mine is not None and stays else None
        trees = Trees(_tree(mine), _tree(its))
        leads = not self._selection.takes(its.path)
        if leads and mine is not None and mine.entry.kind == its.entry.kind:
            return Placed(mine, mine, trees)  # nothing was said of the directory itself
        return Placed(its, mine, trees)


def _kept(item: Item) -> Placed:
    tree = _tree(item)
    return Placed(item, item, Trees(tree, tree))


def _tree(item: Item | None) -> ObjectId | None:
    return item.entry.tree if item and item.entry.kind == EntryKind.DIRECTORY else None


def _find(source: Source, tree: ObjectId | None, path: bytes) -> Item | None:
    if tree is None:
        return None
    try:
        return find(source, tree, path)
    except PathNotFound:
        return None
