"""Descriptors of databases, closed without harm to the locks of a connection in this process.

POSIX locks belong to a process: whoever closes any descriptor of a file drops every lock that the
process holds on it. Seen: 434 of 522 captures wrong while another thread opened and closed the
files; SQLite's checkpoints then write under the reader. A pin by a connection (`connected.py`)
consists of such locks. So it claims its files, and a descriptor of a claimed file is closed when
the claim ends. One thread at a time has a claim to a file: of three threads that captured the same
database without that, 627 of 1,730 captures were wrong.

Where pins are open-file-description locks nobody claims anything, and closing is closing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator

Inode = tuple[int, int]
"""Device and inode number."""


class _Claim:
    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.count = 0
        self.unclosed: list[int] = []


# The process's own, because its locks are.
_mutex = threading.Lock()
_claims: dict[Inode, _Claim] = {}


def inode_of(fd: int) -> Inode:
    """Return what names an open file."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def claim(inodes: Iterable[Inode]) -> bool:
    """Claim files for this thread, all or none of them; return whether no other thread has one.

    A thread may claim a file again (a database of two names); each claim is to be renounced.
    """
    owner, wanted = threading.get_ident(), tuple(inodes)
    with _mutex:
        if any(one in _claims and _claims[one].owner != owner for one in wanted):
            return False
        for one in wanted:
            _claims.setdefault(one, _Claim(owner)).count += 1
    return True


def renounce(inodes: Iterable[Inode]) -> None:
    """End claims, when the connection is closed; descriptors that waited for it are closed."""
    with _mutex:
        for one in inodes:
            claimed = _claims[one]
            claimed.count -= 1
            if claimed.count == 0:
                del _claims[one]
                for fd in claimed.unclosed:
                    os.close(fd)


def let_go(fd: int, main: Inode | None = None) -> None:
    """Close a descriptor of a file that may be a database, or have the file's claim close it.

    `main` is the database that a sidecar belongs to. Its claim counts for a sidecar too: services
    that come and go make a new `-shm`, and the claiming connection may have opened that one.
    """
    with _mutex:
        claimed = _claims.get(inode_of(fd)) if _claims else None
        if claimed is None and main is not None:
            claimed = _claims.get(main)
        if claimed is None:
            os.close(fd)
        else:
            claimed.unclosed.append(fd)


@contextlib.contextmanager
def opened(name: bytes, flags: int, directory: int) -> Iterator[int]:
    """Open a file that may be a database for the length of a `with` block."""
    fd = os.open(name, flags | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield fd
    finally:
        let_go(fd)
