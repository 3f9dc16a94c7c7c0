"""What was read from packs far away, kept here: blocks in memory and, within bounds, on the disk.

Packs never change, so a block is good as long as it is whole. Whoever must know what the store
itself holds (verify, repair, gc) reads past this.

What will be read is best said before (`expect`): then exactly that is fetched, and not kept when it
was read. Of what nobody announced one block is fetched at first, and more at a time while a pack is
read on, in either direction. From front to back it is fetched ahead of whoever reads, by threads.
Only what was read here and there goes to the disk: trees and bases, which are wanted again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from palatine.backends.ahead import Ahead, Range
from palatine.backends.base import Backend
from palatine.backends.blockfiles import BlockFiles
from palatine.ids import Buffer

BLOCK = 256 << 10
_MANY = 8
"""Blocks in one request at most: 2 MiB."""

_AHEAD = 4
"""Requests under way for what lies ahead of a reader and was not announced."""
_UNDER_WAY = (1 + _AHEAD) * _MANY

_THREADS = 8
"""Requests under way for what lies ahead: with 30 ms for each, 2 MiB of it, 0.5 GB/s."""

_MEMORY = 24 << 20
"""Bytes kept in memory: what was fetched ahead, and what the readers of two packs are at."""

DISK = 512 << 20
"""Bytes kept on the disk, for each repository."""


@dataclass(eq=False)
class _Run:
    """Blocks of a pack that come, or came, with one request."""

    name: str
    first: int
    count: int
    keep: bool = False
    """Whether they go to the disk."""
    dropped: bool = False
    data: Future[bytes] = field(default_factory=Future)


@dataclass
class _Place:
    """Where a pack is read on: from block `low` to `high` it was fetched, or is about to be.

    `count` is how many blocks are asked for at once: those above `_MANY` ahead of the reader.
    """

    low: int
    high: int
    count: int


class BlockCache:
    """Reads of packs through a cache. Safe to use from several threads and processes."""

    def __init__(self, backend: Backend, directory: Path, limit: int = DISK) -> None:
        """Keep up to `limit` bytes in a directory, which is made when it is needed."""
        self._backend = backend
        self._files = BlockFiles(directory, limit)
        self._memory: OrderedDict[_Run, None] = OrderedDict()
        self._held = 0
        self._runs: dict[tuple[str, int], _Run] = {}
        self._places: dict[str, _Place] = {}
        self._ends: dict[str, int] = {}
        self._is_bulk = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="palatine-ahead")
        self._ahead = Ahead(backend, self._threads)

    def expect(self, ranges: Iterable[Range]) -> None:
        """Hear what will be read soon, in this order; see `Ahead`."""
        self._ahead.expect(ranges)

    def read(self, name: str, offset: int, length: int) -> Buffer:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""
        expected = self._ahead.take(name, offset, length)
        return self._read(name, offset, length) if expected is None else expected

    def forget(self, names: Iterable[str]) -> None:
        """Drop what is kept of some packs."""
        wanted = {*names}
        self._ahead.forget(wanted)
        with self._lock:
            for run in {run for run in self._runs.values() if run.name in wanted}:
                self._drop(run)
        for name in wanted:
            self._files.remove_pack(name)

    def clear(self) -> None:
        """Drop everything."""
        self._ahead.clear()
        with self._lock:
            for run in {*self._runs.values()}:
                self._drop(run)
        self._files.clear()

    def close(self) -> None:
        """Let go of the threads; what is being fetched is waited for. Nobody may read any more."""
        self._ahead.clear()  # so that nothing more is begun
        self._threads.shutdown(cancel_futures=True)

    def _read(self, name: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        last = (offset + length - 1) // BLOCK
        at, end, parts = offset, offset + length, []
        while at < end:
            run = self._run(name, at // BLOCK, last)
            start = run.first * BLOCK
            stop = min(end, start + run.count * BLOCK)
            part = run.data.result()[at - start : stop - start]
            parts.append(part)
            if len(part) < stop - at:
                break  # it ends here
            at = stop
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _run(self, name: str, number: int, last: int) -> _Run:
        """Return a run that has a block; up to `last` they are wanted as well."""
        run = self._known(name, number, last)
        if run is not None:
            return run
        block = self._files.get(name, number)
        with self._lock:
            if (name, number) in self._runs:
                return self._runs[name, number]  # another thread was quicker
            if block is None:
                run = self._begin(name, number, last)
                self._look_ahead(name, last)
            else:
                run = self._new(name, number, number + 1)
        if block is None:
            self._fetch(run)
        else:
            run.data.set_result(block)
            self._came(run, block)
        return run

    def _known(self, name: str, number: int, last: int) -> _Run | None:
        with self._lock:
            run = self._runs.get((name, number))
            if run is not None:
                if run in self._memory:
                    self._memory.move_to_end(run)
                self._look_ahead(name, last)
            return run

    def _begin(self, name: str, number: int, last: int) -> _Run:
        """Choose what to fetch with a block: the more, the longer a pack is read on."""
        place = self._places.get(name)
        wanted = min(last + 1 - number, _MANY)
        near = min(place.count, _MANY) if place else 0
        if place and place.high <= number < place.high + near:
            # what was passed over is about to be asked for: several threads read
            place.count = min(2 * place.count, _UNDER_WAY)
            end = place.high + min(max(place.count, last + 1 - place.high), _MANY)
            run = self._new(name, place.high, end)
            place.high = end
            self._is_bulk |= place.count >= _MANY
        elif place and place.low - near <= number < place.low:
            place.count = min(2 * place.count, _MANY)
            run = self._new(name, max(0, min(place.low - place.count, number)), place.low, True)
            place.low = run.first
        else:
            # who has read packs from front to back so far will do so with this one
            bulk = self._is_bulk
            first = 0 if bulk and place is None and number < _MANY - wanted else number
            run = self._new(name, first, number + wanted, keep=not bulk)
            self._places[name] = _Place(first, number + wanted, 2 * _MANY if bulk else wanted)
        return run

    def _look_ahead(self, name: str, last: int) -> None:
        """Have what comes after a block fetched before it is asked for."""
        place = self._places.get(name)
        if place is None:
            return
        end = self._ends.get(name, 1 << 62)
        while place.high < min(last + 1 + place.count - _MANY, end):
            run = self._new(name, place.high, place.high + _MANY)
            place.high += _MANY
            place.count = min(place.count + _MANY, _UNDER_WAY)
            self._threads.submit(self._fetch, run)

    def _new(self, name: str, first: int, end: int, keep: bool = False) -> _Run:
        run = _Run(name, first, end - first, keep)
        for number in range(first, end):
            self._runs.setdefault((name, number), run)
        return run

    def _fetch(self, run: _Run) -> None:
        try:
            data = self._backend.read(run.name, run.first * BLOCK, run.count * BLOCK)
        except BaseException as error:  # noqa: BLE001 - raised again for whoever reads
            with self._lock:
                self._drop(run)
            run.data.set_exception(error)
            return
        run.data.set_result(data)
        self._came(run, data)
        if run.keep and not run.dropped:
            self._store(run, data)

    def _store(self, run: _Run, data: bytes) -> None:
        for at in range(0, len(data), BLOCK):
            self._files.put(run.name, run.first + at // BLOCK, data[at : at + BLOCK])
        if run.dropped:  # meanwhile; who forgot it may have looked for its files before
            for number in range(run.first, run.first + run.count):
                self._files.remove(run.name, number)

    def _came(self, run: _Run, data: bytes) -> None:
        """Count what is in memory, and let go of what was not wanted for longest."""
        with self._lock:
            if len(data) < run.count * BLOCK:
                self._ends[run.name] = run.first + -(-len(data) // BLOCK)
            if run.dropped:
                return  # it was forgotten meanwhile
            self._memory[run] = None
            self._held += len(data)
            while self._held + self._ahead.held > _MEMORY and len(self._memory) > 1:
                self._drop(next(iter(self._memory)))

    def _drop(self, run: _Run) -> None:
        run.dropped = True
        for number in range(run.first, run.first + run.count):
            if self._runs.get((run.name, number)) is run:
                del self._runs[run.name, number]
        if run in self._memory:
            del self._memory[run]
            self._held -= len(run.data.result())
