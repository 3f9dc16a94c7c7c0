"""The files SQLite keeps beside a database, and whether they hold commits.

A `-wal` that is not empty holds commits that the main file lacks. A `-journal` that is neither
empty nor zero-headed holds pages to roll back (https://www.sqlite.org/fileformat2.html, sections 3
and 4; TRUNCATE leaves an empty journal, PERSIST one whose first 28 bytes are zero).
"""

from __future__ import annotations

import os

from palatine.chunking import SQLITE_MAGIC
from palatine.errors import LiveDatabase
from palatine.fsio import opened

_HOLDING = (b"-wal", b"-journal")
SUFFIXES = (*_HOLDING, b"-shm")
"""How the names of sidecars end."""

_COLD_JOURNAL = bytes(28)


def database_of(directory: int, name: bytes) -> bytes | None:
    """Return the database that a file is a sidecar of, or None when it is none.

    `directory` is a descriptor; only a file beside an SQLite database counts.
    """
    for suffix in SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            database = name.removesuffix(suffix)
            return database if _head(directory, database, 16) == SQLITE_MAGIC else None
    return None


def check_at_rest(directory: int, database: bytes, path: bytes = b"") -> None:
    """Raise LiveDatabase when a sidecar holds what the database's main file lacks.

    `path` is the directory's, for the message.
    """
    for suffix in _HOLDING:
        head = _head(directory, database + suffix, len(_COLD_JOURNAL))
        if head and not (suffix == b"-journal" and head == _COLD_JOURNAL):
            raise LiveDatabase(
                f"the database {os.fsdecode(path + database)!r} is in use, or was left by a crash:"
                f" its last commits lie in {os.fsdecode(database + suffix)!r}",
                "stop its service so that it closes the database, or take the files as they are "
                "with --unsafe-files",
            )


def _head(directory: int, name: bytes, size: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with opened(name, flags, directory) as fd:
            return os.read(fd, size)
    except OSError:
        return b""
