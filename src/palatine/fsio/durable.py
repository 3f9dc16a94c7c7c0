"""Making durable what was written: bytes, names, whole file systems; and open descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

DIRECTORY_MODE = 0o700
LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2


def make_directories(path: Path) -> None:
    """Create a directory and its parents, private to the user, each synced into its parent."""
    for directory in begin_directories(path):
        sync_directory(directory)


def begin_directories(path: Path) -> list[Path]:
    """Do the same, and leave the syncing to the caller: of the directories that are returned."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path == path.parent:
            break
        path = path.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=DIRECTORY_MODE)
    return [directory.parent for directory in missing]  # also of what another process made just now


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(directory: Path) -> None:
    """Make everything written to the file system of a directory durable, as far as that is known.

    One syncfs(2) for many files; where the C library has none, sync(2) for all file systems.
    """
    if not hasattr(LIBC, "syncfs"):
        os.sync()
        return
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
        if LIBC.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))


def sync_data(fd: int) -> None:
    """Make durable what was written to a file so far, by whatever process."""
    os.fsync(fd)


def begin_writeback(fd: int) -> None:
    """Have the system begin to write a file's bytes to disk, and do not wait for it.

    sync_file_range(2), which Linux has; elsewhere the sync at the end does it all.
    """
    if hasattr(LIBC, "sync_file_range"):
        LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


@contextlib.contextmanager
def opened(path: str | bytes | Path, flags: int, dir_fd: int | None = None) -> Iterator[int]:
    """Open a descriptor for the length of a `with` block."""
    fd = os.open(path, flags | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)
