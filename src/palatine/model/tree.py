"""Trees: the entries of a directory, cut into pieces where it is large.

A piece (level 0) holds entries in order of their names; a node (level 1 and up) holds references
to pieces or nodes. Where a piece ends depends only on names and sizes near its end, so a change
rewrites the piece it falls into and the path above it, also in a directory of a million files.

The contents of small files are not chunks of their own: those of one piece lie one after the other,
in the order of their entries, in one chunk, the piece's *pool* (docs/adr/0002-pools.md).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum

from palatine.errors import Malformed
from palatine.ids import ID_SIZE, Buffer, ObjectId
from palatine.model.encoding import Decoder, Stored, array_header, encode

POOLED_MAX = 16 * 1024
"""A file of at most this many bytes, and without holes, lies in its piece's pool."""

POOL_FULL = 512 * 1024
"""A piece ends after the entry with which its pool reaches this many bytes."""

PIECE_MIN, PIECE_MAX = 64, 2048
"""Entries (or references) in a piece: at least, before a name may end it, and at most."""

PIECE_BYTES = 1 << 20
"""A piece ends after the entry with which its encoded entries reach this many bytes."""

CUT_MASK = 0xFF
"""A name ends a piece when the low bits of its CRC-32 are all zero: one name in 256."""

MAX_LEVEL = 8
NAME_MAX = 4096
SIZE_MAX = (1 << 63) - 1
"""Bytes in the largest file a system can hold."""

TIME_MIN_NS, TIME_MAX_NS = -(1 << 63), (1 << 64) - 1
"""1677 to 2554: what MessagePack can say. A stamp beyond is recorded as the nearest of these."""


class EntryKind(IntEnum):
    """What an entry is."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2


class Owner(Stored, frozen=True):
    """User and group: numbers as recorded, names where the host had them."""

    uid: int
    user: str
    gid: int
    group: str


class Part(Stored, frozen=True):
    """A run of a file's bytes: a chunk (or, at `Content.level` > 0, a list) and its length."""

    id: ObjectId
    size: int


class Entry(Stored, frozen=True):
    """One name in a directory.

    `mode` is the permission bits (07777), `owner` an index into the tree's owners, `mtime_ns`
    nanoseconds since the epoch, `size` bytes (0 for what is no file). `level` and `parts` say where
    a file's bytes are: chunks (0) or lists (1 and up), in order, holes left out; no parts and a
    size: in the pool. A directory has one part, its tree. `holes` are (offset, length) in order.
    `target` is a symlink's. `link` is set on the second and later names of one inode: the path,
    from the palace's root, of the first.
    """

    name: bytes
    kind: EntryKind
    mode: int
    owner: int
    mtime_ns: int
    size: int = 0
    level: int = 0
    parts: tuple[Part, ...] = ()
    holes: tuple[tuple[int, int], ...] = ()
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    target: bytes = b""
    link: bytes = b""

    @property
    def pooled(self) -> bool:
        """Whether the file's bytes lie in the pool of its piece."""
        return self.kind == EntryKind.FILE and self.size > 0 and not self.parts and not self.holes

    @property
    def tree(self) -> ObjectId:
        """The id of a directory's tree."""
        return self.parts[0].id


class Branch(Stored, frozen=True):
    """A node's reference: the first name below, the tree it stands for, the entries in it."""

    first: bytes
    id: ObjectId
    count: int


class Piece(Stored, frozen=True, tag=0):
    """A run of a directory's entries (level 0)."""

    owners: tuple[Owner, ...]
    pool: tuple[Part, ...]
    entries: tuple[Entry, ...]

    def pooled(self) -> Iterator[tuple[Entry, int]]:
        """Yield each pooled entry with the offset of its bytes in the pool."""
        offset = 0
        for entry in self.entries:
            if entry.pooled:
                yield entry, offset
                offset += entry.size


class Node(Stored, frozen=True, tag=1):
    """References to pieces or, at `level` above 1, to nodes of the level below."""

    level: int
    branches: tuple[Branch, ...]


Tree = Piece | Node
_TREE: Decoder[Tree] = Decoder(Tree)  # type: ignore[arg-type]  # a union is no class

EMPTY_TREE = encode(Piece((), (), ()))


def decode_tree(data: Buffer, object_id: ObjectId) -> Tree:
    """Return a tree from its bytes; raises Malformed, naming the object."""
    what = f"tree {object_id.hex()}"
    tree = _TREE.decode(data, what)
    if isinstance(tree, Piece):
        _check_piece(tree, what)
    elif not 1 <= tree.level <= MAX_LEVEL or not tree.branches:
        raise Malformed(f"{what} has a bad level or no branches")
    else:
        _check_order([branch.first for branch in tree.branches], what)
        _check_ids([branch.id for branch in tree.branches], what)
    return tree


def decode_unchecked(data: Buffer, object_id: ObjectId) -> Tree:
    """Return a tree for who only follows what it names: what else it holds is not looked at."""
    return _TREE.decode(data, f"tree {object_id.hex()}")


def encode_piece(
    owners: Sequence[Owner], pool: Sequence[Part], entries: Buffer, count: int
) -> bytes:
    """Return a piece's bytes from entries that are encoded already, `count` of them."""
    head = b"\x94\x00" + encode(tuple(owners)) + encode(tuple(pool)) + array_header(count)
    return b"".join((head, entries))


def name_ends_piece(name: bytes) -> bool:
    """Whether a piece may end after this name."""
    return not zlib.crc32(name) & CUT_MASK


def check_name(name: bytes, what: str) -> None:
    """Raise Malformed for a name that could lead out of its directory or name nothing."""
    if not name or b"/" in name or b"\0" in name or name in (b".", b"..") or len(name) > NAME_MAX:
        raise Malformed(f"{what} holds the bad name {name[:80]!r}")


def check_root(entry: Entry, what: str) -> None:
    """Raise Malformed unless an entry can be the root of a palace: a directory without a name."""
    if entry.name or entry.kind != EntryKind.DIRECTORY:
        raise Malformed(f"{what} has a root that is none")
    _check_entry(entry, 1, what)


def check_owner(owner: Owner, what: str) -> None:
    """Raise Malformed for an owner that no system can have."""
    numbers = 0 <= owner.uid < 1 << 32 and 0 <= owner.gid < 1 << 32
    if not numbers or "\0" in owner.user or "\0" in owner.group:
        raise Malformed(f"{what} holds a bad owner")


def _check_order(names: list[bytes], what: str) -> None:
    for name in names:
        check_name(name, what)
    if any(a >= b for a, b in itertools.pairwise(names)):
        raise Malformed(f"{what} has names out of order")


def _check_ids(ids: list[ObjectId], what: str) -> None:
    if any(len(one) != ID_SIZE for one in ids):
        raise Malformed(f"{what} holds an id that is not {ID_SIZE} bytes")


def _check_piece(piece: Piece, what: str) -> None:
    entries = piece.entries
    _check_order([entry.name for entry in entries], what)
    _check_ids([part.id for part in piece.pool], what)
    for owner in piece.owners:
        check_owner(owner, what)
    for entry in entries:
        _check_entry(entry, len(piece.owners), what)
    pooled = sum(entry.size for entry in entries if entry.pooled)
    if pooled != sum(part.size for part in piece.pool) or len(piece.pool) != bool(pooled):
        raise Malformed(f"{what} has a pool that does not fit its entries")


def _check_entry(entry: Entry, owners: int, what: str) -> None:
    fits = (
        0 <= entry.owner < owners
        and 0 <= entry.mode <= 0o7777
        and 0 <= entry.size <= SIZE_MAX
        and TIME_MIN_NS <= entry.mtime_ns <= TIME_MAX_NS
        and _FITS_KIND[entry.kind](entry)
        and all(len(part.id) == ID_SIZE for part in entry.parts)
    )
    if not fits or (entry.xattrs and not _good_xattrs(entry)):
        raise Malformed(f"{what} holds a bad entry {entry.name[:80]!r}")
    if entry.link:
        for name in entry.link.split(b"/"):
            check_name(name, what)


def _good_xattrs(entry: Entry) -> bool:
    names = [name for name, _ in entry.xattrs]
    return names == sorted(set(names)) and all(name and b"\0" not in name for name in names)


def _fits_file(entry: Entry) -> bool:
    return not entry.target and all(part.size > 0 for part in entry.parts) and _adds_up(entry)


def _fits_directory(entry: Entry) -> bool:
    empty = (entry.size, entry.level, entry.holes, entry.target, entry.link) == (0, 0, (), b"", b"")
    return empty and len(entry.parts) == 1 and entry.parts[0].size == 0


def _fits_symlink(entry: Entry) -> bool:
    empty = (entry.size, entry.level, entry.holes, entry.parts, entry.link) == (0, 0, (), (), b"")
    return empty and bool(entry.target) and b"\0" not in entry.target


_FITS_KIND = {
    EntryKind.FILE: _fits_file,
    EntryKind.DIRECTORY: _fits_directory,
    EntryKind.SYMLINK: _fits_symlink,
}


def _adds_up(entry: Entry) -> bool:
    end = 0
    for offset, length in entry.holes:
        if offset < end or length <= 0:
            return False
        end = offset + length
    if end > entry.size or not 0 <= entry.level <= MAX_LEVEL:
        return False
    if not entry.parts and entry.level:
        return False
    if not entry.parts and not entry.holes:
        return entry.size <= POOLED_MAX
    stored = sum(part.size for part in entry.parts) + sum(length for _, length in entry.holes)
    return stored == entry.size
