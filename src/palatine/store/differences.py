"""What two trees have in common, and what not: pairs of entries, side by side, in walk order.

Equal trees and equal pieces of directories are passed over unread, unless everything is asked for.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
from blake3 import blake3

from palatine.ids import Kind, ObjectId
from palatine.model.tree import EntryKind, Node, decode_tree
from palatine.store.trees import Item, NotKept, Source, chunks, file_bytes, items, leaves

Pair = tuple[Item | None, Item | None]
"""The old entry of a path and the new one; None where a side has none."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: where its objects come from, and its tree (None: nothing)."""

    source: Source
    tree: ObjectId | None


class Remembering:
    """A source that keeps the last objects: a pool is asked for once per file in it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last: OrderedDict[ObjectId, bytes | bytearray] = OrderedDict()

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's bytes."""
        if object_id not in self._last:
            self._last[object_id] = self._source.get(kind, object_id)
            if len(self._last) > 8:
                self._last.popitem(last=False)
        self._last.move_to_end(object_id)
        return self._last[object_id]


def pairs(
    old: Side, new: Side, wants: Callable[[Item], bool] | None = None, everything: bool = False
) -> Iterator[Pair]:
    """Yield what is on one side only, or differs on both, all below directories included.

    A directory comes before what is in it; a path may be of another kind on each side. `wants`
    chooses entries (a directory also for the sake of what is in it). With `everything` pairs of
    equal entries come too, and nothing is passed over.
    """
    stack = [side_by_side(old, new, b"", everything)]
    while stack:
        pair = next(stack[-1], None)
        if pair is None:
            stack.pop()
            continue
        mine, its = pair
        if wants is not None and not wants(mine or its):  # type: ignore[arg-type]
            continue
        below = [_tree(item) for item in pair]
        if everything or mine is None or its is None or not same_entry(mine, its):
            yield mine, its
        if any(below) and (everything or below[0] != below[1]):
            path = (mine or its).path + b"/"  # type: ignore[union-attr]
            sides = Side(old.source, below[0]), Side(new.source, below[1])
            stack.append(side_by_side(*sides, path, everything))


def same_entry(old: Item, new: Item) -> bool:
    """Whether two entries say the same, a directory's content and pooled bytes aside."""
    mine, its = old.entry, new.entry
    if not same_facts(old, new) or (mine.size, mine.holes) != (its.size, its.holes):
        return False
    if mine.kind == EntryKind.DIRECTORY:
        return True
    if mine.pooled:
        # The pieces differ, and nothing but the bytes tells whether this file does
        return False
    return (mine.level, mine.parts) == (its.level, its.parts)


def same_facts(old: Item, new: Item) -> bool:
    """Whether two entries are alike in all but a file's bytes: kind, mode, owner, time, target."""
    mine, its = (
        (item.entry.kind, item.entry.mode, item.owner, item.entry.mtime_ns, item.entry.xattrs,
         item.entry.target)
        for item in (old, new)
    )  # fmt: skip
    return mine == its


def same_content(old: Source, mine: Item, new: Source, its: Item) -> bool:
    """Whether two entries hold the same bytes, or lead to the same place; directories always do."""
    a, b = mine.entry, its.entry
    if (a.kind, a.size, a.target) != (b.kind, b.size, b.target):
        return False
    if a.kind == EntryKind.DIRECTORY:
        return True  # what is in it is compared on its own
    if a.pooled and b.pooled:
        return pooled_bytes(old, mine) == pooled_bytes(new, its)
    if (a.level, a.parts, a.holes) == (b.level, b.parts, b.holes):
        return True
    return a.holes == b.holes and _cut_otherwise(old, mine, new, its)


def pooled_bytes(source: Source, item: Item) -> bytes:
    """Return the bytes of a file that lies in its piece's pool."""
    pool = source.get(Kind.CHUNK, item.piece.pool[0].id)
    return bytes(pool[item.offset : item.offset + item.entry.size])


def _tree(item: Item | None) -> ObjectId | None:
    return item.entry.tree if item and item.entry.kind == EntryKind.DIRECTORY else None


def side_by_side(old: Side, new: Side, path: bytes, everything: bool = True) -> Iterator[Pair]:
    """Yield the entries of one directory by name; unless `everything`, none of shared pieces.

    `path` is the directory's, empty or ending in a slash.
    """
    shared = set() if everything else _piece_ids(old) & _piece_ids(new)
    left = ((item.entry.name, 0, item) for item in _unshared(old, shared, path))
    right = ((item.entry.name, 1, item) for item in _unshared(new, shared, path))
    held: Item | None = None
    for _, side, item in heapq.merge(left, right, key=lambda row: row[:2]):
        if side == 0:
            if held is not None:
                yield held, None
            held = item
        elif held is not None and held.entry.name == item.entry.name:
            if everything or not _same_pooled(old.source, held, new.source, item):
                yield held, item
            held = None
        else:
            if held is not None:
                yield held, None
                held = None
            yield None, item
    if held is not None:
        yield held, None


def _same_pooled(old: Source, mine: Item, new: Source, its: Item) -> bool:
    """Whether two pooled files are alike in everything, bytes included."""
    if not (mine.entry.pooled and its.entry.pooled):
        return False
    facts = [msgspec.structs.replace(item.entry, owner=0, link=b"") for item in (mine, its)]
    return facts[0] == facts[1] and mine.owner == its.owner and same_content(old, mine, new, its)


def _piece_ids(side: Side) -> set[ObjectId]:
    if side.tree is None:
        return set()
    found, waiting = set(), [side.tree]
    while waiting:
        at = waiting.pop()
        value = decode_tree(side.source.get(Kind.TREE, at), at)
        if isinstance(value, Node) and value.level > 1:
            waiting += [branch.id for branch in value.branches]
        elif isinstance(value, Node):
            found |= {branch.id for branch in value.branches}
        else:
            found.add(at)
    return found


def _unshared(side: Side, shared: set[ObjectId], path: bytes) -> Iterator[Item]:
    if side.tree is None:
        return
    for _, piece in leaves(side.source, side.tree, skip=shared):
        yield from items(piece, path)


def _cut_otherwise(old: Source, mine: Item, new: Source, its: Item) -> bool:
    """Whether two files of one size hold the same bytes, cut at other places.

    A file is cut by the name it was first met under: a second name for it may tell otherwise.
    """
    sizes = [
        [part.size for part in chunks(source, item.entry)]
        for source, item in ((old, mine), (new, its))
    ]
    if sizes[0] == sizes[1]:
        return False  # cut at the same places, and some chunk differs
    digests = [blake3(), blake3()]
    try:
        for digest, source, item in zip(digests, (old, new), (mine, its), strict=True):
            for data in file_bytes(source, item):
                digest.update(data)
    except NotKept:
        return False  # of a live file only the ids of its chunks are known
    return digests[0].digest() == digests[1].digest()
