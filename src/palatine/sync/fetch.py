"""Bringing what snapshots need into a repository: trees are walked here, what is lacking is asked
for, and nothing counts before its bytes have the id that was asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import partial

from palatine.errors import Damaged, Malformed, NotFound, RepositoryError
from palatine.ids import Kind, ObjectId
from palatine.model.pack import FrameKind
from palatine.store.reach import Reference, below
from palatine.store.repository import Repository
from palatine.store.writer import Writer
from palatine.sync.planning import DEPTH_MAX, plan
from palatine.sync.roles import Given, Lost, Order, Supplier
from palatine.sync.verify import Bytes, Verified, Verifier, is_sane

_WAVE = 2000
"""Trees looked at before those that are lacking are asked for together."""

_MANY = 20_000
"""Chunks that are gathered before they are asked for."""

_RECENT = 48 << 20
"""Bytes kept of trees, lists and the bases of deltas that came: their packs are open yet."""


class Fetch:
    """What one session brings. Use it as a context manager.

    `counts` says of what lies here whether it may be relied upon.
    """

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
        self._recent: OrderedDict[ObjectId, Bytes] = OrderedDict()
        self._held = 0
        self._bases: set[ObjectId] = set()
        self._verifier = Verifier(repository.digest, repository.settings.workers)
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
            lacking = self._absent([one.id for one in wave if one.kind == Kind.CHUNK])
            for one in wave:
                if one.kind == Kind.CHUNK:
                    if one.id in lacking:
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
        for object_id in self._writer.absent(self.received):
            raise RepositoryError(
                f"object {object_id.hex()} came and is not there; no snapshot was written",
                "run it again",
            )

    def __enter__(self) -> Fetch:
        return self

    def __exit__(self, *_: object) -> None:
        self._verifier.close()

    def _holds(self, object_id: ObjectId) -> bool:
        if object_id in self.received:
            return True
        if self._counts is not None and not self._counts(object_id):
            return False
        return self._writer.holds(object_id)

    def _absent(self, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Return those of some objects that are not held; see `_holds`."""
        ids = {*ids} - self.received
        if self._counts is None:
            return self._writer.absent(ids)
        return {one for one in ids if not self._holds(one)}

    def _below_here(self, one: Reference) -> list[Reference] | None:
        """Return what a tree or list names, or None when it has to be asked for."""
        if not self._holds(one.id):
            return None
        try:
            return [*below(_Held(self._bytes(one.kind, one.id)), one)]
        except (Damaged, NotFound):
            return None

    def _bytes(self, kind: Kind, object_id: ObjectId) -> Bytes:
        return self._source(kind, object_id)()

    def _source(self, kind: Kind, object_id: ObjectId) -> Callable[[], Bytes]:
        """Return what gives the bytes of an object that is held, also while its pack is open."""
        if object_id in self._recent:
            self._recent.move_to_end(object_id)
            data = self._recent[object_id]
            return lambda: data
        if not self._writer.present(object_id):
            self._writer.flush()
        return partial(self._repository.get, kind, object_id)

    # Asking

    def _fetch(self, wanted: Sequence[Reference]) -> Iterator[tuple[Reference, Bytes]]:
        """Ask for objects, store them, and yield those that were wanted with their bytes."""
        if not wanted:
            return
        open_orders = {one.id: one for one in plan(wanted, self._supplier, self._holds)}
        asked = {one.id: one for one in wanted}
        self._bases.update(one.base for one in open_orders.values() if one.base)
        absent = self._writer.absent(open_orders)
        for _ in range(2):
            orders = dict(open_orders)
            for given, good in self._verified(open_orders):
                missed = {member.id for member in given.members} - {one.id for one, _ in good}
                open_orders.update((one, orders[one]) for one in missed)
                self._store(given, good, absent)
                for member, data in good:
                    self._note(member.kind, member.id, data)
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

    def _verified(self, open_orders: dict[ObjectId, Order]) -> Iterator[tuple[Given, Verified]]:
        """Yield what comes, verified, and take it off the orders; what cannot be had stays there.

        Frames are verified while others come. Whoever takes one stores it before the next.
        """
        verifier = self._verifier
        verifier.drop()  # what another round left that ended with an error
        for given in self._supplier.objects([*open_orders.values()]):
            _check(given, open_orders)
            if not given.payload or not is_sane(given):
                continue
            while given.base in verifier or not verifier.has_room(given):
                yield from verifier.take(wait=True)
            base = None
            if given.frame == FrameKind.DELTA:
                if not self._holds(given.base):
                    continue
                base = self._source(given.members[0].kind, given.base)
            for member in given.members:
                del open_orders[member.id]
            verifier.put(given, base)
            yield from verifier.take(wait=False)
        yield from verifier.take_all()

    def _store(self, given: Given, good: Verified, absent: Set[ObjectId]) -> None:
        """Store a frame as it came; where some of it is here already, or bad, what is lacking."""
        depth = self._depth(given) if given.frame == FrameKind.DELTA else 0
        whole = len(good) == len(given.members)
        if whole and all(one.id in absent for one in given.members) and depth <= DEPTH_MAX:
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

    def _note(self, kind: Kind, object_id: ObjectId, data: Bytes) -> None:
        self.received.add(object_id)
        if kind == Kind.CHUNK and object_id not in self._bases:
            return
        self._held += len(data) - len(self._recent.get(object_id, b""))
        self._recent[object_id] = data
        while self._held > _RECENT:
            self._held -= len(self._recent.popitem(last=False)[1])


def _check(given: Given, open_orders: dict[ObjectId, Order]) -> None:
    """Raise Malformed unless what a frame says it holds was asked for, and has not come yet."""
    orders = [open_orders.get(member.id) for member in given.members]
    kinds = [order.kind for order in orders if order is not None]
    if (
        not orders
        or kinds != [member.kind for member in given.members]
        or (len({*kinds}) != 1 or len({*orders}) != len(orders))
    ):
        raise Malformed("the other side sent another object than it was asked for")


class _Held:
    """An object in hand, as a source."""

    def __init__(self, data: Bytes) -> None:
        self._data = data

    def get(self, kind: Kind, object_id: ObjectId, /) -> Bytes:
        return self._data
