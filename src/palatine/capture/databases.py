"""The databases of a palace, captured together: each a state that some transaction committed, all
of them as of one instant.

They are pinned, their wal-indexes are read twice (equal both times: between the two readings all of
them were in that state), what changed is read, and the pins are let go. Compression and storing
come after that. Nothing in the palace is changed: the locks leave no trace, and no connection is
opened.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import random
from typing import NamedTuple

from blake3 import blake3

from palatine.capture.files import FileContent, ListBuilder, OldExtents, read_xattrs
from palatine.capture.signatures import SIGNATURE_SIZE, UNKNOWN, settled, signature
from palatine.capture.sink import Sink
from palatine.capture.spool import Block, Spool
from palatine.clock import Clock
from palatine.errors import PathNotFound
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.snapshot import CapturedAs, Missing
from palatine.model.tree import POOLED_MAX, Entry, EntryKind, Part
from palatine.sqlite.image import Image
from palatine.sqlite.pin import Database, State
from palatine.sqlite.wal import IndexHeader, committed_by_checksums
from palatine.store.trees import find

ROUNDS = 12
"""How often the whole capture begins again when something moved that nothing held still. From the
middle on databases at rest are locked too: services that come and go leave their sidecars then.
"""
TRIES = 200
"""How often the wal-indexes are read again until two readings of all of them are equal."""


class Taken(NamedTuple):
    """A database as it was captured; without `content` it is as it was when last captured.

    `signature` tells it from a changed one, `how` how it was held still; `note` is for people.
    """

    signature: bytes
    how: CapturedAs
    content: FileContent | None
    note: str = ""


Outcome = Taken | Missing


@dataclass(frozen=True)
class Terms:
    """What holds for every database of a capture: block size, patience in seconds, the clock, when
    the capture began, and the signatures that were noted last time.
    """

    block: int
    patience: float
    clock: Clock
    began_ns: int
    noted: dict[bytes, bytes]


class _Open(NamedTuple):
    path: bytes
    database: Database
    state: State
    directory: int


class _Instant(NamedTuple):
    """A database at the common instant: what to read, and what must not have changed after it."""

    held: _Open
    header: IndexHeader | None
    signature: bytes
    stats: tuple[tuple[int, ...], ...]


class DatabaseCapture:
    """Captures the databases of one palace into a sink."""

    def __init__(self, sink: Sink, reporter: Reporter, terms: Terms, old: ObjectId | None) -> None:
        self._sink = sink
        self._reporter = reporter
        self._terms = terms
        self._old = old
        self._deadline = 0.0
        self.longest_pin = 0.0
        """Seconds the longest pin was held."""

    def capture(self, root: int, paths: Sequence[bytes]) -> dict[bytes, Outcome]:
        """Capture the databases at these paths below an open directory.

        A path that turns out to be no database is left out of the result: it is an ordinary file.
        """
        self._deadline = self._terms.clock.monotonic() + self._terms.patience
        for attempt in range(ROUNDS):
            outcomes: dict[bytes, Outcome] = {}
            moved = self._round(root, paths, outcomes, firm=attempt >= ROUNDS // 2)
            if not moved:
                return outcomes
        for path in moved:
            outcomes[path] = Missing(path, "its files went on changing while it was read")
        return outcomes

    def _round(
        self, root: int, paths: Sequence[bytes], outcomes: dict[bytes, Outcome], firm: bool
    ) -> list[bytes]:
        """Capture all at a new instant; return the paths of those that did not hold still."""
        with contextlib.closing(Spool()) as spool, contextlib.ExitStack() as stack:
            held = self._hold_all(_Wanted(root, list(paths), outcomes, firm), stack)
            began = self._terms.clock.monotonic()
            instants = self._instants(held, outcomes)
            if instants is None:
                return [one.path for one in held]
            read = {
                one.held.path: self._read_pinned(one, spool)
                for one in instants
                if one.held.database.pinned
            }
            for one in held:
                one.database.unpin()
            if read:
                self._count_pin(began)
            moved = []
            for instant in instants:
                path = instant.held.path
                outcome = self._finish(instant, read.get(path), spool)
                if outcome is None:
                    moved.append(path)
                else:
                    outcomes[path] = outcome
            return moved

    def _hold_all(self, wanted: _Wanted, stack: contextlib.ExitStack) -> list[_Open]:
        """Open all databases and pin those in use; what cannot be had in time is told."""
        wait = 0.0005
        while True:
            attempt = stack.enter_context(contextlib.ExitStack())
            held, refused = self._try_all(wanted, attempt)
            if refused is None:
                return held
            attempt.close()
            if self._terms.clock.monotonic() >= self._deadline:
                wanted.give_up(refused, "another process holds it exclusively")
            else:  # the busiest first: what is locked while the others are tried is locked shortly
                wanted.paths.remove(refused)
                wanted.paths.insert(0, refused)
            wait = min(0.005, wait * 1.5)
            self._terms.clock.sleep(wait * (0.5 + random()))

    def _try_all(
        self, wanted: _Wanted, stack: contextlib.ExitStack
    ) -> tuple[list[_Open], bytes | None]:
        held = []
        for path in list(wanted.paths):
            try:
                one = _open(wanted.root, path, stack)
            except FileNotFoundError:
                wanted.paths.remove(path)
                continue
            except OSError as error:
                wanted.give_up(path, error.strerror or str(error))
                continue
            if one is None:
                wanted.paths.remove(path)
                continue
            if one.state in _TO_PIN or (wanted.firm and one.state == State.REST):
                if not one.database.try_pin():
                    return [], path
                # not what it was found in: somebody may have come or gone since
                one = one._replace(state=one.database.pinned_as)
            held.append(one)
        return held, None

    def _instants(self, held: list[_Open], outcomes: dict[bytes, Outcome]) -> list[_Instant] | None:
        """Return all databases as of one instant, or None when they would not hold still.

        One whose wal-index nobody completes is told, and left out.
        """
        for attempt in range(TRIES):
            if attempt > TRIES // 10:
                self._terms.clock.sleep(0.0005)
            first = [_header(one) for one in held]
            second = [_header(one) for one in held]
            torn = any(
                header is None and one.state == State.WAL
                for one, header in zip(held, first, strict=True)
            )
            if first == second and not torn:
                if not all(one.state != State.REST or _at_rest(one) for one in held):
                    return None  # opened since it was looked at: its commits may lie in a new WAL
                return [
                    _Instant(one, header, self._sign(one, header), one.database.stats())
                    for one, header in zip(held, first, strict=True)
                ]
        torn_ones = [one for one in held if one.state == State.WAL and _header(one) is None]
        for one in torn_ones:
            reason = "its wal-index is incomplete: a process died while it wrote to it"
            outcomes[one.path] = Missing(one.path, reason)
            held.remove(one)
            one.database.unpin()
        return self._instants(held, outcomes) if torn_ones else None

    def _sign(self, one: _Open, header: IndexHeader | None) -> bytes:
        status = os.fstat(one.database.main)
        if one.state == State.HOT_JOURNAL or not settled(status, self._terms.began_ns):
            return UNKNOWN
        token = header.token if header is not None and header.max_frame else b""
        if one.state == State.CRASHED_WAL:
            token = repr(one.database.stats()).encode()
        return blake3(signature(status) + token).digest(length=SIGNATURE_SIZE)

    def _read_pinned(self, one: _Instant, spool: Spool) -> list[Block] | None:
        """Read a pinned database; None when it is unchanged, or its WAL is not as it should be."""
        if self._is_noted(one):
            return None
        image = one.held.database.pinned_image(one.header)
        if image is None:
            return None
        old = OldExtents(self._sink, self._old_entry(one.held.path))
        blocks = []
        at = 0
        while data := image.read(at, self._terms.block):
            blocks.append(self._block(data, old.at(at), spool))
            at += len(data)
        if one.held.state == State.REST and one.held.database.main_stamp() != one.stats[0]:
            return None  # its lock does not keep a service from checkpointing
        return blocks

    def _block(self, data: bytes, predecessor: ObjectId | None, spool: Spool) -> Block:
        """Keep a block's bytes, unless it is the one that stood there before."""
        if (
            predecessor is not None
            and len(data) > POOLED_MAX
            and self._sink.name(Kind.CHUNK, data) == predecessor
            and self._sink.present(predecessor)
        ):
            return Block(len(data), id=predecessor)
        return spool.keep(data)

    def _finish(self, one: _Instant, blocks: list[Block] | None, spool: Spool) -> Outcome | None:
        """Store what was read, or read what needs no pin; None when that did not hold still."""
        pinned = one.held.state in (State.WAL, State.ROLLBACK)
        how = CapturedAs.PINNED if pinned else CapturedAs.STABLE
        if self._is_noted(one):
            # What nothing held still may have been opened, and written to, since it was looked at
            still = pinned or _rests(one)
            return Taken(one.signature, how, None) if still else None
        encrypted = one.held.database.status.st_size and not one.held.database.plain
        note = "encrypted: captured under its lock" if encrypted else ""
        if blocks is not None:
            content = self._store(one, blocks, spool)
            return Taken(one.signature, how, content, note)
        if pinned:
            return Missing(one.held.path, "its WAL is damaged: no committed state can be read")
        return self._take_resting(one, spool)

    def _take_resting(self, one: _Instant, spool: Spool) -> Outcome | None:
        """Capture a database that nobody has open; None when somebody opened it meanwhile."""
        with contextlib.ExitStack() as stack:
            try:
                image = _resting_image(one.held, stack)
            except sqlite3.Error as error:
                return Missing(one.held.path, f"its journal cannot be rolled back: {error}")
            content = self._store(one, self._streamed(image), spool)
        if not _rests(one):
            return None
        return Taken(one.signature, CapturedAs.STABLE, content)

    def _streamed(self, image: Image) -> Iterator[Block]:
        at = 0
        while data := image.read(at, self._terms.block):
            yield Block(len(data), data=data)
            at += len(data)

    def _store(self, one: _Instant, blocks: Iterable[Block], spool: Spool) -> FileContent:
        database = one.held.database
        status, xattrs = os.fstat(database.main), read_xattrs(database.main)
        entry = self._old_entry(one.held.path)
        lists, old = ListBuilder(self._sink, entry), OldExtents(self._sink, entry)
        at = 0
        for block in blocks:
            if not at and block.size <= POOLED_MAX:
                small = spool.load(block)
                return FileContent(status, block.size, small, 0, (), (), xattrs, torn=False)
            block_id = block.id or self._sink.put(Kind.CHUNK, spool.load(block), old.at(at))
            lists.add(Part(block_id, block.size))
            self._reporter.advance(block.size)
            at += block.size
        level, parts = lists.finish()
        return FileContent(status, at, b"", level, parts, (), xattrs, torn=False)

    def _is_noted(self, one: _Instant) -> bool:
        return one.signature != UNKNOWN and self._terms.noted.get(one.held.path) == one.signature

    def _old_entry(self, path: bytes) -> Entry | None:
        if self._old is None:
            return None
        try:
            entry = find(self._sink, self._old, path).entry
        except PathNotFound:
            return None
        return entry if entry.kind == EntryKind.FILE else None

    def _count_pin(self, began: float) -> None:
        self.longest_pin = max(self.longest_pin, self._terms.clock.monotonic() - began)


_TO_PIN = (State.WAL, State.ROLLBACK, State.EXCLUSIVE)


@dataclass
class _Wanted:
    """The databases to capture; those that are none, or cannot be had, go from `paths`."""

    root: int
    paths: list[bytes]
    outcomes: dict[bytes, Outcome]
    firm: bool

    def give_up(self, path: bytes, reason: str) -> None:
        self.outcomes[path] = Missing(path, reason)
        self.paths.remove(path)


def _open(root: int, path: bytes, stack: contextlib.ExitStack) -> _Open | None:
    """Open a database; None for a file that is none although its name says so."""
    directory_path, _, name = path.rpartition(b"/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(directory_path or b".", flags, dir_fd=root)
    stack.callback(os.close, directory)
    database = Database(directory, name)
    stack.callback(database.close)
    state = database.state()
    if not database.plain and not _is_used_as_one(database, state):
        return None
    return _Open(path, database, state, directory)


def _at_rest(one: _Open) -> bool:
    """Whether nobody has come to a database since it was opened here."""
    return one.database.same_files() and one.database.state() == State.REST


def _rests(one: _Instant) -> bool:
    """Whether a database that nothing holds still is as it was at the instant."""
    database = one.held.database
    unmoved = database.stats() == one.stats and database.same_files()
    return unmoved and database.state() == one.held.state


def _is_used_as_one(database: Database, state: State) -> bool:
    """Whether a file without SQLite's header (new, or encrypted) is a database all the same."""
    if state == State.CRASHED_WAL:
        return committed_by_checksums(database.wal) is not None
    return state == State.WAL or (state in _TO_PIN and database.in_use)


def _header(one: _Open) -> IndexHeader | None:
    return one.database.index_header() if one.state == State.WAL else None


def _resting_image(held: _Open, stack: contextlib.ExitStack) -> Image:
    database = held.database
    if held.state == State.CRASHED_WAL:
        return database.abandoned_image()
    if held.state == State.HOT_JOURNAL:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palatine-")))
        copy = os.open(database.recovered_copy(scratch), os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, copy)
        return Image(copy, os.fstat(copy).st_size)
    return Image(database.main, os.fstat(database.main).st_size)
