"""Bringing what snapshots need into a repository: trees are walked here, what is lacking is asked
for, and nothing counts before its bytes have the id that was asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from palatine.codec import compress, delta
from palatine.errors import Damaged, Malformed, NotFound, RepositoryError
from palatine.ids import Kind, ObjectId
from palatine.model.pack import OBJECT_MAX, FrameKind, Member
from palatine.store.reach import Reference, below
from palatine.store.repository import Repository
from palatine.store.writer import Writer
from palatine.sync.planning import DEPTH_MAX, plan
from palatine.sync.roles import Given, Lost, Order, Supplier

_WAVE = 2000
"""Trees looked at before those that are lacking are asked for together."""

_MANY = 20_000
"""Chunks that are gathered before they are asked for."""

_RECENT = 48 << 20
"""Bytes of what came that are kept: the next version stands on it, and its pack is open yet."""


class Fetch:
    """What one session brings. `counts` says of what lies here whether it may be relied upon."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        supplier: Supplier,
        counts: Callable[[ObjectId], bool] | None = None,
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._supplier = supplier
        self._counts = counts
        self._whole: set[ObjectId] = set()
        self._depths: dict[ObjectId, int] = {}
        self._recent: OrderedDict[ObjectId, bytes | bytearray] = OrderedDict()
        self._held = 0
        self.received: set[ObjectId] = set()
        """Ids of everything that came."""

    def bring(self, trees: Iterable[ObjectId]) -> None:
        """Bring all below some trees, and these.

        Raises Lost when the supplier cannot give something; Malformed when it gives what was not
        asked for. What has come stays, and is not asked for again.
        """
        waiting = [Reference(Kind.TREE, tree) for tree in trees]
        seen: set[ObjectId] = set()
        chunks: dict[ObjectId, Reference] = {}
        while waiting or chunks:
            wave = waiting[-_WAVE:]
            del waiting[-_WAVE:]
            absent: dict[ObjectId, Reference] = {}
            for one in wave:
                if one.kind == Kind.CHUNK:
                    if one.id not in chunks and not self._holds(one.id):
                        chunks[one.id] = one
                elif one.id not in seen and one.id not in self._whole:
                    seen.add(one.id)
                    named = self._below_here(one)
                    if named is None:
                        absent[one.id] = one
                    else:
                        waiting += named
            for one, data in self._fetch([*absent.values()]):
                waiting += below(_Held(data), one)
            if chunks and (len(chunks) >= _MANY or not waiting):
                for _ in self._fetch([*chunks.values()]):
                    pass
                chunks = {}
        self._whole |= seen

    def check(self) -> None:
        """Raise RepositoryError unless all that came is present; call it after a flush."""
        for object_id in self.received:
            if not self._writer.present(object_id):
                raise RepositoryError(
                    f"object {object_id.hex()} came and is not there; no snapshot was written",
                    "run it again",
                )

    def _holds(self, object_id: ObjectId) -> bool:
        if object_id in self.received:
            return True
        if self._counts is not None and not self._counts(object_id):
            return False
        return self._writer.holds(object_id)

    def _below_here(self, one: Reference) -> list[Reference] | None:
        """Return what a tree or list names, or None when it has to be asked for."""
        if not self._holds(one.id):
            return None
        try:
            return [*below(_Held(self._bytes(one.kind, one.id)), one)]
        except (Damaged, NotFound):
            return None

    def _bytes(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return the bytes of an object that is held, also while its pack is still open."""
        if object_id in self._recent:
            self._recent.move_to_end(object_id)
            return self._recent[object_id]
        if not self._writer.present(object_id):
            self._writer.flush()
        return self._repository.get(kind, object_id)

    # Asking

    def _fetch(self, wanted: Sequence[Reference]) -> Iterator[tuple[Reference, bytes | bytearray]]:
        """Ask for objects, store them, and yield those that were wanted with their bytes."""
        if not wanted:
            return
        open_orders = {one.id: one for one in plan(wanted, self._supplier, self._holds)}
        asked = {one.id: one for one in wanted}
        for _ in range(2):
            for given in self._supplier.objects([*open_orders.values()]):
                for member, data in self._take(given, open_orders):
                    if member.id in asked:
                        yield asked[member.id], data
            if not open_orders:
                return
            # what stood on something that has gone meanwhile, or was damaged: once more, in full
            open_orders = {
                one.id: one._replace(full=True) for one in open_orders.values() if one.id in asked
            }
        lost = next(iter(open_orders.values()))
        raise Lost(f"{lost.kind.name.lower()} {lost.id.hex()} cannot be had from the other side")

    def _take(
        self, given: Given, open_orders: dict[ObjectId, Order]
    ) -> Iterator[tuple[Member, bytes | bytearray]]:
        """Verify a frame and store it; what it does not give stays ordered."""
        orders = [open_orders.get(member.id) for member in given.members]
        kinds = [order.kind for order in orders if order is not None]
        if (
            not orders
            or kinds != [member.kind for member in given.members]
            or (len({*kinds}) != 1 or len({*orders}) != len(orders))
        ):
            raise Malformed("the other side sent another object than it was asked for")
        if not given.payload:
            return
        try:
            found = self._open(given)
        except (Damaged, NotFound):
            return
        good = [
            (member, data)
            for member, data in found
            if self._repository.digest.object_id(member.kind, data) == member.id
        ]
        self._store(given, good, whole=len(good) == len(given.members))
        for member, data in good:
            del open_orders[member.id]
            self._note(member.id, data)
            yield member, data

    def _open(self, given: Given) -> list[tuple[Member, bytes | bytearray]]:
        """Return a frame's objects, not verified yet; raises Malformed."""
        sizes = [member.size for member in given.members]
        if any(size < 0 for size in sizes) or sum(sizes) > OBJECT_MAX:
            raise Malformed("a frame holds more than it may")
        if given.frame == FrameKind.DELTA:
            (member,) = given.members
            if not self._holds(given.base):
                raise Malformed("a delta stands on nothing")
            head = delta.read_head(given.payload)
            if (head.base, head.ordinal, head.length) != (given.base, given.ordinal, member.size):
                raise Malformed("a delta is not what it was said to be")
            data = bytearray(self._bytes(member.kind, given.base))
            delta.apply(given.payload, data)
            return [(member, data)]
        plain = compress.decompress(given.payload, sum(sizes))
        found: list[tuple[Member, bytes | bytearray]] = []
        at = 0
        for member in given.members:
            found.append((member, plain[at : at + member.size]))
            at += member.size
        return found

    def _store(
        self, given: Given, good: list[tuple[Member, bytes | bytearray]], whole: bool
    ) -> None:
        """Store a frame as it came; where some of it is here already, what is lacking."""
        depth = self._depth(given) if given.frame == FrameKind.DELTA else 0
        fresh = not any(self._writer.holds(member.id) for member, _ in good)
        if whole and fresh and depth <= DEPTH_MAX:
            self._writer.put_frame(
                given.frame, given.payload, given.members, given.base, given.ordinal
            )
            if depth:
                self._depths[given.members[0].id] = depth
            return
        for member, data in good:
            self._writer.put(member.kind, data)

    def _depth(self, given: Given) -> int:
        base = self._depths.get(given.base)
        if base is None:
            base = self._writer.depth(given.base)
        return base + 1

    def _note(self, object_id: ObjectId, data: bytes | bytearray) -> None:
        self.received.add(object_id)
        self._held += len(data) - len(self._recent.get(object_id, b""))
        self._recent[object_id] = data
        while self._held > _RECENT:
            self._held -= len(self._recent.popitem(last=False)[1])


class _Held:
    """An object in hand, as a source."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def get(self, kind: Kind, object_id: ObjectId, /) -> bytes | bytearray:
        return self._data
