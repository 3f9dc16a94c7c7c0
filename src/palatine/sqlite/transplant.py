"""Live databases changed together: each inside one transaction of SQLite's own, and none committed
before all are written.

backup() from an image into the live database is atomic for every reader (measured: 0 mixtures in
103 kills). It is done in steps, one thread per database: the first step takes the write lock
and keeps it, so the threads wait for each other after it, and again before the last step, which
commits. A database that is busy makes all let go; then all try again, until patience ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import random

from palatine import fsio
from palatine.clock import SYSTEM, Clock
from palatine.errors import Locked, NoSpace, PalatineError, SourceError
from palatine.sqlite.fitting import says_wal
from palatine.sqlite.image import HEADER_SIZE

PATIENCE = 30.0
"""Seconds that a busy database is waited for."""

HOLD = 1.0
"""Seconds that one attempt waits for a lock. A rollback database lets no new readers in meanwhile,
and the databases that were to be had are locked: less than the 5 s that services wait as a rule.
"""
PAUSE = 0.25
"""Seconds between attempts: more than the 0.1 s after which a waiting connection looks again."""

_STEP_BYTES = 512 << 10
"""What a step copies: less than what SQLite keeps in memory, so that the first writes nothing."""

_ROOM = 4 << 20
"""What a commit may still write: SQLite's cache (2 MB), the last step and what it replaces. Held
until all are written, so that a full disk cannot let one commit and the other not.
"""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True)
class Job:
    """An image that `fitting.fit` prepared, and the live database whose content it becomes."""

    image: Path
    database: Path


@dataclass(frozen=True)
class Moments:
    """What is done when all databases are written and locked, but not committed, and right after.

    `written` gets the schema cookie of each database before the change; what it raises takes
    everything back. `committed` runs as soon as all have committed, beside the checkpoints.
    """

    written: Callable[[list[int]], None]
    committed: Callable[[], None]


@dataclass(frozen=True)
class Terms:
    """How long busy databases are waited for (seconds), and by which clock."""

    patience: float = PATIENCE
    clock: Clock = SYSTEM


def transplant(jobs: Sequence[Job], moments: Moments, terms: Terms) -> None:
    """Change all databases together, or none.

    Raises Locked when one cannot be had in time, NoSpace and SourceError. Only an error after
    `written` may have left some changed and others not. No connection to them may be open in this
    process beside, and nothing may open and close their files meanwhile: that drops our locks.
    """
    if not jobs:
        moments.written([])
        moments.committed()
        return
    until = terms.clock.monotonic() + terms.patience
    while (busy := _Attempt(jobs, moments).run()) is not None:
        if terms.clock.monotonic() >= until:
            raise Locked(
                f"{busy} was locked by another process for {terms.patience:g} seconds; nothing was"
                " changed",
                "a long transaction, or a program that never stops reading: stop it, or stop the"
                " service and use --replace",
            )
        terms.clock.sleep(PAUSE * (0.5 + random()))


def schema_cookie(database: Path) -> int:
    """Return the number that every change of a database's schema, and `transplant`, raises by one.

    Raises sqlite3.Error.
    """
    with contextlib.closing(_connect(database, "rw")) as db:
        (cookie,) = db.execute("PRAGMA schema_version").fetchone()
        return int(cookie)


def translated_error(error: sqlite3.Error | OSError, database: Path) -> PalatineError:
    """Return what an error of SQLite or the system means to whoever restores a database."""
    if _code(error) == sqlite3.SQLITE_FULL or _is_full(error):
        return NoSpace(f"the disk of {database} is full", "make room and restore again")
    if _code(error) in _BUSY:
        return Locked(f"{database} is locked by another process", "wait for it, or stop it")
    return SourceError(f"{database} cannot be changed: {error}")


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _Stopped(Exception):
    """Another database could not be had, or failed."""


class _Gate:
    """Where threads wait for each other: it opens for all or for none, and only once."""

    def __init__(self, parties: int, before: Callable[[], None] = lambda: None) -> None:
        self._missing = parties
        self._before = before
        self._open: bool | None = None
        self._changed = threading.Condition()

    def wait(self) -> None:
        """Wait for all; raises _Stopped when it will not open, and what `before` raises."""
        with self._changed:
            self._missing -= 1
            if not self._missing and self._open is None:
                self._open = False  # unless `before` returns; nobody looks before this block ends
                self._changed.notify_all()
                self._before()
                self._open = True
            self._changed.wait_for(lambda: self._open is not None)
            if not self._open:
                raise _Stopped

    def shut(self) -> None:
        """Have it open for none, unless it is open."""
        with self._changed:
            self._open = bool(self._open)
            self._changed.notify_all()


class _Attempt:
    """One attempt to change all databases."""

    def __init__(self, jobs: Sequence[Job], moments: Moments) -> None:
        self._moments = moments
        self._locked = _Gate(len(jobs))
        self._written = _Gate(len(jobs), self._tell_written)
        self._committed = _Gate(len(jobs) + 1)
        self._gates = (self._locked, self._written, self._committed)
        self._changes = [_Change(job, *self._gates) for job in jobs]

    def run(self) -> Path | None:
        """Return None when all are changed, or a database that is busy."""
        threads = [threading.Thread(target=self._guarded, args=(one,)) for one in self._changes]
        for thread in threads:
            thread.start()
        try:
            with contextlib.suppress(_Stopped):
                self._committed.wait()
                self._moments.committed()
        finally:
            self._shut()
            for thread in threads:
                thread.join()
        return self._verdict()

    def _verdict(self) -> Path | None:
        for one in self._changes:
            if one.error is not None and not isinstance(one.error, _Stopped):
                if isinstance(one.error, (sqlite3.Error, OSError)):
                    raise translated_error(one.error, one.job.database) from one.error
                raise one.error
        return next((one.job.database for one in self._changes if one.busy), None)

    def _tell_written(self) -> None:
        self._moments.written([one.cookie for one in self._changes])

    def _shut(self) -> None:
        for gate in self._gates:
            gate.shut()

    def _guarded(self, change: _Change) -> None:
        try:
            change.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            change.busy = isinstance(error, _Busy) or _code(error) in _BUSY
            change.error = None if change.busy else error
            self._shut()


class _Busy(Exception):
    """The lock is not to be had."""


class _Change:
    """One database's change, in a thread of its own."""

    def __init__(self, job: Job, locked: _Gate, written: _Gate, committed: _Gate) -> None:
        self.job = job
        self.cookie = 0
        self.busy = False
        self.error: BaseException | None = None
        self._locked, self._written, self._committed = locked, written, committed
        self._step = 1
        self._files = contextlib.ExitStack()
        self._fds: list[int] = []

    def run(self) -> None:
        """Change the database, all waiting included."""
        image, database = self.job.image, self.job.database
        with (
            self._files,  # closed last: closing a database's file drops our locks
            contextlib.closing(_connect(image, "ro&immutable=1")) as source,
            contextlib.closing(_connect(database, "rw")) as target,
        ):
            (pages,) = source.execute("PRAGMA page_count").fetchone()
            (page_size,) = source.execute("PRAGMA page_size").fetchone()
            self._step = max(1, min(_STEP_BYTES // page_size, pages - 1))
            source.backup(target, pages=self._step, progress=self._progress)
            self._committed.wait()
            _checkpoint(target)

    def _progress(self, status: int, remaining: int, _: int) -> None:
        """Take part in what all do together, between the steps."""
        if status in _BUSY:
            raise _Busy
        if status != sqlite3.SQLITE_OK:
            return  # done, or an error that follows
        if not self._fds:
            self._look()
            self._locked.wait()
        if remaining <= self._step:
            # what is written so far: then the commits take equally long, and not long
            for fd in self._fds:
                fsio.sync_data(fd)
            with fsio.NewFile(self.job.database.parent) as room:
                room.reserve(_ROOM)
                self._written.wait()

    def _look(self) -> None:
        """Note the schema cookie of the last committed state, under the lock.

        Nothing of the change is in the main file yet, and another connection in WAL mode sees only
        what is committed. These descriptors stay open as long as the connection.
        """
        database = self.job.database
        head = os.pread(self._open(database), HEADER_SIZE, 0)
        self.cookie = int.from_bytes(head[40:44], "big")
        if says_wal(head):
            self._open(database.with_name(database.name + "-wal"))
            self.cookie = schema_cookie(database)

    def _open(self, path: Path) -> int:
        fd = self._files.enter_context(fsio.opened(path, os.O_RDONLY))
        self._fds.append(fd)
        return fd


def _checkpoint(db: sqlite3.Connection) -> None:
    """Do what the service's next commit would do: bring a WAL as long as the image into the file.

    PASSIVE hinders nobody. The WAL is cut short only where nobody has to be waited for.
    """
    db.execute("PRAGMA busy_timeout = 0")
    for kind in ("PASSIVE", "TRUNCATE"):
        try:
            db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        except sqlite3.Error:
            return  # somebody is at it, or the disk is full: the WAL keeps what is committed


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=HOLD, isolation_level=None)


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
