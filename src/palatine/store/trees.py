"""Walking trees and lists: what a snapshot holds, piece by piece, never a directory at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple, Protocol

from palatine.errors import Malformed, PathNotFound
from palatine.ids import Kind, ObjectId
from palatine.model.filelist import decode_list
from palatine.model.tree import Branch, Entry, EntryKind, Owner, Part, Piece, decode_tree


class Source(Protocol):
    """Where objects come from: a repository, or whatever else can give verified bytes by id."""

    def get(self, kind: Kind, object_id: ObjectId, /) -> bytes | bytearray:
        """Return an object's plain bytes, verified."""


class Item(NamedTuple):
    """An entry on a walk: its path from the root (bytes, slashes), and the piece that holds it."""

    path: bytes
    entry: Entry
    piece: Piece
    offset: int
    """Where the bytes of a pooled file begin in the piece's pool."""

    @property
    def owner(self) -> Owner:
        """The entry's user and group."""
        return self.piece.owners[self.entry.owner]


def leaves(
    source: Source, tree: ObjectId, skip: Set[ObjectId] = frozenset()
) -> Iterator[tuple[ObjectId, Piece]]:
    """Yield the pieces of one directory, in order of names, with their ids, save those to skip."""
    waiting = [tree]
    while waiting:
        at = waiting.pop()
        if at in skip:
            continue
        value = decode_tree(source.get(Kind.TREE, at), at)
        if isinstance(value, Piece):
            yield at, value
        else:
            waiting += [branch.id for branch in reversed(value.branches)]


def items(piece: Piece, directory: bytes) -> Iterator[Item]:
    """Yield the entries of a piece as items below `directory` (empty, or ending in a slash)."""
    offset = 0
    for entry in piece.entries:
        yield Item(directory + entry.name, entry, piece, offset)
        if entry.pooled:
            offset += entry.size


def children(source: Source, tree: ObjectId, directory: bytes = b"") -> Iterator[Item]:
    """Yield what lies directly in a directory, in order of names."""
    for _, piece in leaves(source, tree):
        yield from items(piece, directory)


def walk(source: Source, tree: ObjectId, directory: bytes = b"") -> Iterator[Item]:
    """Yield everything below a directory, each directory before what is in it."""
    stack = [children(source, tree, directory)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            continue
        yield item
        if item.entry.kind == EntryKind.DIRECTORY:
            stack.append(children(source, item.entry.tree, item.path + b"/"))


def find(source: Source, tree: ObjectId, path: bytes) -> Item:
    """Return the entry at a path (no leading slash); raises PathNotFound."""
    names = [name for name in path.split(b"/") if name]
    at, directory = tree, b""
    for depth, name in enumerate(names):
        item = _lookup(source, at, name, directory)
        if item is None or (depth < len(names) - 1 and item.entry.kind != EntryKind.DIRECTORY):
            raise PathNotFound(f"no {path.decode(errors='replace')!r} in the snapshot")
        if depth == len(names) - 1:
            return item
        at, directory = item.entry.tree, item.path + b"/"
    raise PathNotFound("an empty path names the root itself")


def chunks(source: Source, entry: Entry) -> Iterator[Part]:
    """Yield a file's chunks in order: ids and sizes."""
    yield from expand(source, entry.level, entry.parts)


def expand(source: Source, level: int, parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the chunks below parts of some level."""
    for part in parts:
        if level == 0:
            yield part
        else:
            value = decode_list(source.get(Kind.LIST, part.id), part.id)
            yield from expand(source, value.level - 1, value.parts)


def extents(source: Source, entry: Entry) -> Iterator[tuple[int, Part]]:
    """Yield a file's chunks with their offsets in the file, holes passed over."""
    offset = 0
    holes = iter((*entry.holes, (entry.size, 0)))
    hole, length = next(holes)
    for part in chunks(source, entry):
        while hole <= offset and length:
            offset = hole + length
            hole, length = next(holes)
        yield offset, part
        offset += part.size


def chunk(source: Source, part: Part) -> bytes | bytearray:
    """Return a chunk's bytes; raises Damaged also when it is not as long as its part says."""
    data = source.get(Kind.CHUNK, part.id)
    if len(data) != part.size:
        raise Malformed(f"chunk {part.id.hex()} has {len(data)} bytes, a file wants {part.size}")
    return data


def file_bytes(source: Source, item: Item) -> Iterator[bytes | bytearray]:
    """Yield a file's bytes in order, in pieces of at most a few MiB, holes as zeros."""
    entry = item.entry
    if entry.pooled:
        pool = chunk(source, item.piece.pool[0])
        yield pool[item.offset : item.offset + entry.size]
        return
    at = 0
    for offset, part in extents(source, entry):
        yield from _zeros(offset - at)
        yield chunk(source, part)
        at = offset + part.size
    yield from _zeros(entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, 1 << 20))
        count -= 1 << 20


def _lookup(source: Source, tree: ObjectId, name: bytes, directory: bytes) -> Item | None:
    value = decode_tree(source.get(Kind.TREE, tree), tree)
    while not isinstance(value, Piece):
        below = _branch(value.branches, name)
        if below is None:
            return None
        value = decode_tree(source.get(Kind.TREE, below), below)
    for item in items(value, directory):
        if item.entry.name == name:
            return item
    return None


def _branch(branches: tuple[Branch, ...], name: bytes) -> ObjectId | None:
    found = None
    for branch in branches:
        if branch.first > name:
            break
        found = branch.id
    return found
