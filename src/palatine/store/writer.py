"""Writing objects: named and looked up in the caller's thread, encoded and packed by workers.

`put` returns an object's id at once, so trees can be built while the compressors are still busy;
`flush` returns when everything is durable and indexed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import chain

from palatine.backends.base import Backend
from palatine.codec import compress, delta
from palatine.errors import PalatineError, RepositoryError
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.pack import OBJECT_MAX, FrameKind, Listing, Member
from palatine.store import lineage
from palatine.store.catalog import Catalog, Copy
from palatine.store.index import SEGMENT_PACKS, Index
from palatine.store.packer import Packer
from palatine.store.reader import Reader
from palatine.store.resolve import resolve
from palatine.workers import Workers

SOLID_BELOW = 64 << 10
"""Objects smaller than this share a solid frame."""

SOLID_FULL = 256 << 10
"""A solid frame is closed with the object with which it reaches this many plain bytes."""

DELTA_FROM = 512
"""Objects smaller than this are not worth a delta's head of 48 bytes and a frame of their own."""

IN_FLIGHT = 24 << 20
"""Plain bytes that may wait for the workers: with them memory is bounded."""


@dataclass(frozen=True)
class Parts:
    """The parts of a repository that a writer works on."""

    backend: Backend
    catalog: Catalog
    index: Index
    reader: Reader
    digest: Digest


class Writer:
    """Puts objects into a repository on behalf of one session.

    `absent` are packs (by catalog number) that must not be relied upon: they are condemned.
    """

    def __init__(self, parts: Parts, absent: frozenset[int], workers: int) -> None:
        self._catalog = parts.catalog
        self._index = parts.index
        self._reader = parts.reader
        self._digest = parts.digest
        self._absent = absent
        self._before = parts.catalog.newest_pack()
        self._own: set[int] = set()
        self._fresh: set[ObjectId] = set()
        self._listings: list[Listing] = []
        self._lock = threading.Lock()
        self._workers = Workers(workers, IN_FLIGHT)
        data, meta = (Packer(parts.backend, parts.digest, self._finished) for _ in range(2))
        self._lanes = {Kind.CHUNK: _Lane(data), Kind.LIST: _Lane(meta), Kind.TREE: _Lane(meta)}
        self._packers = (data, meta)
        self.added = 0

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        """Store an object unless it is present, and return its id.

        `predecessor` hints at the object whose place this one takes. `data` must not change
        afterwards. Raises what a worker met since the last call.
        """
        self._workers.check()
        if len(data) > OBJECT_MAX:
            raise RepositoryError(f"an object of {len(data)} bytes is too large")
        object_id = self._digest.object_id(kind, data)
        if object_id in self._fresh or self.present(object_id):
            return object_id
        self._fresh.add(object_id)
        if predecessor is not None and len(data) >= DELTA_FROM:
            self._workers.submit(
                len(data), lambda: self._encode_delta(kind, object_id, data, predecessor)
            )
        elif len(data) < SOLID_BELOW:
            self._add_small(kind, object_id, data)
        else:
            self._workers.submit(len(data), lambda: self._encode_plain(kind, object_id, data))
        return object_id

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        """Return the id an object would have."""
        return self._digest.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        """Whether an object may be relied upon without being stored again."""
        return resolve(self._catalog, object_id, self._counts) is not None

    def flush(self) -> None:
        """Wait until every object is in a durable pack and every pack in a durable segment."""
        self._workers.wait()  # deltas that are not worth it still go into the solid frames
        for kind in (Kind.CHUNK, Kind.TREE, Kind.LIST):
            self._close_solid(kind)
        self._workers.wait()
        for packer in self._packers:
            packer.flush()
        if self._fresh:
            raise PalatineError(
                f"{len(self._fresh)} objects did not reach a pack; nothing was lost"
            )
        with self._lock:
            listings, self._listings = self._listings, []
        rest = self._index.uncovered({one.pack for one in listings})
        self._index.write_segments(chain(listings, rest))

    def close(self) -> None:
        """Stop the workers and drop what was not flushed."""
        self._workers.close()
        for packer in self._packers:
            packer.abort()

    def _counts(self, copy: Copy) -> bool:
        # A pack that came to the catalog after this session read what is condemned may have been
        # condemned before: it does not count, unless it is the session's own.
        listed = copy.pack <= self._before or copy.pack in self._own
        whole = not self._catalog.is_cut(copy.pack) and copy[:2] not in self._reader.known_bad
        return listed and copy.pack not in self._absent and whole

    def _is_base(self, copy: Copy) -> bool:
        # A base must come from a snapshot committed before this one began, never from this session
        return copy.pack <= self._before and self._counts(copy)

    def _add_small(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        lane = self._lanes[kind]
        with self._lock:
            full = lane.add(Member(kind, object_id, len(data)), data)
        if full:
            self._workers.submit(SOLID_FULL, lambda: self._encode_solid(lane, *full))

    def _close_solid(self, kind: Kind) -> None:
        lane = self._lanes[kind]
        with self._lock:
            rest = lane.take()
        if rest:
            self._workers.submit(SOLID_FULL, lambda: self._encode_solid(lane, *rest))

    def _encode_plain(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        members = (Member(kind, object_id, len(data)),)
        self._lanes[kind].packer.add(FrameKind.PLAIN, _compressed(data), members)

    def _encode_solid(self, lane: _Lane, members: tuple[Member, ...], data: bytes) -> None:
        lane.packer.add(FrameKind.SOLID, _compressed(data), members)

    def _encode_delta(
        self, kind: Kind, object_id: ObjectId, data: Buffer, predecessor: ObjectId
    ) -> None:
        chain = resolve(self._catalog, predecessor, self._is_base)
        line = lineage.plan(chain) if chain else None
        base = self._base(line) if line else None
        if line is None or base is None:
            return self._encode_full(kind, object_id, data)
        payload = delta.encode(data, base, line.base, line.ordinal)
        if len(payload) > lineage.FRESH_START * _full_size(data, line.chain[-1][1]):
            return self._encode_full(kind, object_id, data)
        delta.apply(payload, base)
        if base != data:
            raise PalatineError("a delta did not give back what it was made from; nothing was lost")
        members = (Member(kind, object_id, len(data)),)
        self._lanes[kind].packer.add(FrameKind.DELTA, payload, members, line.base, line.ordinal)
        return None

    def _encode_full(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        if len(data) >= SOLID_BELOW:
            self._encode_plain(kind, object_id, data)
            return
        lane = self._lanes[kind]
        with self._lock:
            full = lane.add(Member(kind, object_id, len(data)), data)
        if full:
            self._encode_solid(lane, *full)

    def _base(self, line: lineage.Lineage) -> bytearray | None:
        """Return the base's bytes, or None when they are damaged: then the object goes in full."""
        try:
            data = self._reader.decode(line.chain)
        except PalatineError:
            return None
        if self._digest.object_id(line.chain[0][1].kind, data) != line.base:
            return None
        return data if isinstance(data, bytearray) else bytearray(data)

    def _finished(self, listing: Listing) -> None:
        numbers = self._catalog.add([listing], "")
        with self._lock:
            self._own.update(numbers)
            self._listings.append(listing)
            self.added += listing.size
            due = []
            if len(self._listings) >= SEGMENT_PACKS:
                due, self._listings = self._listings, []
        self._fresh.difference_update(
            member.id for frame in listing.frames for member in frame.members
        )
        self._index.write_segments(due)


class _Lane:
    """One kind of object on its way: a packer, and the solid frame being gathered."""

    def __init__(self, packer: Packer) -> None:
        self.packer = packer
        self._members: list[Member] = []
        self._data: list[Buffer] = []
        self._size = 0

    def add(self, member: Member, data: Buffer) -> tuple[tuple[Member, ...], bytes] | None:
        self._members.append(member)
        self._data.append(data)
        self._size += len(data)
        return self.take() if self._size >= SOLID_FULL else None

    def take(self) -> tuple[tuple[Member, ...], bytes] | None:
        if not self._members:
            return None
        taken = tuple(self._members), b"".join(self._data)
        self._members, self._data, self._size = [], [], 0
        return taken


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
