"""Walking trees and lists: what a snapshot holds, piece by piece, never a directory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from palatine.errors import Malformed, PathNotFound
from palatine.ids import Kind, ObjectId
from palatine.model.filelist import FileList, decode_list
from palatine.model.tree import (
    MAX_LEVEL,
    Branch,
    Entry,
    EntryKind,
    Node,
    Owner,
    Part,
    Piece,
    Tree,
    decode_tree,
)


class Source(Protocol):
    """Where objects come from: a repository, or whatever else can give verified bytes by id."""

    def get(self, kind: Kind, object_id: ObjectId, /) -> bytes | bytearray:
        """Return an object's plain bytes, verified."""


@runtime_checkable
class Foreseeing(Protocol):
    """A source that is glad to hear what it will be asked for, because it may be far away."""

    def expect(self, ids: Iterable[ObjectId], /) -> None:
        """Hear which objects will be asked for soon, in this order."""


def expectation(source: Source) -> Callable[[Iterable[ObjectId]], None]:
    """Return what to call with the ids of objects that will be asked for soon, in this order."""
    return source.expect if isinstance(source, Foreseeing) else lambda ids: None


class NotKept(Exception):
    """An object of which a source knows only the id: nobody wanted its bytes kept."""


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
    """Yield the pieces of one directory, in order of names, with their ids, save those to skip.

    Raises Malformed where a node does not say what is below it.
    """
    waiting: list[tuple[ObjectId, int, Branch | None]] = [(tree, MAX_LEVEL + 1, None)]
    last = b""
    while waiting:
        at, above, branch = waiting.pop()
        if at in skip:
            continue
        value = decode_tree(source.get(Kind.TREE, at), at)
        _check_below(at, value, above, branch)
        if isinstance(value, Piece):
            if value.entries:
                if value.entries[0].name <= last:
                    raise Malformed(f"tree {at.hex()} holds names of the piece before it")
                last = value.entries[-1].name
            yield at, value
        else:
            waiting += [(one.id, value.level, one) for one in reversed(value.branches)]


def _check_below(at: ObjectId, value: Tree, above: int, branch: Branch | None) -> None:
    level, first, count = _outline(value)
    fits = level < above if branch is None else level == above - 1
    if branch is not None and (first, count) != (branch.first, branch.count):
        fits = False
    if not fits:
        raise Malformed(f"tree {at.hex()} is not what the node above it says")


def _outline(value: Tree) -> tuple[int, bytes, int]:
    """Return a tree's level, its first name and how many entries are in it."""
    if isinstance(value, Node):
        return value.level, value.branches[0].first, sum(one.count for one in value.branches)
    return 0, value.entries[0].name if value.entries else b"", len(value.entries)


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
    """Yield the chunks below parts of some level; raises Malformed where sizes do not add up."""
    for part in parts:
        if level == 0:
            yield part
            continue
        value = load_list(source, level, part.id)
        if sum(below.size for below in value.parts) != part.size:
            raise Malformed(f"list {part.id.hex()} is not as long as a file wants it")
        yield from expand(source, level - 1, value.parts)


def load_list(source: Source, level: int, object_id: ObjectId) -> FileList:
    """Return a list, which must be of a given level."""
    value = decode_list(source.get(Kind.LIST, object_id), object_id)
    if value.level != level:
        raise Malformed(f"list {object_id.hex()} is of level {value.level}, not {level}")
    return value


def extents(source: Source, entry: Entry) -> Iterator[tuple[int, Part]]:
    """Yield a file's chunks with their offsets in the file, holes passed over."""
    offset = 0
    holes = iter((*entry.holes, (entry.size, 0)))
    hole, length = next(holes)
    for part in chunks(source, entry):
        while hole <= offset and length:
            offset = hole + length
            hole, length = next(holes)
        if offset < hole < offset + part.size:
            raise Malformed(f"a hole begins inside chunk {part.id.hex()}")
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


def is_same_file(source: Source, first: Item, second: Item) -> bool:
    """Whether two names of one file were captured with the same bytes, owner, mode and time.

    They differ when the file was rewritten between the reading of its two names.
    """
    # all but the names, which differ; owners are numbered by piece and compared themselves
    mine, its = (
        msgspec.structs.replace(one.entry, name=b"", owner=0, link=b"") for one in (first, second)
    )
    if mine != its or first.owner != second.owner:
        return False
    if not first.entry.pooled:
        return True
    one, other = (b"".join(file_bytes(source, item)) for item in (first, second))
    return one == other


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, 1 << 20))
        count -= 1 << 20


def _lookup(source: Source, tree: ObjectId, name: bytes, directory: bytes) -> Item | None:
    at, above = tree, MAX_LEVEL + 1
    branch: Branch | None = None
    while True:
        value = decode_tree(source.get(Kind.TREE, at), at)
        _check_below(at, value, above, branch)
        if isinstance(value, Piece):
            found = (item for item in items(value, directory) if item.entry.name == name)
            return next(found, None)
        branch = _branch(value.branches, name)
        if branch is None:
            return None
        at, above = branch.id, value.level


def _branch(branches: tuple[Branch, ...], name: bytes) -> Branch | None:
    found = None
    for branch in branches:
        if branch.first > name:
            break
        found = branch
    return found
