"""Open-file-description locks on the bytes that SQLite locks, without SQLite.

They conflict with SQLite's own POSIX locks, and unlike those survive the closing of other
descriptors of the same file. Linux has them (fcntl(2), F_OFD_SETLK). The bytes are those of
https://www.sqlite.org/fileformat2.html (main file: the lock-byte page) and of SQLite's os_unix.c
and wal.c (`-shm`: the lock bytes behind the first wal-index header).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import NamedTuple

PENDING_BYTE = 0x40000000
RESERVED_BYTE = PENDING_BYTE + 1
SHARED_FIRST = PENDING_BYTE + 2
SHARED_SIZE = 510

SHM_WRITE = 120
SHM_READ_MAIN = 123
"""Read slot 0: its holder reads the main file alone, so nobody may write to that."""
SHM_ALIVE = 128
"""Held shared by every connection that has the wal-index open."""

AVAILABLE = hasattr(fcntl, "F_OFD_SETLK")
"""Whether this system has such locks."""

# struct flock on 64-bit Linux: type, whence, start, length, pid
_FLOCK = struct.Struct("hhqqi4x")
_BUSY = {errno.EACCES, errno.EAGAIN}


class Holder(NamedTuple):
    """Who holds a lock that conflicts with ours: process id (-1: an open file description)."""

    pid: int
    exclusive: bool


def lock_shared(fd: int, start: int, length: int = 1) -> bool:
    """Take a read lock without waiting; return whether it was to be had."""
    try:
        fcntl.fcntl(
            fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, length, 0)
        )
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def unlock(fd: int, start: int, length: int = 1) -> None:
    """Let go of a lock."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, start, length, 0))


def holder(fd: int, start: int, length: int = 1) -> Holder | None:
    """Return somebody else who holds a lock on these bytes, or None.

    Blind to idle rollback-mode connections, which hold nothing, and to connections that have not
    read yet.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else Holder(pid, kind == fcntl.F_WRLCK)
