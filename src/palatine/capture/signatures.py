"""What each file's stat said when it was last captured, so that unchanged files are not read.

One file per captured place, in the cache: for every piece of every directory the names and stat
signatures that went into it. Stats belong to this host and not to the snapshot: inode and change
time in the trees would make equal palaces unequal (docs/adr/0004-signatures.md). A piece whose
names and signatures are all equal is reused without being read, decoded or built again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
from blake3 import blake3

from palatine.fsio import NewFile, make_directories
from palatine.ids import ObjectId
from palatine.model.tree import TIME_MAX_NS, TIME_MIN_NS

_MAGIC = b"PALSIGN\x03"
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
_DATABASES_DECODER = msgspec.msgpack.Decoder(dict[bytes, bytes])
_HEAD = struct.Struct("<BI")
_PIECE, _DATABASES = 0, 1


class Signatures:
    """The records of one place, and those that are being made to take their place.

    A file that is not whole is as good as none. Records are read and written one by one: those of a
    million files take 90 MB.
    """

    def __init__(self, path: Path | None) -> None:
        """Read what the last capture of the place left at `path`; None keeps nothing."""
        self._path = path
        self._file: IO[bytes] | None = None
        self._at: dict[tuple[bytes, ObjectId], tuple[int, int]] = {}
        self._fresh: NewFile | None = None
        self._hasher = blake3(_MAGIC)
        self.databases: dict[bytes, bytes] = {}
        """What the databases said when they were last captured, by path."""
        if path is not None:
            self._load(path)
            self._begin(path)

    def find(self, directory: bytes, piece: ObjectId) -> Record | None:
        """Return what was recorded of a piece in a directory."""
        place = self._at.get((directory, piece))
        if place is None or self._file is None:
            return None
        self._file.seek(place[0])
        return _DECODER.decode(self._file.read(place[1]))

    def add(self, record: Record) -> None:
        """Record a piece of the capture that is being made."""
        self._write(_PIECE, _ENCODER.encode(record))

    def save(self, databases: dict[bytes, bytes]) -> None:
        """Let what was recorded take the place of what was there."""
        self._write(_DATABASES, _ENCODER.encode(databases))
        if self._fresh is None or self._path is None:
            return
        with contextlib.suppress(OSError):  # a cache: without it the next capture reads everything
            self._fresh.write(self._hasher.digest())
            self._fresh.rename(self._path)

    def close(self) -> None:
        """Let go of files; what was not saved is gone."""
        if self._file is not None:
            self._file.close()
        if self._fresh is not None:
            self._fresh.close()

    def _begin(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            make_directories(path.parent)
            self._fresh = NewFile(path.parent)
            self._fresh.write(_MAGIC)

    def _write(self, kind: int, record: bytes) -> None:
        if self._fresh is None:
            return
        head = _HEAD.pack(kind, len(record))
        self._hasher.update(head)
        self._hasher.update(record)
        try:
            self._fresh.write(head)
            self._fresh.write(record)
        except OSError:
            self._fresh.close()
            self._fresh = None

    def _load(self, path: Path) -> None:
        try:
            file = path.open("rb")
        except OSError:
            return
        try:
            self._read_all(file)
        except (OSError, ValueError, msgspec.MsgspecError):
            self._at, self.databases = {}, {}
            file.close()
        else:
            self._file = file

    def _read_all(self, file: IO[bytes]) -> None:
        """Note where the records lie; raises ValueError when the file is not whole."""
        end = file.seek(0, os.SEEK_END) - blake3.digest_size
        file.seek(0)
        hasher = blake3(file.read(len(_MAGIC)))
        at = len(_MAGIC)
        while at < end:
            head = file.read(_HEAD.size)
            kind, size = _HEAD.unpack(head)
            record = file.read(min(size, end - at))
            hasher.update(head)
            hasher.update(record)
            at += _HEAD.size + size
            if kind == _DATABASES:
                self.databases = _DATABASES_DECODER.decode(record)
            else:
                key = _KEY.decode(record)
                self._at[key.directory, key.piece] = (at - size, size)
        file.seek(end)
        if at != end or hasher.digest() != file.read() or hasher.digest() == _EMPTY:
            raise ValueError("not whole")


class _Key(msgspec.Struct, array_like=True, frozen=True):
    directory: bytes
    piece: ObjectId


_KEY = msgspec.msgpack.Decoder(_Key)
_EMPTY = blake3(b"").digest()
