"""Building a directory's tree: entries in, pieces cut where their names say, nodes above them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from palatine.capture.signatures import Record, Ref, Signatures
from palatine.capture.sink import Sink
from palatine.ids import Kind, ObjectId
from palatine.model.encoding import encode, encode_onto
from palatine.model.tree import (
    EMPTY_TREE,
    PIECE_BYTES,
    PIECE_MAX,
    PIECE_MIN,
    POOL_FULL,
    Branch,
    Entry,
    EntryKind,
    Node,
    Owner,
    Part,
    Piece,
    encode_piece,
    name_ends_piece,
)


class Counts(NamedTuple):
    """What a tree holds, everything below included; `size` in bytes."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    size: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sum."""
        return Counts(*(mine + its for mine, its in zip(self, other, strict=True)))


class OldPiece(NamedTuple):
    """A piece of the directory as it was, with its pool when somebody asks for it."""

    id: ObjectId
    piece: Piece


class DirectoryBuilder:
    """Takes a directory's entries in order of names and puts its tree."""

    def __init__(
        self,
        sink: Sink,
        signatures: Signatures,
        directory: bytes,
        old_nodes: dict[bytes, ObjectId],
    ) -> None:
        """`old_nodes` maps the first name below each old node to its id: delta bases.

        What each piece was made of is noted in `signatures`.
        """
        self._sink = sink
        self._signatures_file = signatures
        self._directory = directory
        self._old_nodes = old_nodes
        self._branches: list[Branch] = []
        self._old: OldPiece | None = None
        self.counts = Counts()
        self._clear()

    @property
    def at_boundary(self) -> bool:
        """Whether the next entry begins a piece."""
        return not self._names

    def begin_old(self, old: OldPiece | None) -> None:
        """Say which old piece the next entries take the place of."""
        self._old = old

    def add(self, entry: Entry, owner: Owner, signature: bytes, small: bytes = b"") -> None:
        """Append an entry; `small` are a pooled file's bytes."""
        index = self._owners.setdefault(owner, len(self._owners))
        if entry.owner != index:
            entry = msgspec.structs.replace(entry, owner=index)
        encode_onto(entry, self._entries)
        self._names.append(entry.name)
        self._signatures.append(signature)
        self._count(entry)
        if small:
            self._pool.append(small)
            self._pool_size += len(small)
        count = len(self._names)
        if (
            count >= PIECE_MAX
            or self._pool_size >= POOL_FULL
            or len(self._entries) >= PIECE_BYTES
            or (count >= PIECE_MIN and name_ends_piece(entry.name))
        ):
            self._close_piece()

    def reuse(self, record: Record) -> None:
        """Append a piece that is known to be as it was."""
        first = record.names.split(b"/", 1)[0]
        count = record.names.count(b"/") + 1
        self._branches.append(Branch(first, record.piece, count))
        self._signatures_file.add(record)
        self.counts = self.counts.plus(Counts(record.files, 0, record.symlinks, record.size))

    def finish(self) -> ObjectId:
        """Return the directory's tree."""
        if self._names:
            self._close_piece()
        if not self._branches:
            return self._sink.put(Kind.TREE, EMPTY_TREE)
        level, branches = 0, self._branches
        while len(branches) > 1:
            level += 1
            branches = [self._put_node(level, run) for run in _runs(branches)]
        return branches[0].id

    def _clear(self) -> None:
        self._owners: dict[Owner, int] = {}
        self._entries = bytearray()
        self._names: list[bytes] = []
        self._signatures: list[bytes] = []
        self._pool: list[bytes] = []
        self._pool_size = 0
        self._refs: list[Ref] = []
        self._has_directories = False
        self._files = self._symlinks = self._size = 0

    def _count(self, entry: Entry) -> None:
        if entry.kind == EntryKind.DIRECTORY:
            self._has_directories = True
        elif entry.kind == EntryKind.SYMLINK:
            self._symlinks += 1
        else:
            self._files += 1
            self._size += entry.size
            if entry.parts:
                self._refs += [Ref(entry.level, part.id) for part in entry.parts]

    def _close_piece(self) -> None:
        pool: tuple[Part, ...] = ()
        old = self._old
        if self._pool:
            base = old.piece.pool[0].id if old and old.piece.pool else None
            pool_id = self._sink.put(Kind.CHUNK, b"".join(self._pool), base)
            pool = (Part(pool_id, self._pool_size),)
            self._refs.append(Ref(0, pool_id))
        data = encode_piece(tuple(self._owners), pool, self._entries, len(self._names))
        piece_id = self._sink.put(Kind.TREE, data, old.id if old else None)
        self._branches.append(Branch(self._names[0], piece_id, len(self._names)))
        record = Record(
            self._directory, piece_id, b"/".join(self._names), b"".join(self._signatures),
            self._has_directories, tuple(self._refs), self._files, self._symlinks, self._size,
        )  # fmt: skip
        self._signatures_file.add(record)
        self.counts = self.counts.plus(Counts(self._files, 0, self._symlinks, self._size))
        self._clear()

    def _put_node(self, level: int, run: tuple[Branch, ...]) -> Branch:
        base = self._old_nodes.get(run[0].first) if level == 1 else None
        node_id = self._sink.put(Kind.TREE, encode(Node(level, run)), base)
        return Branch(run[0].first, node_id, sum(branch.count for branch in run))


def _runs(branches: list[Branch]) -> Iterator[tuple[Branch, ...]]:
    run: list[Branch] = []
    for branch in branches:
        if (len(run) >= PIECE_MIN and name_ends_piece(branch.first)) or len(run) == PIECE_MAX:
            yield tuple(run)
            run = []
        run.append(branch)
    yield tuple(run)
