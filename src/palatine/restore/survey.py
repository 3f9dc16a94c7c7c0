"""What tells a palace from a changed one: every name and stat below it, summed up.

The sum does not depend on the order, so it needs no memory, and what a restore itself does to a
file's stat (a hard link moves its ctime) can be taken out of it and put in again.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from blake3 import blake3

from palatine.errors import Refused
from palatine.sqlite.sidecars import SUFFIXES

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SIZE = 16
_MODULUS = 1 << (8 * _SIZE)

Look = Callable[[int, bytes, bytes, os.stat_result], None]
"""Is shown an entry: a descriptor of its directory, its name, its path, and its lstat."""


def stamp(path: bytes, status: os.stat_result) -> int:
    """Return a number for a path (below the palace) with its stat; sums of them are compared."""
    facts = (
        status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid,
        status.st_size, status.st_mtime_ns,
        status.st_ctime_ns if path else 0,  # being renamed moves it
    )  # fmt: skip
    return int.from_bytes(blake3(b"%r %s" % (facts, path)).digest(_SIZE))


def survey(target: Path, look: Look | None = None) -> int:
    """Return the sum of the stamps of a directory with all below it, or of a file and its sidecars.

    What is not there counts for nothing. Raises Refused for a mount point inside the directory: it
    cannot be exchanged with it, and what it holds must not be removed.
    """
    total = 0
    with contextlib.closing(entries(target)) as found:
        for directory, name, path, status in found:
            total += stamp(path, status)
            if look is not None:
                look(directory, name, path, status)
    return total % _MODULUS


def moved(total: int, before: int, after: int) -> int:
    """Return a sum in which stamps that added up to `before` add up to `after`."""
    return (total - before + after) % _MODULUS


def entries(
    target: Path,
) -> Generator[tuple[int, bytes, bytes, os.stat_result], None, None]:
    """Yield a directory and all below it, or a file and its sidecars: see `Look`.

    Paths are from the directory, which has an empty one, or (files) from the directory they are in.
    """
    if not target.is_dir():
        yield from _file(target)
        return
    top = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    device = os.fstat(top).st_dev
    stack = [(top, b"", _names(top))]
    try:
        yield top, b".", b"", os.fstat(top)
        while stack:
            fd, path, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(stack.pop()[0])
                continue
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_dev != device:
                raise Refused(
                    f"{target / os.fsdecode(path + name)} is a mount point",
                    "unmount it, or change what differs with --live",
                )
            yield fd, name, path + name, status
            if stat.S_ISDIR(status.st_mode):
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                stack.append((inner, path + name + b"/", _names(inner)))
    finally:
        for fd, *_ in stack:
            os.close(fd)


def with_sidecars(name: bytes) -> tuple[bytes, ...]:
    """Return a database's name and those its sidecars would have."""
    return (name, *(name + suffix for suffix in SUFFIXES))


def _file(target: Path) -> Iterator[tuple[int, bytes, bytes, os.stat_result]]:
    try:
        fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        for name in with_sidecars(os.fsencode(target.name)):
            with contextlib.suppress(FileNotFoundError):
                yield fd, name, name, os.stat(name, dir_fd=fd, follow_symlinks=False)
    finally:
        os.close(fd)


def _names(fd: int) -> Iterator[bytes]:
    with os.scandir(fd) as found:
        for entry in found:
            yield os.fsencode(entry.name)
