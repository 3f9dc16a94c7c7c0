"""Names that come, go and change, durably: one step of the file system each."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from palatine.fsio import durable
from palatine.fsio.newfile import FILE_MODE

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def touch_all(paths: Iterable[Path]) -> None:
    """Create empty files, where they are not there yet; durable when it returns."""
    directories = set()
    for path in paths:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
        directories.add(path.parent)
    for directory in directories:
        durable.sync_directory(directory)


def remove(path: Path) -> bool:
    """Remove a file durably; return whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    durable.sync_directory(path.parent)
    return True


def remove_all(paths: Iterable[Path]) -> None:
    """Remove files durably, each directory synced once; what is not there is no error."""
    directories = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            directories.add(path.parent)
    for directory in directories:
        durable.sync_directory(directory)


def rename(source: Path, target: Path) -> None:
    """Give a file another name on its file system, replacing what has it, durably."""
    os.rename(source, target)
    for directory in {source.parent, target.parent}:
        durable.sync_directory(directory)


def rename_at(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Give what has a name below an open directory another one, in place of what has that.

    Durable only once the file system is synced.
    """
    os.rename(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory)


def rename_directory(source: Path, target: Path) -> None:
    """Move a finished directory to its name (absent, or an empty directory), durably."""
    os.rename(source, target)
    durable.sync_directory(target.parent)


def exchange(one: Path, other: Path) -> bool:
    """Have two files or directories of one file system change names, in one step and durably.

    renameat2(2) with RENAME_EXCHANGE; False where the system or the file system has no such thing.
    """
    if not hasattr(durable.LIBC, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if durable.LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            return False
        raise OSError(number, os.strerror(number), str(other))
    for directory in {one.parent, other.parent}:
        durable.sync_directory(directory)
    return True


def hard_link(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Give a file a second name; paths are below open directories, symlinks are not followed."""
    os.link(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory, follow_symlinks=False)


def hard_link_to(old: Path, new: Path) -> None:
    """Give a file a second name, durably."""
    os.link(old, new, follow_symlinks=False)
    durable.sync_directory(new.parent)


def exists_at(directory: int, name: bytes) -> bool:
    """Whether an open directory holds a name that can be looked at."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
