"""Contents of files in the archive's order, fetched by several threads before it is their turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from palatine.bundle.native.members import Member
from palatine.errors import Malformed
from palatine.ids import ObjectId
from palatine.model.tree import Part
from palatine.store.trees import Source, chunk, expectation, extents

_ROOM = 12 << 20
"""Bytes that are fetched before it is their turn: six of the largest chunks."""

_STEPS = 1024
"""Steps planned before it is their turn: files of no size hold memory too."""

_POOLS = 4
"""Pools kept for the files to come; the least lately used one is dropped."""

_ZEROS = bytes(1 << 20)

_Fetched = Future[bytes | bytearray]


class Step(NamedTuple):
    """A run of a member's bytes, from `start` to `end` of what is fetched; no `data`: zeros.

    A member begins with a step of its own, `begins`, which has no bytes. `held` are the bytes that
    are in memory because of this step.
    """

    member: Member
    begins: bool
    data: _Fetched | None = None
    start: int = 0
    end: int = 0
    held: int = 0

    def bytes(self) -> Iterator[bytes | bytearray | memoryview]:
        """Yield the bytes; waits for them, and raises what fetching them raised."""
        if self.data is None:
            for at in range(self.start, self.end, len(_ZEROS)):
                yield memoryview(_ZEROS)[: self.end - at]
            return
        whole = self.data.result()
        if (self.start, self.end) == (0, len(whole)):
            yield whole
        else:
            yield memoryview(whole)[self.start : self.end]


class Ahead:
    """Fetches what members hold. Use it as a context manager."""

    def __init__(self, source: Source, threads: int) -> None:
        self._source = source
        self._expect = expectation(source)
        # half of them: to read takes less than half of what compression takes, beside it
        threads = max(1, threads // 2)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="palatine")
        self._pools: OrderedDict[ObjectId, _Fetched] = OrderedDict()

    def steps(self, members: Iterable[Member]) -> Iterator[Step]:
        """Yield the members' steps in order, while later ones are being fetched."""
        waiting: deque[Step] = deque()
        held = 0
        for step in self._planned(members):
            waiting.append(step)
            held += step.held
            while held > _ROOM or len(waiting) > _STEPS:
                first = waiting.popleft()
                yield first
                held -= first.held
        while waiting:
            yield waiting.popleft()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _planned(self, members: Iterable[Member]) -> Iterator[Step]:
        for member in members:
            yield Step(member, True)
            if member.has_content and member.entry.size:
                yield from self._content(member)

    def _content(self, member: Member) -> Iterator[Step]:
        entry, item = member.entry, member.item
        assert item is not None
        if entry.pooled:
            part = item.piece.pool[0]
            held = 0 if part.id in self._pools else part.size
            fetched, end = self._pooled(part), item.offset + entry.size
            yield Step(member, False, fetched, item.offset, end, held)
            return
        at = 0
        for offset, part in extents(self._source, entry):
            if offset > at:
                yield Step(member, False, None, at, offset)
            fetched = self._fetch(part)
            yield Step(member, False, fetched, 0, part.size, part.size)
            at = offset + part.size
        if at > entry.size:
            raise Malformed(f"{member.path[:200]!r} holds more than its size")
        if at < entry.size:
            yield Step(member, False, None, at, entry.size)

    def _pooled(self, part: Part) -> _Fetched:
        """Return a pool, which many files share: fetched once while it is wanted."""
        fetched = self._pools.pop(part.id, None) or self._fetch(part)
        self._pools[part.id] = fetched
        if len(self._pools) > _POOLS:
            self._pools.popitem(last=False)
        return fetched

    def _fetch(self, part: Part) -> _Fetched:
        self._expect([part.id])
        return self._pool.submit(chunk, self._source, part)
