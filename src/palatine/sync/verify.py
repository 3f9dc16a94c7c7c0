"""Frames that came, decoded and compared with their ids by threads while the next ones come.

They come out in the order in which they were put in, and what waits is bounded in bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from palatine.codec import compress, delta
from palatine.errors import Damaged, Malformed, NotFound
from palatine.ids import Digest, ObjectId
from palatine.model.pack import OBJECT_MAX, FrameKind, Member
from palatine.sync.roles import Given

if TYPE_CHECKING:
    from concurrent.futures import Future

_ROOM = 16 << 20
"""Bytes of frames and of what they hold that may wait to be taken; one frame always may."""

Bytes = bytes | bytearray
Verified = list[tuple[Member, Bytes]]
"""Objects whose bytes have their ids."""


class _Waiting(NamedTuple):
    given: Given
    size: int
    work: Future[Verified]


class Verifier:
    """A pool of threads that verifies frames."""

    def __init__(self, digest: Digest, threads: int) -> None:
        from concurrent.futures import ThreadPoolExecutor  # 3 ms of a start that may not need it

        self._digest = digest
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="palatine")
        self._waiting: deque[_Waiting] = deque()
        self._held = 0
        self._ids: set[ObjectId] = set()

    def __contains__(self, object_id: ObjectId) -> bool:
        """Whether an object is in a frame that has not been taken yet."""
        return object_id in self._ids

    def has_room(self, given: Given) -> bool:
        """Whether a frame may be put in before the oldest is taken."""
        return not self._waiting or self._held + _size(given) <= _ROOM

    def put(self, given: Given, base: Callable[[], Bytes] | None) -> None:
        """Have a frame verified; `base` gives the bytes that a delta stands on, in any thread."""
        size = _size(given)
        self._waiting.append(_Waiting(given, size, self._pool.submit(self._verify, given, base)))
        self._held += size
        self._ids.update(member.id for member in given.members)

    def take(self, wait: bool) -> Iterator[tuple[Given, Verified]]:
        """Yield the oldest frame and what is right of it, if it is done, or `wait` for it.

        Raises what its thread met besides bad bytes.
        """
        if self._waiting and (wait or self._waiting[0].work.done()):
            given, size, work = self._waiting.popleft()
            self._held -= size
            self._ids.difference_update(member.id for member in given.members)
            yield given, work.result()

    def take_all(self) -> Iterator[tuple[Given, Verified]]:
        """Yield all frames; see `take`."""
        while self._waiting:
            yield from self.take(wait=True)

    def drop(self) -> None:
        """Forget what has not been taken."""
        for one in self._waiting:
            one.work.cancel()
        self._waiting.clear()
        self._ids.clear()
        self._held = 0

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, given: Given, base: Callable[[], Bytes] | None) -> Verified:
        try:
            found = _decoded(given, base)
        except (Damaged, NotFound):
            return []
        return [
            (member, data)
            for member, data in found
            if self._digest.object_id(member.kind, data) == member.id
        ]


def is_sane(given: Given) -> bool:
    """Whether a frame says that it holds no more than it may."""
    sizes = [member.size for member in given.members]
    return min(sizes) >= 0 and sum(sizes) <= OBJECT_MAX


def _size(given: Given) -> int:
    plain = sum(member.size for member in given.members)
    # what a delta stands on is about as large
    return len(given.payload) + (2 if given.frame == FrameKind.DELTA else 1) * plain


def _decoded(given: Given, base: Callable[[], Bytes] | None) -> Verified:
    """Return a frame's objects, not verified yet; raises Malformed."""
    if base is not None:
        (member,) = given.members
        head = delta.read_head(given.payload)
        if (head.base, head.ordinal, head.length) != (given.base, given.ordinal, member.size):
            raise Malformed("a delta is not what it was said to be")
        data = bytearray(base())
        delta.apply(given.payload, data)
        return [(member, data)]
    plain = compress.decompress(given.payload, sum(member.size for member in given.members))
    found: Verified = []
    at = 0
    for member in given.members:
        found.append((member, plain[at : at + member.size]))
        at += member.size
    return found
