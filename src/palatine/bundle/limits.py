"""What a bundle may ask of us before we stop: sizes, ratios, counts; and the guard that counts."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from palatine.errors import Refused

TIB = 1 << 40
GRACE = 256 << 20
"""Bytes that any bundle may unpack to, whatever the ratio: SQLite pages of zeros are honest."""

PATH_MAX = 1 << 18
"""Bytes in the longest path: a thousand directories, each with the longest name."""

NAME_MAX = 1020
"""Bytes in the longest name that a file system of ours holds: 255 characters of 4 bytes."""

DEPTH_MAX = 1024
"""Directories that may lie in each other: whoever captured them had each open."""

_HELD = 100_000
"""Names that are remembered in memory; more go to a scratch file."""


@dataclass(frozen=True)
class Limits:
    """Bounds for one bundle: bytes it unpacks to, times its compressed size, entries.

    `allow_case_folding`: names that differ only in case, or in how they spell an accent, may stand
    in one directory. Linux holds them; macOS and Windows would lose one.
    """

    max_size: int = TIB
    max_ratio: float = 250.0
    max_entries: int = 20_000_000
    allow_case_folding: bool = False


def beyond(dense: int, compressed: int) -> list[str]:
    """Return the options without which our own limits refuse what has these sizes in bytes.

    `dense` are the bytes that lie in no hole.
    """
    usual = Limits()
    found = []
    if dense > usual.max_size:
        found.append("--max-size")
    if dense > GRACE and dense > usual.max_ratio * max(compressed, 1):
        found.append("--max-ratio")
    return found


class Readable(Protocol):
    """A stream: `read(n)` returns at most n bytes, none only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return some of the next `size` bytes."""


class Guard:
    """Reads a stream that was compressed, and stops it when it grows beyond bounds.

    `compressed()` says how many bytes have gone in. `sparse` bytes do not count for the ratio:
    holes that the manifest declares, and whose zeros are checked as they pass.
    """

    def __init__(self, stream: Readable, limits: Limits, compressed: Callable[[], int]) -> None:
        self._stream = stream
        self._limits = limits
        self._compressed = compressed
        self.passed = 0
        """Bytes that came out."""
        self.sparse = 0

    def read(self, size: int, /) -> bytes:
        """Return some of the next `size` bytes; raises Refused beyond a limit."""
        data = self._stream.read(size)
        self.passed += len(data)
        limits = self._limits
        if self.passed > limits.max_size:
            raise Refused(
                f"the bundle unpacks to more than {limits.max_size} bytes",
                "if it is to be that large, allow it with --max-size",
            )
        dense = self.passed - self.sparse
        if dense > GRACE and dense > limits.max_ratio * max(self._compressed(), 1):
            raise Refused(
                f"the bundle unpacks to more than {limits.max_ratio:g} times its size,"
                " as bundles made to fill disks do",
                "if you know where it comes from, allow it with --max-ratio",
            )
        return data

    def drain(self) -> None:
        """Read all that is left."""
        while self.read(1 << 20):
            pass


def check_count(count: int, limits: Limits) -> None:
    """Raise Refused for more entries than a bundle may have."""
    if count > limits.max_entries:
        raise Refused(
            f"the bundle has more than {limits.max_entries:,} entries",
            "nothing was kept of it; a palace of so many files is not known to exist",
        )


def folded(name: bytes) -> bytes:
    """Return what a name is on a file system that does not tell case, or spellings of accents."""
    if name.isascii():
        return name.lower()
    text = unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFC", text.casefold()).encode("utf-8", "surrogateescape")


class Seen:
    """Byte strings that were seen, in bounded memory: beyond some, in SQLite's temporary file."""

    def __init__(self, held: int = _HELD) -> None:
        self._held = held
        self._names: set[bytes] = set()
        self._db: sqlite3.Connection | None = None

    def add(self, name: bytes) -> bool:
        """Remember a name; return whether it is new."""
        key = _key(name)
        if self._known(key):
            return False
        self._names.add(key)
        if len(self._names) >= self._held:
            self._spill()
        return True

    def __contains__(self, name: bytes) -> bool:
        return self._known(_key(name))

    def clear(self) -> None:
        """Forget all."""
        self._names.clear()
        if self._db is not None:
            self._db.close()
            self._db = None

    def __del__(self) -> None:
        self.clear()

    def _known(self, key: bytes) -> bool:
        if key in self._names:
            return True
        if self._db is None:
            return False
        return self._db.execute("SELECT 1 FROM seen WHERE key=?", (key,)).fetchone() is not None

    def _spill(self) -> None:
        if self._db is None:
            # without a name: a file of SQLite's own, gone when it is closed or the process ends
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA cache_size=-8000")
            self._db.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
        rows = ((key,) for key in sorted(self._names))
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO seen VALUES (?)", rows)
        self._db.execute("COMMIT")
        self._names.clear()


def _key(name: bytes) -> bytes:
    return blake2b(name, digest_size=16).digest()
