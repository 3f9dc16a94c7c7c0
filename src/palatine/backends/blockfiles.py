"""Blocks of packs as files of a directory: each is whole or as good as absent, and never too many.

Each carries a digest that also binds it to its place.
"""

from __future__ import annotations

import contextlib
import os
import threading
from hashlib import blake2b
from pathlib import Path

_AFTER_SWEEP = 0.8
_DIGEST = 16


class BlockFiles:
    """Blocks by pack and number. Safe to use from several threads and processes."""

    def __init__(self, directory: Path, limit: int) -> None:
        """Keep up to `limit` bytes in a directory, which is made when it is needed."""
        self._directory = directory
        self._limit = limit
        self._stored: int | None = None
        self._lock = threading.Lock()

    def get(self, name: str, number: int) -> bytes | None:
        """Return a block, or None where it is not here."""
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

    def put(self, name: str, number: int, block: bytes) -> None:
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

    def remove(self, name: str, number: int) -> None:
        """Remove a block; one that is not here is no error."""
        self._path(name, number).unlink(missing_ok=True)

    def remove_pack(self, name: str) -> None:
        """Remove all blocks of a pack."""
        for path in self._directory.glob(f"{_file_name(name)}-*"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            for path, _, _ in self._files():
                path.unlink(missing_ok=True)
            self._stored = None

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
