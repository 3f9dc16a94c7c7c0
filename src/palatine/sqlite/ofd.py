"""Locks on the bytes that SQLite locks, without SQLite: who has them, and taking them.

Open-file-description locks conflict with SQLite's own POSIX locks, and unlike those survive the
closing of other descriptors of the same file. Linux has them (fcntl(2), F_OFD_SETLK). Elsewhere
one can only ask who holds what (F_GETLK, blind to this process). The bytes are those of
https://www.sqlite.org/fileformat2.html (main file: the lock-byte page) and of SQLite's os_unix.c
and wal.c (`-shm`: the lock bytes behind the first wal-index header).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from typing import NamedTuple

PENDING_BYTE = 0x40000000
RESERVED_BYTE = PENDING_BYTE + 1
SHARED_FIRST = PENDING_BYTE + 2
SHARED_SIZE = 510

SHM_WRITE = 120
"""Held by who commits, begins the WAL anew, or makes the wal-index again after a crash."""
SHM_READ_MAIN = 123
"""Read slot 0: its holder reads the main file alone, so nobody may write to that."""
SHM_ALIVE = 128
"""Held shared by every connection that has the wal-index open."""

_LINUX = sys.platform == "linux"
AVAILABLE = _LINUX and hasattr(fcntl, "F_OFD_SETLK")
"""Whether this system has such locks."""

# struct flock: on 64-bit Linux type, whence, start, length, pid; on macOS and the BSDs start,
# length, pid, type, whence, and on some a number more
_FLOCK = struct.Struct("hhqqi4x" if _LINUX else "qqihhi4x")
_BUSY = {errno.EACCES, errno.EAGAIN}


class Holder(NamedTuple):
    """Who holds a lock that conflicts with ours: process id (-1: an open file description)."""

    pid: int
    exclusive: bool


def lock_shared(fd: int, start: int, length: int = 1) -> bool:
    """Take a read lock without waiting; return whether it was to be had."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _pack(fcntl.F_RDLCK, start, length))
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def unlock(fd: int, start: int, length: int = 1) -> None:
    """Let go of a lock."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _pack(fcntl.F_UNLCK, start, length))


def holder(fd: int, start: int, length: int = 1) -> Holder | None:
    """Return somebody else who holds a lock on these bytes, or None.

    Blind to idle rollback-mode connections, which hold nothing, and to connections that have not
    read yet; where such locks are missing, to everything in this process.
    """
    command = fcntl.F_OFD_GETLK if AVAILABLE else fcntl.F_GETLK
    kind, pid = _unpack(fcntl.fcntl(fd, command, _pack(fcntl.F_WRLCK, start, length)))
    return None if kind == fcntl.F_UNLCK else Holder(pid, kind == fcntl.F_WRLCK)


def _pack(kind: int, start: int, length: int) -> bytes:
    if _LINUX:
        return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
    return _FLOCK.pack(start, length, 0, kind, os.SEEK_SET, 0)


def _unpack(found: bytes) -> tuple[int, int]:
    """Return kind and process id."""
    values = _FLOCK.unpack(found)
    return (values[0], values[4]) if _LINUX else (values[3], values[2])
