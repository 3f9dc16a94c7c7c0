"""What was read from packs far away, kept here: blocks in memory and, within bounds, on the disk.

Packs never change, so a block is good as long as it is whole; each carries a digest that also binds
it to its place. Whoever must know what the store itself holds (verify, repair, gc) reads past this.

One block is fetched at first, and more at a time while a pack is read from front to back. Only
what was read here and there goes to the disk: trees and bases, which are wanted again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from palatine.backends.base import Backend

BLOCK = 256 << 10
_AHEAD = 16
"""Blocks in one request at most: 4 MiB."""

_MEMORY = 64
"""Blocks kept in memory: 16 MiB."""

DISK = 512 << 20
"""Bytes kept on the disk, for each repository."""
_AFTER_SWEEP = 0.8

_DIGEST = 16
_STRIPES = 16


class BlockCache:
    """Reads of packs through a cache. Safe to use from several threads and processes."""

    def __init__(self, backend: Backend, directory: Path, limit: int = DISK) -> None:
        """Keep up to `limit` bytes in a directory, which is made when it is needed."""
        self._backend = backend
        self._directory = directory
        self._limit = limit
        self._memory: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._next: dict[str, tuple[int, int]] = {}
        self._stored: int | None = None
        self._lock = threading.Lock()
        self._fetching = [threading.Lock() for _ in range(_STRIPES)]

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""
        if not length:
            return b""
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        # one thread fetches what many want of a pack
        with self._fetching[hash(name) % _STRIPES]:
            blocks = [self._block(name, number, last) for number in range(first, last + 1)]
        start = offset - first * BLOCK
        return b"".join(blocks)[start : start + length]

    def forget(self, names: Iterable[str]) -> None:
        """Drop what is kept of some packs."""
        for name in {*names}:
            with self._fetching[hash(name) % _STRIPES]:  # what a thread reads now goes too
                with self._lock:
                    for key in [key for key in self._memory if key[0] == name]:
                        del self._memory[key]
                for path in self._directory.glob(f"{_file_name(name)}-*"):
                    path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._memory.clear()
            for path, _, _ in self._files():
                path.unlink(missing_ok=True)
            self._stored = None

    def _block(self, name: str, number: int, last: int) -> bytes:
        """Return a block; `last` is one that is wanted as well."""
        with self._lock:
            block = self._memory.get((name, number))
            if block is not None:
                self._memory.move_to_end((name, number))
                return block
        block = self._from_disk(name, number)
        if block is None:
            return self._fetch(name, number, last)
        self._keep(name, number, block)
        return block

    def _fetch(self, name: str, number: int, last: int) -> bytes:
        expected, count = self._next.get(name, (-1, 1))
        goes_on = number == expected
        count = min(2 * count, _AHEAD) if goes_on else 1
        count = max(count, min(last - number + 1, _AHEAD))
        data = self._backend.read(name, number * BLOCK, count * BLOCK)
        self._next[name] = (number + count, count)
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
        for at, block in enumerate(blocks):
            self._keep(name, number + at, block)
            if not goes_on:
                self._to_disk(name, number + at, block)
        return blocks[0]

    def _keep(self, name: str, number: int, block: bytes) -> None:
        with self._lock:
            self._memory[name, number] = block
            self._memory.move_to_end((name, number))
            while len(self._memory) > _MEMORY:
                self._memory.popitem(last=False)

    def _from_disk(self, name: str, number: int) -> bytes | None:
        path = self._path(name, number)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        block = data[_DIGEST:]
        if data[:_DIGEST] != _digest(name, number, block):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the sweep begins with what was not wanted for longest
        return block

    def _to_disk(self, name: str, number: int, block: bytes) -> None:
        """Write a block as well as may be: one that is torn, or does not fit, is fetched again."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            with os.fdopen(os.open(self._path(name, number), flags, 0o600), "wb") as file:
                file.write(_digest(name, number, block) + block)
        except OSError:
            return
        with self._lock:
            if self._stored is None:
                self._stored = sum(size for _, size, _ in self._files())
            else:
                self._stored += len(block) + _DIGEST
            if self._stored > self._limit:
                self._sweep()

    def _sweep(self) -> None:
        left = 0
        newest_first = sorted(self._files(), key=lambda file: file[2], reverse=True)
        for path, size, _ in newest_first:
            if left + size > self._limit * _AFTER_SWEEP:
                path.unlink(missing_ok=True)
            else:
                left += size
        self._stored = left

    def _files(self) -> list[tuple[Path, int, int]]:
        files = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._directory):
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat()
                    files.append((Path(entry.path), stat.st_size, stat.st_mtime_ns))
        return files

    def _path(self, name: str, number: int) -> Path:
        return self._directory / f"{_file_name(name)}-{number}"


def _file_name(name: str) -> str:
    return blake2b(name.encode(), digest_size=_DIGEST).hexdigest()


def _digest(name: str, number: int, block: bytes) -> bytes:
    hasher = blake2b(f"{name} {number}\n".encode(), digest_size=_DIGEST)
    hasher.update(block)
    return hasher.digest()
