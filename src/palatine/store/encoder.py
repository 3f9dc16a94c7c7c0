"""Objects into frames, frames into packs, packs into index segments: what all who write share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from typing import NamedTuple

from palatine.backends.base import Backend
from palatine.codec import compress, delta
from palatine.errors import Malformed, PalatineError
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.pack import FrameKind, Listing, Member
from palatine.store.catalog import Catalog, Copy
from palatine.store.index import SEGMENT_OBJECTS, SEGMENT_PACKS, Index
from palatine.store.lineage import FRESH_START
from palatine.store.packer import PACK_TARGET, Packer, Ready
from palatine.store.reader import Reader, check_delta
from palatine.workers import Workers

SOLID_BELOW = 64 << 10
"""Objects smaller than this share a solid frame."""

SOLID_FULL = 256 << 10
"""A solid frame is closed with the object with which it reaches this many plain bytes."""

IN_FLIGHT = 24 << 20
"""Plain bytes that may wait for the workers: with them memory is bounded."""

PACKS_AT_ONCE = 2
"""Full packs that are made durable, or sent, at the same time, while others are filled.

One more waits, on a disk. On object storage each costs its size in memory meanwhile.
"""


@dataclass(frozen=True)
class Parts:
    """The parts of a repository that those who write work on."""

    backend: Backend
    catalog: Catalog
    index: Index
    reader: Reader
    digest: Digest


class Base(NamedTuple):
    """What an object is stored against: a base, its bytes, and the root its chain begins with.

    `ordinal` is that of the object.
    """

    id: ObjectId
    data: bytearray
    ordinal: int
    root: Copy


class Encoder:
    """Encodes what it is given by workers. `finished` is told the numbers of packs and listings.

    Of its methods, `small`, `submit`, `finish`, `write_segments` and `close` are for the caller's
    thread, `full`, `plain`, `delta` and `frames` for what was submitted.
    """

    def __init__(
        self, parts: Parts, threads: int, finished: Callable[[list[int], Listing], None]
    ) -> None:
        self._catalog = parts.catalog
        self._index = parts.index
        self._finished = finished
        self._listings: list[tuple[int, Listing]] = []
        """By lane: which pack of two is durable first must not show in what is written."""
        self._listed = 0
        self._lock = threading.Lock()
        self._workers = Workers(threads, IN_FLIGHT)
        self._closing = Workers(PACKS_AT_ONCE, (PACKS_AT_ONCE + 2) * PACK_TARGET)
        data, meta = (
            Packer(parts.backend, parts.digest, partial(self._keep, lane), self._closing)
            for lane in range(2)
        )
        self._lanes = {Kind.CHUNK: _Lane(data), Kind.LIST: _Lane(meta), Kind.TREE: _Lane(meta)}
        self._packers = (data, meta)
        self.added = 0
        """Bytes of the packs that were written."""

    def check(self) -> None:
        """Raise what a worker met."""
        self._workers.check()
        self._closing.check()

    def submit(self, size: int, work: Callable[[], None]) -> None:
        """Have a worker do something that holds `size` bytes."""
        self._workers.submit(size, work)

    def small(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        """Put an object into a solid frame."""
        lane = self._lanes[kind]
        with self._lock:
            full = lane.add(Member(kind, object_id, len(data)), data)
        if full:
            self._workers.submit(SOLID_FULL, lambda: self._solid(lane, *full))

    def full(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        """Store an object in full: alone, or in a solid frame if it is small."""
        if len(data) >= SOLID_BELOW:
            self.plain(kind, object_id, data)
            return
        lane = self._lanes[kind]
        with self._lock:
            full = lane.add(Member(kind, object_id, len(data)), data)
        if full:
            self._solid(lane, *full)

    def plain(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        """Store an object in a frame of its own."""
        members = (Member(kind, object_id, len(data)),)
        self.frames([Ready(FrameKind.PLAIN, _compressed(data), members)])

    def delta(self, kind: Kind, object_id: ObjectId, data: Buffer, base: Base) -> None:
        """Store an object as a delta, or in full where that is hardly larger.

        The base's bytes are the object's afterwards.
        """
        payload = delta.encode(data, base.data, base.id, base.ordinal)
        if len(payload) > FRESH_START * _full_size(data, base.root):
            self.full(kind, object_id, data)
            return
        delta.apply(payload, base.data)
        if base.data != data:
            raise PalatineError("a delta did not give back what it was made from; nothing was lost")
        members = (Member(kind, object_id, len(data)),)
        self.frames([Ready(FrameKind.DELTA, payload, members, base.id, base.ordinal)])

    def frames(self, frames: Iterable[Ready]) -> None:
        """Store frames as they are."""
        for lane, some in groupby(frames, lambda one: self._lanes[one.members[0].kind]):
            lane.packer.add(some)

    def finish(self) -> None:
        """Wait until every object is in a durable pack."""
        self._workers.wait()  # what a worker finds not to be worth a frame still joins a solid one
        for kind, lane in self._lanes.items():
            self._close_solid(kind, lane)
        self._workers.wait()
        for packer in self._packers:
            packer.flush()
        self._closing.wait()

    def write_segments(self) -> None:
        """List the packs in durable index segments, with those that a killed writer left."""
        with self._lock:
            kept, self._listings = self._listings, []
        listings = _in_order(kept)
        rest = self._index.uncovered({one.pack for one in listings})
        self._index.write_segments(chain(listings, rest))

    def close(self) -> None:
        """Stop the workers and drop what was not finished."""
        self._workers.close()  # they may wait for a pack to be closed
        self._closing.close()
        for packer in self._packers:
            packer.abort()

    def _close_solid(self, kind: Kind, lane: _Lane) -> None:
        with self._lock:
            rest = lane.take()
        if rest:
            self._workers.submit(SOLID_FULL, lambda: self._solid(lane, *rest))

    def _solid(self, lane: _Lane, members: tuple[Member, ...], data: bytes) -> None:
        lane.packer.add([Ready(FrameKind.SOLID, _compressed(data), members)])

    def _keep(self, lane: int, listing: Listing) -> None:
        numbers = self._catalog.add([listing], "")
        with self._lock:
            self._listings.append((lane, listing))
            self._listed += sum(len(frame.members) for frame in listing.frames)
            self.added += listing.size
            due: list[tuple[int, Listing]] = []
            if len(self._listings) >= SEGMENT_PACKS or self._listed >= SEGMENT_OBJECTS:
                due, self._listings, self._listed = self._listings, [], 0
        self._finished(numbers, listing)
        self._index.write_segments(_in_order(due))


def _in_order(kept: list[tuple[int, Listing]]) -> list[Listing]:
    return [listing for _, listing in sorted(kept, key=lambda one: one[0])]


class _Lane:
    """One kind of object on its way: a packer, and the solid frame being gathered."""

    def __init__(self, packer: Packer) -> None:
        self.packer = packer
        self._members: list[Member] = []
        self._data: list[Buffer] = []
        self._ids: set[ObjectId] = set()
        self._size = 0

    def add(self, member: Member, data: Buffer) -> tuple[tuple[Member, ...], bytes] | None:
        if member.id in self._ids:
            return None  # collectors beside each other bring some objects twice
        self._ids.add(member.id)
        self._members.append(member)
        self._data.append(data)
        self._size += len(data)
        return self.take() if self._size >= SOLID_FULL else None

    def take(self) -> tuple[tuple[Member, ...], bytes] | None:
        if not self._members:
            return None
        taken = tuple(self._members), b"".join(self._data)
        self._members, self._data, self._ids, self._size = [], [], set(), 0
        return taken


def again(objects: Sequence[tuple[ObjectId, Copy]], payload: Buffer) -> Ready:
    """Return a frame that lies elsewhere, given all objects that are known to be in it.

    Raises Malformed where it is not what is known of it: a delta says itself what it is, and of a
    solid frame the objects have to fill it, for a footer tells their places by their sizes, and of
    an object that was put into a frame twice the catalog knows one place.
    """
    first = objects[0][1]
    if first.frame == FrameKind.SOLID:
        end = 0
        for _, one in objects:
            if one.start != end:
                break
            end += one.size
        if end != compress.content_size(payload):
            raise Malformed("a frame holds something else than the catalog knows of")
    elif first.frame == FrameKind.DELTA:
        check_delta(payload, first)
    members = tuple(Member(Kind(one.kind), each, one.size) for each, one in objects)
    return Ready(FrameKind(first.frame), payload, members, first.base, first.ordinal)


def _compressed(data: Buffer) -> bytes:
    """Compress, and read back before it is relied upon: the caller's copy is about to go."""
    payload = compress.compress(data)
    if compress.decompress(payload, len(data)) != data:
        raise PalatineError("a frame did not give back what it was made from; nothing was lost")
    return payload


def _full_size(data: Buffer, root: Copy) -> float:
    """Return about how many bytes `data` would take in full, judged by the root of its chain."""
    if root.frame == FrameKind.PLAIN and root.size:
        return len(data) * root.length / root.size
    return len(compress.compress(data))
