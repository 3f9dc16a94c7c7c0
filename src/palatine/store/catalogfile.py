"""The catalog's SQLite file: opened, made, and made again when it cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

BROKEN = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: SQLite's own words may be bytes that are no text."""

_LAYOUT = 2
_SCHEMA = """
CREATE TABLE packs(n INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB UNIQUE NOT NULL,
    size INTEGER NOT NULL, segment TEXT NOT NULL, cut INTEGER NOT NULL DEFAULT 0);
CREATE TABLE objects(id BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL, kind INTEGER NOT NULL,
    frame INTEGER NOT NULL, base BLOB NOT NULL, ordinal INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY(id, pack, offset)) WITHOUT ROWID;
CREATE TABLE segments(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE snapshots(name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('numbers', 0);
"""


class CatalogFile:
    """Where the catalog lies; without a path, or where nothing can be written, in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def open(self) -> sqlite3.Connection:
        """Open the file; one that is damaged or of another layout is made anew."""
        if self.path is not None:
            for _ in range(2):
                try:
                    self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    return self._connect(str(self.path))
                except (sqlite3.OperationalError, OSError):
                    break  # no place to write: SQLite cannot open or create the file
                except BROKEN:
                    if not self.remove():
                        break
        return self._connect(":memory:")

    def remove(self) -> bool:
        """Remove the file; return whether there is a place for a new one."""
        if self.path is None:
            return False
        try:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError:
            self.path = None  # somebody else's: do without a file
        return self.path is not None

    def _connect(self, path: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA cache_size = -8000")
            db.execute("BEGIN IMMEDIATE")
            (layout,) = db.execute("PRAGMA user_version").fetchone()
            if layout not in (0, _LAYOUT):
                raise sqlite3.DatabaseError("another layout")
            if layout == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_LAYOUT}")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db
