"""Giving: the snapshots and objects of a repository that is open in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from palatine.codec import compress
from palatine.codec.seal import unseal
from palatine.errors import Damaged, Malformed, NotFound
from palatine.ids import Kind, ObjectId
from palatine.model.pack import FrameKind, Member
from palatine.store.encoder import SOLID_BELOW, SOLID_FULL
from palatine.store.reach import Reach, Reference
from palatine.store.repository import Repository
from palatine.store.resolve import Chain, Remembered, resolve
from palatine.store.snapshots import Stored
from palatine.sync.roles import (
    SHORT,
    Described,
    Given,
    Identity,
    Offer,
    Order,
    SnapshotFile,
    Supplier,
)

_AT_ONCE = 500
"""Objects that are looked up at once."""

_Named = TypeVar("_Named", Reference, Order)


class LocalSupplier(Supplier):
    """What a repository gives; of some palaces only, where those are named.

    Then an object that none of their snapshots needs is not there, whoever knows its id.
    """

    def __init__(self, repository: Repository, palaces: Collection[str] | None = None) -> None:
        config = repository.config
        self.identity = Identity(config.id, config.digest, repository.backend.location)
        self._repository = repository
        self._palaces = palaces
        self._stored: dict[bytes, Stored] | None = None
        self._reach: Reach | None = None
        self._copies = Remembered(repository.catalog)
        """Where objects lay when they were asked for: a guess, and only for who may have all."""
        self._fresh = False

    def offers(self) -> list[Offer]:
        """Return all snapshots that may be had, oldest first."""
        found = self._snapshots()
        self.damaged = tuple(sorted(self._repository.snapshots.damaged))
        return [
            Offer(short, one.palace, one.snapshot.time_us // 1_000_000, one.tags)
            for short, one in found.items()
        ]

    def know(self, found: Sequence[Stored]) -> None:
        """Take a list of the repository's snapshots that was read just now."""
        self._stored = {
            one.id[:SHORT]: one
            for one in found
            if self._palaces is None or one.palace in self._palaces
        }

    def listing(self) -> Iterable[Stored]:
        """Return the snapshots that were offered; a new listing once something was given."""
        return self._repository.list_snapshots() if self._fresh else self._snapshots().values()

    def files(self, shorts: Sequence[bytes]) -> Iterator[SnapshotFile]:
        """Yield the files of snapshots; those that were forgotten meanwhile are left out."""
        known = self._snapshots()
        for short in shorts:
            stored = known.get(short)
            if stored is None:
                continue
            try:
                data = unseal(self._repository.snapshots.read(stored))
            except NotFound:
                continue
            yield SnapshotFile(data, stored.tags)

    def describe(self, wanted: Sequence[Reference], deep: bool) -> list[Described]:
        """Say how objects are stored; see `Supplier`."""
        self._refresh()
        told: list[Described] = []
        known: set[ObjectId] = set()
        for kind, object_id in self._asked(wanted):
            chain = self._chain(object_id)
            if chain is None:
                told.append(Described(kind, object_id, -1, 0))
            else:
                told.append(self._described(chain, 0))
                known.add(object_id)
        for one in [*told] if deep else ():
            chain = (self._chain(one.base) or []) if one.base else []
            for at, (object_id, _) in enumerate(chain):
                if object_id in known:
                    break
                known.add(object_id)
                told.append(self._described(chain, at))
        return told

    def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
        """Yield frames with these objects; see `Supplier`."""
        self._refresh()
        gathered: dict[Kind, list[tuple[Member, bytes]]] = {}
        for order in self._asked(orders):
            given = self._as_stored(order) or self._in_full(order)
            if isinstance(given, Given):
                if given.frame == FrameKind.DELTA:
                    # what it stands on may be among those that wait
                    yield from _solid(gathered)
                yield given
                continue
            lane = gathered.setdefault(order.kind, [])
            lane.append(given)
            if sum(member.size for member, _ in lane) >= SOLID_FULL:
                yield from _solid({order.kind: gathered.pop(order.kind)})
        yield from _solid(gathered)

    def _as_stored(self, order: Order) -> Given | None:
        """Return an object's frame as it lies in a pack, where it has one of its own."""
        chain = None if order.full else self._chain(order.id)
        if chain is None:
            return None
        copy = chain[0][1]
        delta = copy.frame == FrameKind.DELTA
        alone = delta or (copy.frame == FrameKind.PLAIN and copy.size >= SOLID_BELOW)
        if not alone or (delta and not self._may_have(copy.base)):
            return None
        try:
            payload = self._repository.reader.payload(copy)
        except (NotFound, Malformed):
            self._copies.forget()  # a collector may have moved it, and others
            return None
        members = (Member(Kind(copy.kind), order.id, copy.size),)
        return Given(FrameKind(copy.frame), members, payload, copy.base, copy.ordinal)

    def _in_full(self, order: Order) -> Given | tuple[Member, bytes]:
        """Return an object, verified: its bytes where it is small, else a frame."""
        nothing = Given(FrameKind.PLAIN, (Member(order.kind, order.id, 0),), b"")
        if not self._may_have(order.id):
            return nothing
        try:
            data = bytes(self._repository.get(order.kind, order.id))
        except (Damaged, NotFound) as error:
            self._repository.reporter.notice(str(error))
            return nothing
        member = Member(order.kind, order.id, len(data))
        if len(data) < SOLID_BELOW:
            return member, data
        return Given(FrameKind.PLAIN, (member,), compress.compress(data))

    def _described(self, chain: Chain, at: int) -> Described:
        object_id, copy = chain[at]
        kind = Kind(copy.kind)
        if copy.frame == FrameKind.SOLID:
            return Described(kind, object_id, copy.size, -(-copy.size // 3))
        if copy.frame == FrameKind.DELTA and not self._may_have(copy.base):
            return Described(kind, object_id, copy.size, copy.size // 2)
        return Described(kind, object_id, copy.size, copy.length, copy.base, copy.ordinal)

    def _chain(self, object_id: ObjectId) -> Chain | None:
        if not self._may_have(object_id):
            return None
        bad = self._repository.reader.known_bad
        copies = self._copies if self._palaces is None else self._repository.catalog
        return resolve(copies, object_id, lambda copy: copy[:2] not in bad)

    def _asked(self, wanted: Sequence[_Named]) -> Iterator[_Named]:
        """Yield what is wanted, after the catalog was asked for many at once where they lie."""
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            if self._palaces is None:
                self._copies.ask(one.id for one in some)
            yield from some

    def _may_have(self, object_id: ObjectId) -> bool:
        if self._palaces is None:
            return True
        if self._reach is None:
            self._reach = reach_of(self._repository, self._palaces)
        copies = self._repository.catalog.copies(object_id)
        return any(copy.number in self._reach.content for copy in copies)

    def _snapshots(self) -> dict[bytes, Stored]:
        if self._stored is None:
            self.know(self._repository.list_snapshots())
        assert self._stored is not None
        return self._stored

    def _refresh(self) -> None:
        if not self._fresh:
            self._repository.refresh()
            self._copies.forget()
            self._fresh = True


def reach_of(repository: Repository, palaces: Collection[str]) -> Reach:
    """Return what the snapshots of some palaces need; raises Damaged where that cannot be told."""
    reach = Reach(repository, repository.catalog)
    for stored in repository.list_snapshots():
        if stored.palace not in palaces:
            continue
        roots = [stored.snapshot.root.tree, *(one.root.tree for one in stored.snapshot.outside)]
        reach.add(roots)
    return reach


def _solid(gathered: dict[Kind, list[tuple[Member, bytes]]]) -> Iterable[Given]:
    """Return small objects as frames, one for each kind, and forget them."""
    frames = []
    for lane in gathered.values():
        payload = compress.compress(b"".join(data for _, data in lane))
        frames.append(Given(FrameKind.SOLID, tuple(member for member, _ in lane), payload))
    gathered.clear()
    return frames
