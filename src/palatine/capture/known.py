"""What the snapshot before knows of a directory: its pieces, and what may be used again."""

from __future__ import annotations

from collections.abc import Iterator

from palatine.capture.context import Context
from palatine.capture.pieces import OldPiece
from palatine.capture.signatures import SIGNATURE_SIZE, Record
from palatine.capture.sink import Sink
from palatine.errors import Damaged
from palatine.ids import Kind, ObjectId
from palatine.model.tree import Entry, Node, Owner, Piece, decode_tree
from palatine.store.trees import items, load_list


class Known:
    """What an old piece knows: its entries, and which of them a signature vouches for."""

    def __init__(self, sink: Sink, old: OldPiece | None, record: Record | None) -> None:
        self._sink = sink
        self._old = old
        self._pool: bytes | bytearray | None = None
        self._offsets: dict[bytes, int] = {}
        self.entries: dict[bytes, Entry] = {}
        self._signs: dict[bytes, bytes] = {}
        if old is None:
            return
        for item in items(old.piece, b""):
            self.entries[item.entry.name] = item.entry
            self._offsets[item.entry.name] = item.offset
        if record is not None:
            size = SIGNATURE_SIZE
            for at, name in enumerate(record.names.split(b"/")):
                self._signs[name] = record.signatures[at * size : (at + 1) * size]

    def unchanged(self, name: bytes, sign: bytes) -> tuple[Entry, Owner, bytes] | None:
        """Return the entry to use again, its owner and its pooled bytes, if it is as it was."""
        entry = self.entries.get(name)
        if entry is None or self._old is None or self._signs.get(name) != sign:
            return None
        try:
            if not all(is_whole(self._sink, entry.level, part.id) for part in entry.parts):
                return None
            small = self._pooled(entry) if entry.pooled else b""
        except Damaged:
            return None  # read again from the palace, and so made whole
        return entry, self._old.piece.owners[entry.owner], small

    def _pooled(self, entry: Entry) -> bytes:
        assert self._old is not None
        if self._pool is None:
            self._pool = self._sink.get(Kind.CHUNK, self._old.piece.pool[0].id)
        start = self._offsets[entry.name]
        return bytes(self._pool[start : start + entry.size])


class OldPieces:
    """The pieces a directory had, each with the range of names it answers for."""

    def __init__(
        self, context: Context, path: bytes, tree: ObjectId | None, nodes: dict[bytes, ObjectId]
    ) -> None:
        self._context = context
        self._path = path
        self._tree = tree
        self._nodes = nodes

    def ranges(self) -> Iterator[tuple[ObjectId | None, bytes | None]]:
        """Yield pieces in order, each with the name before which its range ends (None: no end)."""
        if self._tree is None:
            yield None, None
            return
        last: ObjectId | None = None
        for first, piece in self._below(self._tree, b""):
            if last is not None:
                yield last, first
            last = piece
        yield last, None

    def load(self, object_id: ObjectId) -> OldPiece | None:
        """Return a piece, or None when it cannot be read: then everything in it is read anew."""
        try:
            value = decode_tree(self._context.sink.get(Kind.TREE, object_id), object_id)
        except Damaged as error:
            self._context.reporter.notice(f"{error}; its files are read again")
            return None
        return OldPiece(object_id, value) if isinstance(value, Piece) else None

    def _below(self, tree: ObjectId, first: bytes) -> Iterator[tuple[bytes, ObjectId]]:
        if self._context.signatures.find(self._path, tree) is not None:
            yield first, tree
            return
        try:
            value = decode_tree(self._context.sink.get(Kind.TREE, tree), tree)
        except Damaged as error:
            self._context.reporter.notice(f"{error}; its files are read again")
            return
        if isinstance(value, Node):
            if value.level == 1:
                self._nodes[value.branches[0].first] = tree
            for branch in value.branches:
                yield from self._below(branch.id, branch.first)
        else:
            yield first, tree


def is_whole(sink: Sink, level: int, object_id: ObjectId) -> bool:
    """Whether a chunk, or a list with all its chunks, is present."""
    if not sink.present(object_id):
        return False
    if level == 0:
        return True
    try:
        below = load_list(sink, level, object_id)
    except Damaged:
        return False
    return all(is_whole(sink, level - 1, part.id) for part in below.parts)
