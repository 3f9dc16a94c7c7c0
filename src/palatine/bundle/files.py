"""The file that an export writes, with its `.sha256` beside it; and files read with their hash.

The order at the end, under a lock on the directory: what was written is synced; an old `.sha256` is
removed; the bundle gets its name, in one step; the new `.sha256` is written. Whenever that stops, a
file under the bundle's name is whole, and a `.sha256` beside it is its own: the worst that a crash
leaves is a bundle without one. (Were it written first, it would stand beside the old bundle while
that is still there.) Before, nothing has a name: an export that is killed leaves nothing. Where the
system has no nameless files, and for directories, there is a temporary name, and the next export
removes what a killed one left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

from palatine import fsio
from palatine.bundle.sums import line, parse
from palatine.errors import Exists, UsageError
from palatine.ids import Buffer
from palatine.restore.fresh import translated

SUFFIX = ".sha256"
_BARE = re.compile(rb"[0-9a-f]{64}")
_AHEAD = 16 << 20
"""Bytes after which the system is asked to write what it has, so that the sync finds little."""

_LEFT = 24 * 60 * 60
"""Seconds after which what nobody holds was left: not every file system has locks."""


SumLine = Callable[[str, str], bytes]
"""Makes what a `.sha256` holds, of the bundle's name and its hash, hexadecimal."""


def sum_line(name: str, digest: str) -> bytes:
    """Return what `sha256sum` writes."""
    return line(digest, os.fsencode(name))


def sibling(path: Path) -> Path:
    """Return where the hash of a bundle stands: beside it, with `.sha256` after its name."""
    return path.with_name(path.name + SUFFIX)


def check_free(path: Path, force: bool) -> None:
    """Raise Exists when a bundle cannot be written at a path, UsageError when it never can."""
    if path.is_dir() or not path.name:
        raise UsageError(f"{path} is a directory", "name a file in it")
    if force:
        return
    if os.path.lexists(path):
        raise Exists(f"{path} is there already", "--force replaces it")
    beside = sibling(path)
    if os.path.lexists(beside) and not _is_left(beside, path):
        raise Exists(f"{beside} is there already", "move it away, or replace it with --force")


class OutputFile:
    """A new file, hashed as it is written. `commit` gives it its name; without it, no trace.

    Raises Exists, NoSpace, SourceError, UsageError.
    """

    def __init__(self, path: Path, force: bool = False, line: SumLine = sum_line) -> None:
        """`line` makes what stands in the `.sha256`."""
        self.path = path.absolute()
        self._force = force
        self._line = line
        self._hasher = hashlib.sha256()
        self._begun = 0
        check_free(self.path, force)
        with translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.path.parent)
            self._file = fsio.NewFile(self.path.parent)
            self._file.lock()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    def write(self, data: Buffer) -> None:
        """Append all of `data`."""
        self._hasher.update(data)
        with translated(self.path):
            self._file.write(data)
            if self._file.size - self._begun >= _AHEAD:
                self._begun = self._file.size
                self._file.begin_writeback()

    def commit(self) -> str:
        """Make the file durable, give it its name and its `.sha256`; return that hash."""
        digest = self._hasher.hexdigest()
        with translated(self.path):
            self._file.sync()
            with fsio.locked_directory(self.path.parent):
                check_free(self.path, self._force)
                fsio.remove(sibling(self.path))
                if self._force:
                    self._file.rename(self.path)
                else:
                    self._link()
                fsio.replace(sibling(self.path), self._line(self.path.name, digest))
        return digest

    def _link(self) -> None:
        try:
            self._file.link(self.path)
        except FileExistsError:
            raise Exists(f"{self.path} is there already", "--force replaces it") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class HashedInput:
    """A file that is read from its beginning to its end, with the hash of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = hashlib.sha256()
        self.size = 0
        """Bytes read so far."""

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, none at the end."""
        data = self._file.read(size)
        self._hasher.update(data)
        self.size += len(data)
        return data

    def finish(self) -> str:
        """Read what is left, and return the hash of the whole file, hexadecimal."""
        while self.read(1 << 20):
            pass
        return self._hasher.hexdigest()


def _is_left(beside: Path, path: Path) -> bool:
    """Whether a `.sha256` without its bundle was left here: a line for that name, or a hash."""
    try:
        data = beside.read_bytes() if beside.stat().st_size < 1 << 16 else b""
    except OSError:
        return False
    found = parse(data)
    is_mine = found is not None and found[1] == os.fsencode(path.name)
    return (is_mine or _BARE.fullmatch(data) is not None) and not beside.is_symlink()


def sweep(directory: Path) -> None:
    """Remove what our killed processes left in a directory; what will not go is left there."""
    with contextlib.suppress(OSError):
        left = [path for path in directory.iterdir() if path.name.startswith(fsio.TEMPORARY_PREFIX)]
        now = fsio.time_at(directory) if left else 0.0
        for path in left:
            with contextlib.suppress(OSError):
                _remove_left(path, now)


def _remove_left(path: Path, now: float) -> None:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    old = now - status.st_mtime > _LEFT
    if not old or status.st_uid != os.geteuid() or kind not in (stat.S_IFREG, stat.S_IFDIR):
        return
    if fsio.is_locked(path):
        return
    if kind == stat.S_IFDIR:
        fsio.remove_tree(path)
    else:
        fsio.remove(path)
