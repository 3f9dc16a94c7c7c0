"""Which way of holding a database still this system has."""

from __future__ import annotations

from palatine.sqlite import ofd
from palatine.sqlite.connected import ConnectedDatabase
from palatine.sqlite.database import Database
from palatine.sqlite.locked import LockedDatabase


def open_database(directory: int, path: bytes) -> Database:
    """Open the database at `path`, which lies in a directory (a descriptor). Raises OSError."""
    kind = LockedDatabase if ofd.AVAILABLE else ConnectedDatabase
    return kind(directory, path)
