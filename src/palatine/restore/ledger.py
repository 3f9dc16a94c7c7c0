"""What a live restore still has to do at one place, on disk, so that a killed one can be finished.

It lies in the staging directory beside the staged files, and is only read once staging is done. A
row says what happens to a path; whether it has happened is asked of the staged files, never noted.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from palatine.model.encoding import Decoder, encode
from palatine.model.tree import Entry, EntryKind, Owner
from palatine.restore.select import Selection
from palatine.store.trees import Item

_SCHEMA = """
CREATE TABLE staged(path BLOB PRIMARY KEY, role INT, kind INT, is_database INT) WITHOUT ROWID;
CREATE TABLE removed(path BLOB PRIMARY KEY, kind INT, is_database INT) WITHOUT ROWID;
CREATE TABLE facts(path BLOB PRIMARY KEY, entry BLOB, owner BLOB, is_database INT) WITHOUT ROWID;
"""
_ENTRY: Decoder[Entry] = Decoder(Entry)
_OWNER: Decoder[Owner] = Decoder(Owner)


class Role(IntEnum):
    """What becomes of a staged path."""

    WAY = 0
    """A directory that is there and leads to what is staged."""
    PUT = 1
    """It is renamed to its place."""
    IMAGE = 2
    """A database's content, or a sidecar captured with it: put into the live one by SQLite."""


class Put(NamedTuple):
    """A staged path to rename to its place."""

    path: bytes
    kind: EntryKind
    is_database: bool


class Removed(NamedTuple):
    """A path to remove."""

    path: bytes
    kind: EntryKind
    is_database: bool


class Facts(NamedTuple):
    """A path whose mode, owner, time and attributes are set."""

    path: bytes
    entry: Entry
    owner: Owner
    is_database: bool


class Ledger:
    """The rows of one place. Use as a context manager."""

    def __init__(self, path: Path, new: bool = False) -> None:
        """Open a ledger, or begin a `new` one."""
        self._db = sqlite3.connect(path, isolation_level=None)
        if new:
            # Synced with everything else that is staged, and worthless when killed before that
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("BEGIN")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)

    def stage(
        self, path: bytes, role: Role, kind: EntryKind = EntryKind.FILE, database: bool = False
    ) -> None:
        """Have a path staged, and the directories that lead to it."""
        self._db.execute(
            "INSERT OR REPLACE INTO staged VALUES(?, ?, ?, ?)", (path, role, kind, database)
        )
        while b"/" in path:
            path = path.rpartition(b"/")[0]
            row = (path, Role.WAY, EntryKind.DIRECTORY, False)
            told = self._db.execute("INSERT OR IGNORE INTO staged VALUES(?, ?, ?, ?)", row)
            if not told.rowcount:
                break

    def remove(self, path: bytes, kind: EntryKind, database: bool) -> None:
        """Have a path removed."""
        self._db.execute("INSERT INTO removed VALUES(?, ?, ?)", (path, kind, database))

    def set_facts(self, path: bytes, entry: Entry, owner: Owner, database: bool = False) -> None:
        """Have an entry's metadata set at a path."""
        bare = msgspec.structs.replace(entry, name=b"", owner=0, level=0, parts=(), holes=())
        row = (path, encode(bare), encode(owner), database)
        self._db.execute("INSERT OR REPLACE INTO facts VALUES(?, ?, ?, ?)", row)

    def commit(self) -> None:
        """Have what was told be there for other readers."""
        self._db.execute("COMMIT")

    def stages(self, path: bytes) -> bool:
        """Whether a path is staged."""
        found = self._db.execute("SELECT 1 FROM staged WHERE path = ?", (path,))
        return found.fetchone() is not None

    def ways(self) -> Iterator[bytes]:
        """Yield the directories that only lead to what is staged."""
        for (path,) in self._db.execute("SELECT path FROM staged WHERE role = ?", (Role.WAY,)):
            yield path

    def puts(self, databases: bool = False) -> Iterator[Put]:
        """Yield what is renamed to its place, directories before what is in them."""
        chosen = "AND is_database" if databases else ""
        for path, kind, database in self._db.execute(
            f"SELECT path, kind, is_database FROM staged WHERE role = ? {chosen} ORDER BY path",
            (Role.PUT,),
        ):
            yield Put(path, EntryKind(kind), bool(database))

    def removals(self) -> Iterator[Removed]:
        """Yield what is removed, directories after what is in them."""
        for path, kind, database in self._db.execute("SELECT * FROM removed ORDER BY path DESC"):
            yield Removed(path, EntryKind(kind), bool(database))

    def facts(self) -> Iterator[Facts]:
        """Yield whose metadata is set, directories after what is in them."""
        what = "the ledger of a restore"
        for path, *said, database in self._db.execute("SELECT * FROM facts ORDER BY path DESC"):
            entry, owner = _ENTRY.decode(said[0], what), _OWNER.decode(said[1], what)
            yield Facts(path, entry, owner, bool(database))

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StagedOnly(Selection):
    """Chooses what a ledger has staged."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return False

    def wants(self, item: Item) -> bool:
        """Whether an entry is staged."""
        return self._ledger.stages(item.path)
