"""What a live restore may do to a place whose service runs, and what it must refuse.

Asked for each step before anything is changed. A database is changed by SQLite and never exchanged
under somebody who has it open; a file that somebody has locked is not exchanged either.
"""

from __future__ import annotations

import contextlib
import os
import stat
from enum import Enum
from typing import NamedTuple

from palatine.chunking import SQLITE_MAGIC
from palatine.clock import Clock
from palatine.errors import Refused, SourceError
from palatine.fsio import opened
from palatine.model.tree import EntryKind
from palatine.restore.handles import below
from palatine.restore.inuse import Use, Watch, lock_holder
from palatine.restore.plan import Deed, Step, begins_as_database
from palatine.restore.survey import with_sidecars
from palatine.restore.task import Place
from palatine.sqlite import ofd
from palatine.sqlite.database import State
from palatine.sqlite.pin import open_database

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PATIENCE = 5.0
"""Seconds after which who holds a database exclusively counts as one that never lets go."""
_PAUSE = 0.05
_KINDS = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFDIR: EntryKind.DIRECTORY,
    stat.S_IFLNK: EntryKind.SYMLINK,
}


class Fate(Enum):
    """How a step is carried out."""

    IMAGE = "put into the live database by SQLite"
    PUT = "renamed to its place"
    PUT_DATABASE = "renamed to its place, where nobody has a database open"
    REMOVE = "removed"
    REMOVE_DATABASE = "removed with its sidecars"
    FACTS = "given other metadata"


class _There(NamedTuple):
    """What is at a path now: its kind (None: nothing), size and first bytes."""

    kind: EntryKind | None
    size: int = 0
    head: bytes = b""

    @property
    def is_database(self) -> bool:
        return self.head == SQLITE_MAGIC


class Admission:
    """Judges the steps of one place, of which `root` is the open directory."""

    def __init__(self, place: Place, root: int, clock: Clock) -> None:
        self._place = place
        self._root = root
        self._clock = clock
        self._watch: Watch | None = None
        self._writable: bytes | None = None
        self.open_files: list[Use] = []
        """Who has files open that are exchanged under them."""

    def judge(self, step: Step, gives_way: bool = False) -> Fate:
        """Say how a step is carried out; `gives_way`: what was there before is judged already.

        Raises Refused when it cannot be done live, SourceError where nothing can be written.
        """
        there = self._look(step.path)
        if step.deed == Deed.META:
            return Fate.FACTS
        self._check_unchanged(step, there, gives_way)
        self._check_writable(step.path)
        if step.kind != EntryKind.FILE:
            return Fate.REMOVE if step.deed == Deed.REMOVE else Fate.PUT
        if step.wanted is None:
            return self._judge_removal(step, there)
        becomes_one = begins_as_database(step.source, step.wanted)
        if there.kind == EntryKind.FILE and _is_content(there, becomes_one, step.size):
            self._check_lockable(step.path)
            return Fate.IMAGE
        if becomes_one or there.is_database or step.named:
            self.refuse_use(step.path, "exchanged for what is not its content")
            return Fate.PUT_DATABASE
        self._refuse_lock(step.path, there, "exchanged")
        return Fate.PUT

    def refuse_use(self, path: bytes, what: str) -> None:
        """Raise Refused when anybody has a database, or a sidecar of it, open or locked."""
        found = self._users(path)
        if found:
            raise Refused(
                f"{self._name(path)} cannot be {what} under a running service: {found[0]}",
                "stop the service and use --replace, or leave this database out",
            )

    def looked_again(self) -> None:
        """Forget who was seen using it: whoever asks next is told what is so then."""
        self._watch = None

    def _judge_removal(self, step: Step, there: _There) -> Fate:
        if there.is_database or step.named:
            self.refuse_use(step.path, "removed")
            return Fate.REMOVE_DATABASE
        self._refuse_lock(step.path, there, "removed")
        return Fate.REMOVE

    def _look(self, path: bytes) -> _There:
        try:
            with below(self._root, path) as (directory, name):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                kind = _KINDS.get(stat.S_IFMT(status.st_mode))
                if kind is None:
                    raise Refused(f"{self._name(path)} is neither file, directory nor symlink")
                if kind != EntryKind.FILE:
                    return _There(kind)
                with opened(name, _OPEN, directory) as fd:
                    return _There(kind, status.st_size, os.pread(fd, len(SQLITE_MAGIC), 0))
        except (FileNotFoundError, NotADirectoryError):
            return _There(None)
        except OSError as error:
            raise SourceError(f"{self._name(path)} cannot be read: {error.strerror}") from error

    def _check_unchanged(self, step: Step, there: _There, gives_way: bool) -> None:
        """Raise Refused where something stands that the snapshot of what was there lacks."""
        if gives_way:
            return
        known = None if step.present is None else step.present.entry.kind
        if there.kind is not None and there.kind != known:
            raise Refused(
                f"{self._name(step.path)} has come or changed since the palace was looked at",
                "run it again",
            )

    def _check_writable(self, path: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if parent == self._writable:
            return
        full = self._place.directory / os.fsdecode(parent)
        if full.is_dir() and not os.access(full, os.W_OK | os.X_OK):
            raise SourceError(
                f"{full} cannot be written to", "run it as the user whose palace it is"
            )
        self._writable = parent

    def _check_lockable(self, path: bytes) -> None:
        """Raise Refused for a database that another process holds exclusively all the time."""
        full = self._place.directory / os.fsdecode(path)
        if not os.access(full, os.W_OK):
            raise SourceError(
                f"{full} cannot be written to", "run it as the user whose palace it is"
            )
        until = self._clock.monotonic() + _PATIENCE
        while (pid := self._exclusive_holder(path)) is not None:
            if self._clock.monotonic() >= until:
                who = f"process {pid}" if pid > 0 else "another process"
                raise Refused(
                    f"{full} is held exclusively by {who}: nobody else can change it",
                    "stop the service and use --replace",
                )
            self._clock.sleep(_PAUSE)

    def _exclusive_holder(self, path: bytes) -> int | None:
        if not ofd.AVAILABLE:
            return None  # whoever wants to change it finds out
        full = os.fsencode(self._place.directory) + b"/" + path
        with below(self._root, path) as (directory, _):
            database = open_database(directory, full)
            with contextlib.closing(database):
                if database.state() != State.EXCLUSIVE:
                    return None
                holder = ofd.holder(database.main, ofd.SHARED_FIRST, ofd.SHARED_SIZE)
                return holder.pid if holder is not None else None

    def _refuse_lock(self, path: bytes, there: _There, what: str) -> None:
        """Raise Refused when a file is locked; note who only has it open."""
        if there.kind != EntryKind.FILE:
            return
        with below(self._root, path) as (directory, name), opened(name, _OPEN, directory) as fd:
            holder = lock_holder(fd)
        if holder is not None:
            who = f"process {holder}" if holder > 0 else "another process"
            raise Refused(
                f"{self._name(path)} is locked by {who} and cannot be {what} under it",
                "stop that service, or leave the file out with --path",
            )
        self.open_files += self._users(path, sidecars=False)

    def _users(self, path: bytes, sidecars: bool = True) -> list[Use]:
        """Return who uses a file, with `sidecars` also those of a database of its name."""
        self._watch = self._watch or Watch(self._place.target)
        paths = with_sidecars(path) if sidecars else (path,)
        for one in paths:
            with contextlib.suppress(FileNotFoundError), below(self._root, one) as at:
                status = os.stat(at[1], dir_fd=at[0], follow_symlinks=False)
                self._watch.look(at[0], at[1], one, status)
        return [use for use in self._watch.found if use.path in paths]

    def _name(self, path: bytes) -> str:
        return os.fsdecode(self._place.prefix + path)


def _is_content(there: _There, becomes_one: bool, size: int) -> bool:
    """Whether what is wanted can be put into what is there by SQLite.

    An empty file is a database without content, also to a service that has it open.
    """
    if there.is_database:
        return becomes_one or not size
    return becomes_one and not there.size
