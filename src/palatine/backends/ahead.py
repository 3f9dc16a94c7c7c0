"""What somebody said he will read, fetched before he does: ranges of packs, in the order they come.

Neighbours come with one request, several requests are under way, and no more is held than there is
room for. What was said is no promise: a range that is not read makes room for others, one that is
read otherwise is read by whoever wants it, and a fetch that fails is an error only to those who
wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import NamedTuple

from palatine.backends.base import Backend
from palatine.ids import Buffer

REQUEST = 2 << 20
"""Bytes after which a request is long enough; the range that reaches them belongs to it."""

ROOM = 16 << 20
"""Bytes that are on their way or are kept for whoever reads them."""

_AT_LEAST = 64 << 10
"""What a request counts for at least."""

_PATIENCE = 4 << 20
"""Bytes that are announced after a short request before it is made, lest it come too late."""


class Range(NamedTuple):
    """`length` bytes of a pack from `offset` on."""

    name: str
    offset: int
    length: int


@dataclass(eq=False)
class _Fetch:
    """Ranges that lie side by side: one request."""

    name: str
    start: int
    end: int
    announced: int
    """How many bytes had been announced before it."""
    offsets: set[int] = field(default_factory=set)
    """Where its ranges begin."""
    unread: set[int] = field(default_factory=set)
    data: Future[Buffer] | None = None
    """Once it was begun."""
    came: bool = False
    dropped: bool = False

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def room(self) -> int:
        return max(self.length, _AT_LEAST)


class Ahead:
    """Fetches what will be read. Safe to use from several threads."""

    def __init__(self, backend: Backend, threads: Executor, room: int = ROOM) -> None:
        """Fetch by `threads`; hold `room` bytes at most, and what is wanted at once beyond it."""
        self._backend = backend
        self._threads = threads
        self._room = room
        self.held = 0
        """Bytes that are held now."""
        self._announced = 0
        self._at: dict[tuple[str, int], _Fetch] = {}
        self._growing: dict[str, _Fetch] = {}
        """Of each pack the request that the next range may belong to."""
        self._waiting: dict[_Fetch, None] = {}
        self._begun: dict[_Fetch, None] = {}
        self._read_up: dict[_Fetch, None] = {}
        """Those of the begun ones of which nothing is wanted any more."""
        self._lock = threading.Lock()

    def expect(self, ranges: Iterable[Range]) -> None:
        """Hear what will be read soon, in this order."""
        with self._lock:
            for one in ranges:
                fetch = self._at.get((one.name, one.offset))
                if fetch is not None:
                    fetch.unread.add(one.offset)
                    self._read_up.pop(fetch, None)
                elif one.length <= self._room:
                    self._note(one)
            self._begin_ripe()

    def take(self, name: str, offset: int, length: int) -> Buffer | None:
        """Return a range that was expected, or None: then nobody fetches it.

        Raises what the backend's `read` does.
        """
        with self._lock:
            fetch = self._at.get((name, offset))
            if fetch is None:
                return None
            if fetch.data is None:
                self._make_room(fetch.room)
                self._begin(fetch)
            data = fetch.data
        assert data is not None
        whole = memoryview(data.result())
        with self._lock:
            fetch.unread.discard(offset)
            if not fetch.unread and not fetch.dropped:
                self._read_up[fetch] = None
            self._begin_ripe()
        part = whole[offset - fetch.start : offset - fetch.start + length]
        return part if len(part) == length else None

    def forget(self, names: Iterable[str]) -> None:
        """Drop what was fetched, or is to be, of some packs."""
        wanted = {*names}
        with self._lock:
            for fetch in [*self._begun, *self._waiting]:
                if fetch.name in wanted:
                    self._drop(fetch)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            for fetch in [*self._begun, *self._waiting]:
                self._drop(fetch)

    def _note(self, one: Range) -> None:
        fetch = self._growing.get(one.name)
        if (
            fetch is None
            or fetch.end != one.offset
            or fetch.length >= REQUEST
            or fetch.length + one.length > self._room
        ):
            fetch = _Fetch(one.name, one.offset, one.offset, self._announced)
            self._growing[one.name] = fetch
            self._waiting[fetch] = None
        fetch.end += one.length
        fetch.offsets.add(one.offset)
        fetch.unread.add(one.offset)
        self._at[one.name, one.offset] = fetch
        self._announced += one.length

    def _begin_ripe(self) -> None:
        """Make the requests that will not grow any more, in order, as far as there is room."""
        ripe, room = [], self._room - self.held + sum(fetch.room for fetch in self._read_up)
        for fetch in self._waiting:
            room -= fetch.room
            if room < 0:
                break
            grows = self._growing.get(fetch.name) is fetch and fetch.length < REQUEST
            if not grows or self._announced - fetch.announced > _PATIENCE:
                ripe.append(fetch)
        for fetch in ripe:
            while self._read_up and self.held + fetch.room > self._room:
                self._drop(next(iter(self._read_up)))
            self._begin(fetch)

    def _begin(self, fetch: _Fetch) -> None:
        del self._waiting[fetch]
        if self._growing.get(fetch.name) is fetch:
            del self._growing[fetch.name]
        self._begun[fetch] = None
        self.held += fetch.room
        fetch.data = self._threads.submit(self._read, fetch)

    def _make_room(self, size: int) -> None:
        """Let go of what was fetched first: who wants what comes later has passed it over."""
        for fetch in [*self._read_up, *self._begun]:
            if self.held + size <= self._room:
                return
            if fetch.came:
                self._drop(fetch)

    def _read(self, fetch: _Fetch) -> Buffer:
        data = None
        try:
            data = self._backend.view(fetch.name, fetch.start, fetch.length)
            return data
        finally:
            with self._lock:
                fetch.came = True
                if fetch.dropped:
                    self.held -= fetch.room
                elif data is None:
                    self._drop(fetch)
                self._begin_ripe()

    def _drop(self, fetch: _Fetch) -> None:
        if fetch.dropped:
            return
        fetch.dropped = True
        for offset in fetch.offsets:
            del self._at[fetch.name, offset]
        if self._growing.get(fetch.name) is fetch:
            del self._growing[fetch.name]
        for kept in (self._waiting, self._begun, self._read_up):
            kept.pop(fetch, None)
        if fetch.came:
            self.held -= fetch.room
