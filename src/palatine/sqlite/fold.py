"""Making a database file whole before it goes: what lies in its sidecars is brought into it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from palatine.sqlite.sidecars import SUFFIXES


def fold(database: Path) -> None:
    """Have SQLite bring what lies in sidecars into a database that nobody has open.

    So no moment leaves it without its last commits. What is no database, or is one that SQLite
    cannot open, stays as it is.
    """
    uri = f"{database.absolute().as_uri()}?mode=rw"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db,
    ):
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # rolls a hot journal back
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def clear_sidecars(directory: int, name: bytes) -> None:
    """Remove sidecars that stand beside a name: SQLite would play them into whatever comes.

    `directory` is a descriptor.
    """
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name + suffix, dir_fd=directory)
