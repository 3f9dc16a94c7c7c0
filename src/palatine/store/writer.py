"""Writing objects: named and looked up in the caller's thread, encoded and packed by workers.

`put` returns an object's id at once, so trees can be built while the compressors are still busy;
`flush` returns when everything is durable and indexed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from palatine.errors import PalatineError, RepositoryError
from palatine.ids import Buffer, Kind, ObjectId
from palatine.model.pack import OBJECT_MAX, FrameKind, Listing, Member
from palatine.store import lineage
from palatine.store.catalog import Copy
from palatine.store.encoder import SOLID_BELOW, Base, Encoder, Parts
from palatine.store.packer import Ready
from palatine.store.resolve import Presence, Remembered, resolve

DELTA_FROM = 512
"""Objects smaller than this are not worth a delta's head of 48 bytes and a frame of their own."""

_AT_ONCE = 2000
"""Objects that are looked up at once."""


class Writer:
    """Puts objects into a repository on behalf of one session.

    `usable` are the packs (by catalog number) that may be relied upon: those that a listing showed
    after the session had read what is condemned, without the condemned ones.
    """

    def __init__(self, parts: Parts, usable: frozenset[int], workers: int) -> None:
        self._catalog = parts.catalog
        self._reader = parts.reader
        self._digest = parts.digest
        self._usable = usable
        self._own: set[int] = set()
        self._fresh: set[ObjectId] = set()
        self._encoder = Encoder(parts, workers, self._finished)

    @property
    def added(self) -> int:
        """Bytes of the packs that were written."""
        return self._encoder.added

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        """Store an object unless it is present, and return its id.

        `predecessor` hints at the object whose place this one takes. `data` must not change
        afterwards. Raises what a worker met since the last call.
        """
        self._encoder.check()
        if len(data) > OBJECT_MAX:
            raise RepositoryError(f"an object of {len(data)} bytes is too large")
        object_id = self._digest.object_id(kind, data)
        if object_id in self._fresh or self.present(object_id):
            return object_id
        self._fresh.add(object_id)
        encoder = self._encoder
        if predecessor is not None and len(data) >= DELTA_FROM:
            encoder.submit(
                len(data), lambda: self._encode_delta(kind, object_id, data, predecessor)
            )
        elif len(data) < SOLID_BELOW:
            encoder.small(kind, object_id, data)
        else:
            encoder.submit(len(data), lambda: encoder.plain(kind, object_id, data))
        return object_id

    def put_frame(
        self,
        kind: FrameKind,
        payload: Buffer,
        members: tuple[Member, ...],
        base: ObjectId = b"",
        ordinal: int = 0,
    ) -> None:
        """Store a frame as it is: all of its objects are absent, and the caller has verified them.

        A base must be held (see `holds`).
        """
        encoder = self._encoder
        encoder.check()
        self._fresh.update(member.id for member in members)
        frame = Ready(kind, payload, members, base, ordinal)
        encoder.submit(len(payload), lambda: encoder.frames([frame]))

    def holds(self, object_id: ObjectId) -> bool:
        """Whether an object is present, or on its way into a pack of this session."""
        return object_id in self._fresh or self.present(object_id)

    def absent(self, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Return those of some objects that are not held: the catalog is asked for many at once."""
        rest = (one for one in ids if one not in self._fresh)
        known = Remembered(self._catalog)
        presence = Presence(known, self._counts)
        absent: set[ObjectId] = set()
        while some := {*islice(rest, _AT_ONCE)}:
            known.ask(some, presence.found)
            there = [one for one in some if one in known]
            absent |= some.difference(there)
            absent.update(one for one in there if one not in presence)
        return absent

    def depth(self, object_id: ObjectId) -> int:
        """Return how many deltas stand between an object that is present and one in full."""
        return len(resolve(self._catalog, object_id, self._counts) or ()) - 1

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        """Return the id an object would have."""
        return self._digest.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        """Whether an object may be relied upon without being stored again."""
        return resolve(self._catalog, object_id, self._counts) is not None

    def flush(self) -> None:
        """Wait until every object is in a durable pack and every pack in a durable segment."""
        self._encoder.finish()
        if self._fresh:
            raise PalatineError(
                f"{len(self._fresh)} objects did not reach a pack; nothing was lost"
            )
        self._encoder.write_segments()

    def close(self) -> None:
        """Stop the workers and drop what was not flushed."""
        self._encoder.close()

    def _counts(self, copy: Copy) -> bool:
        # What comes to the catalog during the session does not count, unless it is the session's
        # own: it may have been condemned before the session read what is.
        whole = not self._catalog.is_cut(copy.pack) and copy[:2] not in self._reader.known_bad
        return whole and (copy.pack in self._usable or copy.pack in self._own)

    def _is_base(self, copy: Copy) -> bool:
        # A base must come from a snapshot committed before this one began, never from this session
        return copy.pack in self._usable and self._counts(copy)

    def _encode_delta(
        self, kind: Kind, object_id: ObjectId, data: Buffer, predecessor: ObjectId
    ) -> None:
        chain = resolve(self._catalog, predecessor, self._is_base)
        line = lineage.plan(chain) if chain else None
        base = self._base(line) if line else None
        if line is None or base is None:
            self._encoder.full(kind, object_id, data)
            return
        onto = Base(line.base, base, line.ordinal, line.chain[-1][1])
        self._encoder.delta(kind, object_id, data, onto)

    def _base(self, line: lineage.Lineage) -> bytearray | None:
        """Return the base's bytes, or None when they are damaged: then the object goes in full."""
        try:
            data = self._reader.decode(line.chain)
        except PalatineError:
            return None
        if self._digest.object_id(line.chain[0][1].kind, data) != line.base:
            return None
        return data if isinstance(data, bytearray) else bytearray(data)

    def _finished(self, numbers: list[int], listing: Listing) -> None:
        self._own.update(numbers)
        self._fresh.difference_update(
            member.id for frame in listing.frames for member in frame.members
        )
