"""What can be read of snapshots and what cannot, object by object, although parts are damaged.

An object counts as readable only where its bytes are known to give its id: from a frame that was
read and found good, from what was brought back from elsewhere, or decoded here for the purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import NamedTuple

from palatine.errors import Damaged, NotFound
from palatine.ids import Kind, ObjectId
from palatine.model.tree import Entry, EntryKind, Part, Piece, decode_tree
from palatine.ops.refill import Finds
from palatine.store.catalog import Copy
from palatine.store.repository import Repository
from palatine.store.resolve import resolve
from palatine.store.snapshots import Stored
from palatine.store.trees import items, load_list

_DEEPEST = 192


class Gap(NamedTuple):
    """A run of a directory's entries that cannot be read: its first name, and how many.

    `entries` is None where not even that is known: then it is the whole directory.
    """

    first: bytes
    entries: int | None


class Readings:
    """A source that reads what can be read, in whatever way.

    `bad` are frames known not to give their objects; `finds` holds what was found elsewhere.
    """

    def __init__(self, repository: Repository, bad: Set[tuple[int, int]], finds: Finds) -> None:
        self._repository = repository
        self._bad = bad
        self._finds = finds
        self._judged: dict[ObjectId, bool] = {}
        self.whole: set[ObjectId] = set()
        """Trees below which everything is there."""
        self.wanted: set[ObjectId] = set()
        """What was asked for and cannot be read."""

    def forget(self) -> None:
        """Judge anew: something was found, or moved."""
        self._judged.clear()
        self.whole.clear()
        self.wanted.clear()

    def can(self, kind: Kind, object_id: ObjectId) -> bool:
        """Whether an object can be read."""
        chain = resolve(self._repository.catalog, object_id, self._is_good)
        if chain is not None or object_id in self._finds:
            return True
        if object_id not in self._judged:
            try:
                self.get(kind, object_id)
                self._judged[object_id] = True
            except (Damaged, NotFound):
                self._judged[object_id] = False
                self.wanted.add(object_id)
        return self._judged[object_id]

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's verified bytes; raises Damaged."""
        return self._get(kind, object_id, _DEEPEST)

    def _get(self, kind: Kind, object_id: ObjectId, left: int) -> bytes | bytearray:
        found = self._finds.bytes_of(object_id)
        if found is not None:
            return found
        if self._judged.get(object_id) is False:
            raise Damaged(f"{kind.name.lower()} {object_id.hex()} cannot be read")
        try:
            return self._repository.get(kind, object_id)
        except (Damaged, NotFound):
            data = self._onto_finds(kind, object_id, left)
            if data is None:
                self.wanted.add(object_id)
                raise
            return data

    def _onto_finds(self, kind: Kind, object_id: ObjectId, left: int) -> bytearray | None:
        """Decode a delta whose base is not in the repository any more but was found elsewhere."""
        if not self._finds or not left:
            return None
        for copy in self._repository.catalog.copies(object_id):
            if not copy.base:
                continue
            try:
                data = bytearray(self._get(kind, copy.base, left - 1))
                self._repository.reader.apply(copy, data)
            except (Damaged, NotFound):
                continue
            if self._repository.digest.object_id(kind, data) == object_id:
                return data
        return None

    def _is_good(self, copy: Copy) -> bool:
        return copy[:2] not in self._bad


def pieces(source: Readings, tree: ObjectId) -> Iterator[Piece | Gap]:
    """Yield what can be read of a directory, in order of names, and what cannot."""
    waiting: list[tuple[ObjectId, Gap]] = [(tree, Gap(b"", None))]
    while waiting:
        at, gap = waiting.pop()
        try:
            value = decode_tree(source.get(Kind.TREE, at), at)
        except (Damaged, NotFound):
            yield gap
            continue
        if isinstance(value, Piece):
            yield value
        else:
            waiting += [(one.id, Gap(one.first, one.count)) for one in reversed(value.branches)]


def lost_parts(source: Readings, entry: Entry) -> Iterator[tuple[bool, Part]]:
    """Yield a file's chunks in order, each with whether it is lost; a lost list counts as one."""
    waiting = [(entry.level, part) for part in reversed(entry.parts)]
    while waiting:
        level, part = waiting.pop()
        if level == 0:
            yield not source.can(Kind.CHUNK, part.id), part
            continue
        try:
            below = load_list(source, level, part.id).parts
        except (Damaged, NotFound):
            yield True, part
            continue
        waiting += [(level - 1, one) for one in reversed(below)]


def is_whole(source: Readings, tree: ObjectId) -> bool:
    """Whether everything below a tree can be read. What is missing of it is noted as wanted."""
    waiting = [tree]
    seen: set[ObjectId] = set()
    whole = True
    while waiting:
        at = waiting.pop()
        if at in seen or at in source.whole:
            continue
        seen.add(at)
        for piece in pieces(source, at):
            if isinstance(piece, Gap):
                whole = False
                continue
            whole &= all(source.can(Kind.CHUNK, part.id) for part in piece.pool)
            for item in items(piece, b""):
                if item.entry.kind == EntryKind.DIRECTORY:
                    waiting.append(item.entry.tree)
                elif any(lost for lost, _ in [*lost_parts(source, item.entry)]):
                    whole = False
    if whole:
        source.whole |= seen
    return whole


def roots(stored: Stored) -> list[ObjectId]:
    """Return the trees of a snapshot: the palace's, and those of its outside parts."""
    snapshot = stored.snapshot
    return [snapshot.root.tree, *(part.root.tree for part in snapshot.outside)]


def is_hit(source: Readings, stored: Stored) -> bool:
    """Whether a snapshot lacks anything; all of it is looked at."""
    return not all([is_whole(source, tree) for tree in roots(stored)])  # noqa: C419 - all of them
