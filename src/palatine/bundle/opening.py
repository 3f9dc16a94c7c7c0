"""Opening a file that may be a bundle: what it is says its content, never its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from palatine.bundle.age.keys import Keys
from palatine.bundle.age.streams import DecryptingReader, is_age
from palatine.bundle.files import sibling
from palatine.bundle.limits import Guard, Limits, Readable
from palatine.bundle.zstd import outline as zframes
from palatine.errors import Damaged, Malformed, PathNotFound, SourceError

_STEP = 1 << 17
_SNIFFED = 512
_SUM = re.compile(rb"\\?([0-9a-fA-F]{64})(?=\s|\Z)")
"""The beginning of what `sha256sum` writes, and of what tools write that leave out the name."""
_GZIP, _SQLITE = b"\x1f\x8b", b"SQLite format 3\0"


class Container(Enum):
    """What a file is, apart from encryption."""

    ZSTD = "zstd"
    GZIP = "gzip"
    TAR = "tar"
    DATABASE = "SQLite database"
    OTHER = "something else"


class Opened:
    """A file that is read once, from its beginning: `stream` is its content, unpacked.

    For a database or something else, the stream is the file's own bytes (decrypted).
    """

    def __init__(self, path: Path, file: BinaryIO, limits: Limits, keys: Keys) -> None:
        """Raises NoKey, Damaged, Malformed, SourceError."""
        self.path = path
        self._sum = _beside(path)
        self._file = _Counted(file, hash=self.has_sum)
        first = _first(self._file)
        stream: Readable = _Rewound(first, self._file)
        self.encrypted = is_age(first)
        self._age: DecryptingReader | None = None
        if self.encrypted:
            self._age = DecryptingReader(stream, keys, str(path))
            first = _first(self._age)
            stream = _Rewound(first, self._age)
        self._plain = stream
        self.container = _container(first)
        if self.container == Container.ZSTD:
            stream = zframes.decompressed(stream)
        elif self.container == Container.GZIP:
            stream = _Gunzip(stream)
        self.stream = Guard(stream, limits, lambda: self._file.count)

    @property
    def has_sum(self) -> bool:
        """Whether a file beside it says what its SHA-256 must be."""
        return self._sum is not None

    def finish(self) -> None:
        """Raise Damaged unless all was read, and it is what the `.sha256` beside it says."""
        if self.stream.read(1) or self._plain.read(1):
            raise Malformed(f"{self.path} goes on after its end")
        if self._age is not None:
            self._age.finish()
        if self._file.read(1):
            raise Malformed(f"{self.path} goes on after its end")
        if self._sum is not None:
            _compare(self.path, self._sum, self._file.hash.hexdigest())

    def close(self) -> None:
        """Leave it, wherever it stands."""
        if self._age is not None:
            self._age.close()


@contextlib.contextmanager
def opened(path: Path, limits: Limits, keys: Keys | None = None) -> Iterator[Opened]:
    """Open a file; raises PathNotFound, SourceError, NoKey, Damaged, Malformed."""
    try:
        # a named pipe would wait for somebody who writes to it
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise PathNotFound(f"there is nothing at {path}") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SourceError(f"{path} is not a file")
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        found = Opened(path, file, limits, keys or Keys())
        with contextlib.closing(found):
            yield found


def check_beside(path: Path) -> bool:
    """Compare a file as it is, opened or not, with the `.sha256` beside it; False without one.

    Raises Damaged, Malformed, SourceError.
    """
    said = _beside(path)
    if said is None:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    _compare(path, said, digest.hexdigest())
    return True


def _compare(path: Path, said: bytes, digest: str) -> None:
    beside, match = sibling(path), _SUM.match(said)
    if match is None:
        raise Malformed(f"{beside} holds no SHA-256", "take it away, or get a whole copy")
    if digest != match[1].decode().lower():
        raise Damaged(
            f"{path} is not what {beside.name} beside it says", "get a whole copy of both"
        )


def _beside(path: Path) -> bytes | None:
    """Return what the file `NAME.sha256` beside a bundle holds, None if there is none."""
    beside = sibling(path)
    try:
        with beside.open("rb") as file:
            return file.read(1 << 16)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{beside} cannot be read: {error.strerror or error}") from error


class _Counted:
    """A file, its bytes counted and, if somebody is to compare them, hashed."""

    def __init__(self, file: BinaryIO, hash: bool) -> None:
        self._file = file
        self._wanted = hash
        self.hash = hashlib.sha256()
        self.count = 0

    def read(self, size: int, /) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            name = os.fsdecode(self._file.name) if isinstance(self._file.name, str) else "the file"
            raise SourceError(f"{name} cannot be read: {error.strerror or error}") from error
        self.count += len(data)
        if self._wanted:
            self.hash.update(data)
        return data


class _Rewound:
    """A stream of which the first bytes have been read."""

    def __init__(self, first: bytes, rest: Readable) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if not self._first:
            return self._rest.read(size)
        data, self._first = self._first[:size], self._first[size:]
        return data


class _Gunzip:
    """The content of a gzip stream of one or more members (RFC 1952)."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(wbits=31)
        self._left = b""
        self._begun = False

    def read(self, size: int, /) -> bytes:
        if not size:
            return b""
        while True:
            at_end = not self._left and not (more := self._stream.read(_STEP))
            if not self._left and not at_end:
                self._left = more
            if at_end and not self._begun:
                return b""
            self._begun = True
            try:
                data = self._inflate.decompress(self._left, size)
            except zlib.error as error:
                raise Damaged(f"the bundle is damaged: {error}") from error
            self._left = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._left = self._inflate.unused_data
                self._inflate = zlib.decompressobj(wbits=31)
                self._begun = False
            elif at_end and not data:
                raise Damaged("the bundle ends too early: it was cut short")
            if data:
                return data


def _first(stream: Readable) -> bytes:
    first = b""
    while len(first) < _SNIFFED and (more := stream.read(_SNIFFED - len(first))):
        first += more
    return first


def _container(first: bytes) -> Container:
    if first.startswith(zframes.MAGIC):
        return Container.ZSTD
    if first.startswith(_GZIP):
        return Container.GZIP
    if first.startswith(_SQLITE):
        return Container.DATABASE
    if first[257:262] == b"ustar":
        return Container.TAR
    return Container.OTHER
