"""Holding a database still by a connection that reads, where locks belong to processes.

A read-only connection with an open read transaction is the pin; what is read are the files, through
descriptors of our own. The connection takes a read slot of the wal-index: 0 freezes the main file,
any other keeps the WAL from being restarted and lets checkpoints write only what the WAL has, too.
So with the wal-index header read after the pin an image is right by the rule of `locked.py`: 10,024
of 10,024 tortured captures, 59 of 1,429 wrong without that rule.

The connection is closed first, the descriptors after it, and one thread at a time has a connection
to a database (`custody.py`). No other SQLite library may have it open in this process.

A connection may leave an empty `-wal` and a `-shm` behind, or complete a wal-index.
"""

from __future__ import annotations

import sqlite3
from urllib.parse import quote

from palatine.sqlite import custody
from palatine.sqlite.database import Database, State

_AGAIN = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_READONLY_ROLLBACK")
"""How the names of errors begin after which it is worth while to try again."""


class ConnectedDatabase(Database):
    """A database whose pin is a connection to it."""

    _connection: sqlite3.Connection | None = None
    _claimed: tuple[custody.Inode, ...] = ()

    def __init__(self, directory: int, path: bytes) -> None:
        """Open the database at `path`, which lies in a directory (a descriptor). Raises OSError."""
        super().__init__(directory, path)
        # SQLite cannot read it: it is encrypted, or damaged, or lacks what may not be made for it
        self._foreign = not self.plain and self.status.st_size > 0

    def state(self) -> State:
        """Say what the database is in the middle of.

        One that no connection can hold still is read between two equal looks at its files: in WAL
        mode its checksums tell its commits, else it must have no journal to roll back.
        """
        state = super().state()
        if self._foreign and state == State.WAL:
            return State.CRASHED_WAL
        if self._foreign and state == State.ROLLBACK and not self.has_hot_journal():
            return State.REST
        return state

    def try_pin(self) -> bool:
        """Begin to read, and look whether that is in the files that are open here."""
        self.pinned_as = self.state()
        if self.pinned_as not in (State.WAL, State.ROLLBACK, State.REST):
            return False
        files = tuple(custody.inode_of(fd) for fd in (self.main, self.shm) if fd >= 0)
        if not custody.claim(files):
            return False
        self._claimed = files
        try:
            wal = self._begin()
        except sqlite3.Error as error:
            self.unpin()
            if _name(error).startswith(_AGAIN):
                return False
            self._foreign = True
            self.pinned_as = self.state()
            return self.pinned_as in (State.CRASHED_WAL, State.REST)
        self.pinned_as = State.WAL if wal else State.ROLLBACK
        if wal:  # at rest it had none: the connection made them, and they stay while it reads
            self._open_missing(b"-wal", b"-shm")
        self.pinned = self.same_files() and (not wal or self.shm >= 0)
        if not self.pinned:
            self.unpin()
        return self.pinned

    def try_freeze(self) -> bool:
        """Return False: the next connection makes the wal-index again, as any does."""
        return False

    def unpin(self) -> None:
        """Close the connection, then let the claim close what waited for that."""
        self.pinned = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        claimed, self._claimed = self._claimed, ()
        custody.renounce(claimed)

    def _begin(self) -> bool:
        """Open a connection and a read transaction; return whether it reads a WAL."""
        # Not the schema: what a database of modules that are not here says cannot be parsed
        place = f"file:{quote(self._path)}?mode=ro"
        self._connection = sqlite3.connect(place, timeout=0, isolation_level=None, uri=True)
        self._connection.execute("BEGIN")
        self._connection.execute("PRAGMA schema_version").fetchall()
        (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        return bool(mode == "wal")


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "")
