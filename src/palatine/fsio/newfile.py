"""New files: they get their name when they are whole, and may share the blocks of others."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sys
from pathlib import Path
from types import TracebackType

from palatine.fsio import durable
from palatine.ids import Buffer

FILE_MODE = 0o600
TEMPORARY_PREFIX = ".pal-tmp-"
"""Names of temporary files where O_TMPFILE is missing; listings pass them over."""
_FICLONE = 0x40049409
_NO_CLONE = {
    errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM,
    errno.ETXTBSY,
}  # fmt: skip
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


class NewFile:
    """A file being written: nameless until `link` or `rename` gives it its name.

    Use as a context manager; leaving it without either leaves no trace.
    """

    def __init__(self, directory: Path) -> None:
        """Begin a file that will be named somewhere on the file system of `directory`."""
        self._directory = directory
        self._temporary: Path | None = None
        self.size = 0
        self._fd = self._open_nameless() if hasattr(os, "O_TMPFILE") else -1
        if self._fd < 0:
            self._fd = self._open_temporary()

    def _open_nameless(self) -> int:
        try:
            return os.open(self._directory, os.O_TMPFILE | os.O_RDWR, FILE_MODE)
        except OSError as error:
            if error.errno in _NO_TMPFILE and self._directory.is_dir():
                return -1
            raise

    def _open_temporary(self) -> int:
        self._temporary = self._directory / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        return os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE)

    def write(self, data: Buffer) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        self.size += len(view)
        while len(view):
            view = view[os.write(self._fd, view) :]

    def reserve(self, size: int) -> None:
        """Take `size` bytes of the disk, which are free again when the file is gone."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)

    def begin_writeback(self) -> None:
        """Have the system begin to write to disk what was written so far."""
        durable.begin_writeback(self._fd)

    def sync(self) -> None:
        """Make what was written so far durable, still without a name."""
        os.fsync(self._fd)

    def link(self, target: Path) -> None:
        """Give the file its name, only if nothing has that name; directories are made for it.

        Durable when it returns: the bytes before the name, and then, at once, the names of the
        directories and that of the file. Raises FileExistsError when the name is taken.
        """
        os.fsync(self._fd)
        changed = durable.begin_directories(target.parent)
        with durable.opened(target.parent, os.O_RDONLY | os.O_DIRECTORY) as directory:
            self._link(target.name, directory)
            os.fsync(directory)
        for above in changed:
            durable.sync_directory(above)

    def rename(self, target: Path) -> None:
        """Give the file its name, replacing what has that name. Durable when it returns."""
        os.fsync(self._fd)
        with durable.opened(target.parent, os.O_RDONLY | os.O_DIRECTORY) as directory:
            if self._temporary is None:
                name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
                self._link(name, directory)
                self._temporary = target.parent / name
            os.rename(self._temporary, target)
            self._temporary = None
            os.fsync(directory)

    def _link(self, name: str, directory: int) -> None:
        # By way of /proc, as open(2) says: linkat(AT_EMPTY_PATH) needs a capability. With a
        # descriptor for the directory, because only then Python follows the link in /proc.
        source = self._temporary or f"/proc/self/fd/{self._fd}"
        os.link(source, name, dst_dir_fd=directory, follow_symlinks=True)

    def lock(self) -> None:
        """Take the file's flock, where the file system has such: before anybody can see it."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def detach(self) -> int:
        """Hand over the descriptor of a file that has its name."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """Let go of the file; without a name it is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def write_new(target: Path, data: Buffer) -> None:
    """Write a file that must not exist yet; raises FileExistsError when it does."""
    with NewFile(target.parent) as file:
        file.write(data)
        file.link(target)


def replace(target: Path, data: Buffer) -> None:
    """Write a file, replacing in one step whatever has its name."""
    with NewFile(target.parent) as file:
        file.write(data)
        file.rename(target)


def time_at(directory: Path) -> float:
    """Return what time it is for the file system of a directory: what it stamps files with."""
    with NewFile(directory) as file:
        file.write(b"\0")
        return os.fstat(file.fileno()).st_mtime


def clone(source: int, target: int) -> bool:
    """Have an open empty file share all blocks of another; False where that cannot be done.

    ioctl(2) FICLONE, which btrfs, XFS and others have.
    """
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True
