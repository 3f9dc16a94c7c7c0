"""The open files of one database: what it is in the middle of, and the images it stands for.

How it is held still differs from system to system: `locked.py` and `connected.py`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path

from palatine.chunking import SQLITE_MAGIC
from palatine.fsio import exists_at
from palatine.sqlite import custody, ofd
from palatine.sqlite.image import HEADER_SIZE, Image, page_size_of
from palatine.sqlite.wal import (
    Frames,
    IndexHeader,
    committed_by_checksums,
    committed_by_index,
    read_index_header,
)

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COLD_JOURNAL = bytes(28)


class State(Enum):
    """What a database is in the middle of."""

    REST = "at rest"
    WAL = "in use, WAL"
    LOST_INDEX = "in use, its wal-index left half-written"
    ROLLBACK = "rollback journal"
    CRASHED_WAL = "left with a WAL"
    HOT_JOURNAL = "left with a hot journal"
    EXCLUSIVE = "held exclusively"


class Database(ABC):
    """The open files of one database, and what holds it still. Close it; that lets go of both."""

    def __init__(self, directory: int, path: bytes) -> None:
        """Open the database at `path`, which lies in a directory (a descriptor). Raises OSError."""
        self._directory = directory
        self._path = path
        self.name = path.rpartition(b"/")[2]
        self.pinned = False
        self.pinned_as = State.REST
        """The state that it is held still in, or that it needs no holding in."""
        self._files: dict[bytes, int] = {}
        self.main = os.open(self.name, _OPEN, dir_fd=directory)
        try:
            self.status = os.fstat(self.main)
            if not stat.S_ISREG(self.status.st_mode):
                raise OSError(0, "is no regular file")
            head = os.pread(self.main, HEADER_SIZE, 0)
            self._open_missing(b"-wal", b"-shm", b"-journal")
        except BaseException:
            self._close_files()
            raise
        self.plain = head.startswith(SQLITE_MAGIC)
        self.page_size = page_size_of(head) if self.plain else 0

    @abstractmethod
    def try_pin(self) -> bool:
        """Hold still what the database is in, `pinned_as`; return whether that was to be had.

        True with `pinned` unset: it cannot be held still, but needs not be in that state.
        """

    @abstractmethod
    def try_freeze(self) -> bool:
        """Keep even commits away from a pinned WAL; return whether that was to be had."""

    @abstractmethod
    def unpin(self) -> None:
        """Let it move again."""

    def close(self) -> None:
        """Let go of the database, and then of its files."""
        self.unpin()
        self._close_files()

    @property
    def wal(self) -> int:
        """The descriptor of the WAL, -1 without one."""
        return self._files.get(b"-wal", -1)

    @property
    def shm(self) -> int:
        """The descriptor of the wal-index, -1 without one."""
        return self._files.get(b"-shm", -1)

    def state(self) -> State:
        """Say what the database is in the middle of, as far as files and locks tell now."""
        if self.shm >= 0 and ofd.holder(self.shm, ofd.SHM_ALIVE):
            return State.WAL
        user = ofd.holder(self.main, ofd.SHARED_FIRST, ofd.SHARED_SIZE)
        if user and user.exclusive:
            return State.EXCLUSIVE
        if self.wal >= 0 and os.fstat(self.wal).st_size:
            return State.CRASHED_WAL
        if self.has_hot_journal() and not ofd.holder(self.main, ofd.RESERVED_BYTE):
            # asked again: a writer may have committed between the two questions
            return State.HOT_JOURNAL if self.has_hot_journal() else State.ROLLBACK
        return State.ROLLBACK if user or not self._says_wal() else State.REST

    @property
    def in_use(self) -> bool:
        """Whether anybody holds a lock; idle connections to a rollback database hold none."""
        return bool(
            ofd.holder(self.main, ofd.PENDING_BYTE, 2 + ofd.SHARED_SIZE)
            or (self.shm >= 0 and ofd.holder(self.shm, ofd.SHM_ALIVE))
        )

    def has_hot_journal(self) -> bool:
        """Whether there is a journal with pages to roll back, or to be rolled back if need be."""
        journal = self._files.get(b"-journal", -1)
        return (
            journal >= 0
            and os.pread(journal, len(_COLD_JOURNAL), 0) not in (b"", _COLD_JOURNAL)
            and os.fstat(journal).st_nlink > 0
        )

    def index_header(self) -> IndexHeader | None:
        """Return the wal-index header, None while it is being written."""
        return read_index_header(self.shm)

    def pinned_image(self, header: IndexHeader | None) -> Image | None:
        """Return the image that the pin holds still, None when the WAL is not as it should be."""
        if self.pinned_as == State.LOST_INDEX:
            return self.abandoned_image()
        size = os.fstat(self.main).st_size
        if header is None:
            return Image(self.main, size, self.page_size)
        length = header.pages * header.page_size or size
        if header.backfilled >= header.max_frame:
            return Image(self.main, length, header.page_size)
        frames = committed_by_index(self.wal, header) if self.wal >= 0 else None
        return _over(self, frames) if frames else None

    def abandoned_image(self) -> Image:
        """Return the image that a WAL stands for whose wal-index is lost, by its checksums."""
        frames = committed_by_checksums(self.wal) if self.wal >= 0 else None
        if frames is None:
            return Image(self.main, os.fstat(self.main).st_size, self.page_size)
        return _over(self, frames)

    def same_files(self) -> bool:
        """Whether the names still stand for the files that are open, and no other appeared."""
        moving = {b"-journal"} if self.pinned_as == State.ROLLBACK else set()
        for suffix, fd in [(b"", self.main), *self._files.items()]:
            if suffix not in moving and not _is_same(self._directory, self.name + suffix, fd):
                return False
        absent = {b"-wal", b"-journal"} - self._files.keys() - moving
        return not any(exists_at(self._directory, self.name + suffix) for suffix in absent)

    def statuses(self) -> list[os.stat_result]:
        """Return the stats of main file, journal and WAL, as far as they are there."""
        found = [(b"", self.main), *sorted(self._files.items())]
        return [os.fstat(fd) for suffix, fd in found if suffix != b"-shm"]

    def stats(self) -> tuple[tuple[int, ...], ...]:
        """Return what tells main file, WAL and journal from changed ones."""
        return tuple(_stamp(status) for status in self.statuses())

    def recovered_copy(self, scratch: Path) -> Path:
        """Copy main file and journal to a directory and let SQLite roll the copy back.

        Raises sqlite3.Error when the journal cannot be played back.
        """
        copy = scratch / "recovered"
        _copy(self.main, copy)
        _copy(self._files[b"-journal"], scratch / "recovered-journal")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return copy

    def _open_missing(self, *suffixes: bytes) -> None:
        for suffix in suffixes:
            if suffix not in self._files:
                with contextlib.suppress(FileNotFoundError):
                    self._files[suffix] = os.open(self.name + suffix, _OPEN, dir_fd=self._directory)

    def _close_files(self) -> None:
        main = custody.inode_of(self.main)
        for fd in [*self._files.values(), self.main]:
            custody.let_go(fd, main)
        self._files = {}
        self.main = -1

    def _says_wal(self) -> bool:
        return os.pread(self.main, 2, 18) == b"\2\2"


def _over(database: Database, frames: Frames) -> Image:
    return Image(
        database.main,
        frames.pages * frames.page_size,
        frames.page_size,
        database.wal,
        frames.offsets,
    )


def _is_same(directory: int, name: bytes, fd: int) -> bool:
    try:
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == custody.inode_of(fd)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _copy(fd: int, target: Path) -> None:
    at = 0
    with target.open("wb") as out:
        while data := os.pread(fd, 1 << 20, at):
            out.write(data)
            at += len(data)
