"""What each file's stat said when it was last captured, so that unchanged files are not read.

One file per captured place, in the cache: for every piece of every directory the names and stat
signatures that went into it. Stats belong to this host and not to the snapshot: inode and change
time in the trees would make equal palaces unequal (docs/adr/0004-signatures.md). A piece whose
names and signatures are all equal is reused without being read, decoded or built again.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
from blake3 import blake3

from palatine.fsio import make_directories, replace
from palatine.ids import ObjectId
from palatine.model.tree import TIME_MAX_NS, TIME_MIN_NS

_MAGIC = b"PALSIGN\x02"
_SIGNATURE = struct.Struct("<QQQQQIIII")
_WORD = (1 << 64) - 1
SIGNATURE_SIZE = _SIGNATURE.size
UNKNOWN = bytes(SIGNATURE_SIZE)
"""The signature of what must be read again next time."""

TICK_NS = 20_000_000
"""A file stamped this shortly before the capture began, or later, may change again within one tick
of the file system's clock (1 to 10 ms on older kernels) without a sign."""


def signature(status: os.stat_result) -> bytes:
    """Return what tells a file from a changed one: inode, size, times, mode, owner, links."""
    return _SIGNATURE.pack(
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns & _WORD,  # a time after 2262 takes more than 63 bits
        status.st_ctime_ns & _WORD,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
    )


def stamp_ns(status: os.stat_result) -> int:
    """Return when a file was changed, as far as an entry can say it."""
    return min(max(status.st_mtime_ns, TIME_MIN_NS), TIME_MAX_NS)


def settled(status: os.stat_result, began_ns: int) -> bool:
    """Whether a later change of the file is sure to show in its signature."""
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    return newest < began_ns - TICK_NS or stat.S_ISDIR(status.st_mode)


class Ref(NamedTuple):
    """An object a piece refers to: at level 0 a chunk, above a list."""

    level: int
    id: ObjectId


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A piece as it was captured: its names, joined by slashes; their signatures, one after the
    other; what it refers to; and the counts it adds to a snapshot.
    """

    directory: bytes
    piece: ObjectId
    names: bytes
    signatures: bytes
    has_directories: bool
    refs: tuple[tuple[int, bytes], ...]
    files: int
    symlinks: int
    size: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Record)
_DATABASES = msgspec.msgpack.Decoder(dict[bytes, bytes])


class Signatures:
    """The records of one place. A file that is not whole is as good as none."""

    def __init__(self, path: Path | None) -> None:
        """Read what the last capture of the place left at `path`."""
        self._path = path
        self._data = b""
        self._at: dict[tuple[bytes, ObjectId], tuple[int, int]] = {}
        self.databases: dict[bytes, bytes] = {}
        """What the databases said when they were last captured, by path."""
        if path is not None:
            self._load(path)

    def find(self, directory: bytes, piece: ObjectId) -> Record | None:
        """Return what was recorded of a piece in a directory."""
        place = self._at.get((directory, piece))
        if place is None:
            return None
        return _DECODER.decode(memoryview(self._data)[place[0] : place[1]])

    def save(self, records: Iterable[bytes], databases: dict[bytes, bytes]) -> None:
        """Replace everything by what a new capture noted; records as `encode` made them."""
        if self._path is None:
            return
        body = bytearray(_MAGIC)
        for record in (_ENCODER.encode(databases), *records):
            body += len(record).to_bytes(4, "little")
            body += record
        try:
            make_directories(self._path.parent)
            replace(self._path, bytes(body) + blake3(body).digest())
        except OSError:
            return  # a cache: without it the next capture reads everything

    def _load(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError:
            return
        body = memoryview(data)[:-32]
        if data[: len(_MAGIC)] != _MAGIC or blake3(body).digest() != data[-32:]:
            return
        self._data = data
        at = len(_MAGIC)
        size = int.from_bytes(body[at : at + 4], "little")
        self.databases = _DATABASES.decode(body[at + 4 : at + 4 + size])
        at += 4 + size
        while at < len(body):
            size = int.from_bytes(body[at : at + 4], "little")
            record = _KEY.decode(body[at + 4 : at + 4 + size])
            self._at[record.directory, record.piece] = (at + 4, at + 4 + size)
            at += 4 + size


class _Key(msgspec.Struct, array_like=True, frozen=True):
    directory: bytes
    piece: ObjectId


_KEY = msgspec.msgpack.Decoder(_Key)


def encode(record: Record) -> bytes:
    """Return a record's bytes, as `Signatures.save` takes them."""
    return _ENCODER.encode(record)
