"""The files SQLite keeps beside a database (https://www.sqlite.org/fileformat2.html, 3 and 4)."""

from __future__ import annotations

import os

from palatine.chunking import SQLITE_MAGIC
from palatine.sqlite.custody import opened

SUFFIXES = (b"-wal", b"-journal", b"-shm")
"""How the names of sidecars end."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def database_of(directory: int, name: bytes) -> bytes | None:
    """Return the database that a file is a sidecar of, or None when it is none.

    `directory` is a descriptor; only a file beside an SQLite database counts.
    """
    for suffix in SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            database = name.removesuffix(suffix)
            return database if _begins_as_one(directory, database) else None
    return None


def _begins_as_one(directory: int, name: bytes) -> bool:
    try:
        with opened(name, _FLAGS, directory) as fd:
            return os.pread(fd, len(SQLITE_MAGIC), 0) == SQLITE_MAGIC
    except OSError:
        return False
