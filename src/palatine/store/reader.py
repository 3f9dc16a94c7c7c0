"""Reading objects: find a chain, decode it, and let nothing pass that has not the id asked for.

A damaged copy is passed over for another one; only when none is left the object is called damaged.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from palatine.backends.ahead import Range
from palatine.backends.base import Backend
from palatine.backends.cached import BlockCache
from palatine.codec import compress, delta
from palatine.codec.seal import unseal
from palatine.errors import Damaged, Malformed, NotFound, RepositoryError
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import OBJECT_MAX, FrameKind
from palatine.store.catalog import Catalog, Copy
from palatine.store.resolve import Chain, Remembered, resolve

_CACHE_BYTES = 6 << 20
"""Decoded solid frames kept: neighbours are usually wanted next."""


class Reader:
    """Objects by id, from any thread. `refresh` is called once when a pack turns out to be gone."""

    def __init__(
        self, backend: Backend, catalog: Catalog, digest: Digest, refresh: Callable[[], object]
    ) -> None:
        self._backend = backend
        self._catalog = catalog
        self._digest = digest
        self._refresh = refresh
        self._packs: dict[int, bytes] = {}
        self._copies = Remembered(catalog)
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()
        self.blocks: BlockCache | None = None
        """What is kept here of packs that are far away; None to read where they lie."""
        self.known_bad: set[tuple[int, int]] = set()
        """Frames, by pack and offset, that were read and did not give their objects."""

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's plain bytes, verified against its id.

        Raises Damaged, naming the object and where it lies, when no copy gives these bytes.
        """
        bad: set[tuple[int, int]] = set()
        reasons: list[str] = []
        refreshed = False
        unreadable: RepositoryError | None = None
        while True:
            chain = resolve(self._copies, object_id, lambda copy: copy[:2] not in bad)
            if chain is None:
                if not refreshed:
                    refreshed = True
                    self._refresh()
                    continue
                raise unreadable or self._lost(kind, object_id, reasons)
            try:
                data = self.decode(chain)
                if self._digest.object_id(kind, data) == object_id:
                    return data
                if self.blocks is not None:
                    return self._get_past(self.blocks, chain, kind, object_id)
                reasons.append(self._find_bad(chain, bad))
            except NotFound as error:
                # before its family: gone is not unreadable
                if refreshed:
                    reasons.append(str(error))
                    self._find_bad(chain, bad)
                refreshed = True
                self._refresh()
            except Malformed as error:
                if self.blocks is not None:
                    return self._get_past(self.blocks, chain, kind, object_id)
                reasons.append(self._find_bad(chain, bad) or str(error))
            except RepositoryError as error:
                unreadable = error
                self._find_bad(chain, bad)

    def expect(self, ids: Iterable[ObjectId]) -> None:
        """Hear which objects will be asked for soon, in this order.

        What is far away is fetched meanwhile. Nothing fails here, and nothing need come of it.
        """
        if self.blocks is None:
            return
        with suppress(NotFound):
            for object_id in ids:
                chain = resolve(self._copies, object_id, lambda _: True) or []
                ranges = [
                    Range(pack_name(self._pack(copy.pack)), copy.offset, copy.length)
                    for _, copy in reversed(chain)
                    if copy[:2] not in self._cache
                ]
                self.blocks.expect(ranges)

    def read_afresh(self) -> None:
        """Read from now on what the repository itself holds, and nothing that was kept of it."""
        self.blocks = None
        self.forget()

    def forget(self) -> None:
        """Drop what depends on the catalog's numbering of packs: it has been brought up to date."""
        with self._lock:
            self._packs = {}
            self._copies.forget()
            self._cache.clear()
            self._cached = 0

    def decode(self, chain: Chain) -> bytes | bytearray:
        """Return the bytes at the head of a chain, unverified."""
        root = self.frame_bytes(chain[-1][1])
        if len(chain) == 1:
            return root
        data = bytearray(root)
        for _, copy in reversed(chain[:-1]):
            self.apply(copy, data)
        if len(data) != chain[0][1].size:
            raise Malformed(f"object {chain[0][0].hex()} does not have the size it should")
        return data

    def apply(self, copy: Copy, base: bytearray) -> None:
        """Turn a base into the object that a delta makes of it, in place."""
        payload = self._stored(copy)
        check_delta(payload, copy)
        delta.apply(payload, base)

    def payload(self, copy: Copy) -> bytes:
        """Return the stored bytes of a copy's frame."""
        return bytes(self._stored(copy))

    def payloads(self, copies: Sequence[Copy]) -> list[Buffer]:
        """Return the stored bytes of frames that lie one behind the other in a pack: one read."""
        start = copies[0].offset
        end = copies[-1].offset + copies[-1].length
        data = memoryview(self._read(copies[0].pack, start, end - start))
        return [unseal(data[one.offset - start :][: one.length]) for one in copies]

    def _stored(self, copy: Copy) -> Buffer:
        return unseal(self._read(copy.pack, copy.offset, copy.length))

    def _read(self, pack: int, offset: int, length: int) -> Buffer:
        name = pack_name(self._pack(pack))
        sealed = (self.blocks or self._backend).read(name, offset, length)
        if len(sealed) < length:
            raise Malformed(f"{name} ends inside a frame")
        return sealed

    def frame_bytes(self, copy: Copy) -> bytes:
        """Return an object's bytes from a plain or solid frame, unverified."""
        if copy.frame == FrameKind.PLAIN:
            return compress.decompress(self._stored(copy), copy.size)
        frame = self._solid(copy)
        if copy.start + copy.size > len(frame):
            raise Malformed("an object lies beyond the end of its frame")
        return frame[copy.start : copy.start + copy.size]

    def _solid(self, copy: Copy) -> bytes:
        place = (copy.pack, copy.offset)
        with self._lock:
            if place in self._cache:
                self._cache.move_to_end(place)
                return self._cache[place]
        payload = self._stored(copy)
        size = compress.content_size(payload)
        if size > OBJECT_MAX:
            raise Malformed(f"a frame says it holds {size} bytes")
        data = compress.decompress(payload, size)
        with self._lock:
            if place not in self._cache:
                self._cache[place] = data
                self._cached += len(data)
            while self._cached > _CACHE_BYTES:
                self._cached -= len(self._cache.popitem(last=False)[1])
        return data

    def _pack(self, number: int) -> bytes:
        if number not in self._packs:
            self._packs = {row.n: row.name for row in self._catalog.packs()}
        try:
            return self._packs[number]
        except KeyError:
            raise NotFound("a pack that was listed is gone") from None

    def _get_past(
        self, blocks: BlockCache, chain: Chain, kind: Kind, object_id: ObjectId
    ) -> bytes | bytearray:
        """Get an object from where it lies: what is kept here of its chain gave wrong bytes.

        What was wrong is dropped, but not looked at again: another thread may just have put it
        back, and nothing is called damaged on the word of what is kept.
        """
        with suppress(NotFound):
            blocks.forget({pack_name(self._pack(copy.pack)) for _, copy in chain})
        with self._lock:
            self._cache.clear()
            self._cached = 0

        def refresh() -> None:
            self._refresh()
            past.forget()

        past = Reader(self._backend, self._catalog, self._digest, refresh)
        past.known_bad = self.known_bad
        return past.get(kind, object_id)

    def _find_bad(self, chain: Chain, bad: set[tuple[int, int]]) -> str:
        """Mark the first link, from the root up, that does not give its object; say which."""
        for at in reversed(range(len(chain))):
            object_id, copy = chain[at]
            try:
                data = self.decode(chain[at:])
                good = self._digest.object_id(copy.kind, data) == object_id
            except (Malformed, RepositoryError):
                good = False
            if not good:
                bad.add(copy[:2])
                self.known_bad.add(copy[:2])
                return f"{Kind(copy.kind).name.lower()} {object_id.hex()} in {self._place(copy)}"
        bad.add(chain[0][1][:2])
        return ""

    def _place(self, copy: Copy) -> str:
        try:
            return f"pack {self._pack(copy.pack).hex()}"
        except NotFound:
            return "a pack that is gone"

    def _lost(self, kind: Kind, object_id: ObjectId, reasons: list[str]) -> Damaged:
        what = f"{kind.name.lower()} {object_id.hex()}"
        if not reasons:
            return Damaged(f"{what} is missing from the repository", "run: pal verify")
        return Damaged(
            f"{what} cannot be read: damaged: {'; '.join(reasons)}", "run: pal verify --data"
        )


def check_delta(payload: Buffer, copy: Copy) -> None:
    """Raise Malformed for a delta that is not what the catalog knows of it."""
    head = delta.read_head(payload)
    if (head.base, head.ordinal, head.length) != (copy.base, copy.ordinal, copy.size):
        raise Malformed("a delta is not what the index says of it")
