"""Packs are emptied: whatever stood on what, and wherever it lay, nothing that stays is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from tests.support import count

import palatine
from palatine.codec import compress, delta
from palatine.errors import Malformed
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind, Listing, Member
from palatine.store import packer
from palatine.store.bitmap import Bitmap
from palatine.store.carrier import Carrier
from palatine.store.census import Census
from palatine.store.encoder import Encoder, again
from palatine.store.packer import Ready
from palatine.store.prospect import Packs, Stays
from palatine.store.repository import Repository
from palatine.store.resolve import Presence
from palatine.store.salvage import Salvage
from palatine.store.transfer import Care, Transfer, WouldBeLost

PAGES = 8
OBJECTS = 40
PACKS = 5
KIND = Kind.CHUNK


class Store:
    """A repository with one object after another, each on some older one, dealt out to packs."""

    def __init__(self, repository: Repository, rng: Random) -> None:
        self.repository = repository
        self._rng = rng
        self.plain: dict[ObjectId, bytes] = {}
        self._frames: list[list[tuple[FrameKind, bytes, ObjectId, ObjectId, int]]] = []
        self._frames += [[] for _ in range(PACKS)]
        for _ in range(OBJECTS):
            self._grow()
        for _ in range(rng.randrange(8)):
            self._turn()
        self.packs = [self._write(frames) for frames in self._frames if frames]

    def _grow(self) -> None:
        """Make an object, and now and then a second copy of it on another base."""
        rng, older = self._rng, [*self.plain]
        data = bytearray(self.plain[rng.choice(older[-6:])] if older else bytes(PAGES << 12))
        for page in rng.sample(range(PAGES), rng.randrange(1, 4)):
            data[page << 12 : (page << 12) + 64] = rng.randbytes(64)
        object_id = self.repository.digest.object_id(KIND, data)
        self.plain[object_id] = bytes(data)
        for _ in range(1 + (rng.random() < 0.2)):
            below = rng.choice(older[-12:]) if older and rng.random() < 0.95 else b""
            self._add(object_id, below, len(older))

    def _turn(self) -> None:
        """Make a copy of an object on a newer one, which may stand on it, as a pull can leave."""
        older = [*self.plain]
        at = self._rng.randrange(len(older) - 1)
        self._add(older[at], self._rng.choice(older[at + 1 : at + 12]), 1)

    def _add(self, object_id: ObjectId, below: ObjectId, ordinal: int) -> None:
        data = self.plain[object_id]
        payload = compress.compress(data)
        if below:
            payload = delta.encode(data, self.plain[below], below, ordinal)
        kind = FrameKind.DELTA if below else FrameKind.PLAIN
        frame = kind, payload, object_id, below, ordinal if below else 0
        self._frames[self._rng.randrange(PACKS)].append(frame)

    def _write(self, frames: list[tuple[FrameKind, bytes, ObjectId, ObjectId, int]]) -> int:
        numbers: list[int] = []

        def finished(own: list[int], listing: Listing) -> None:
            numbers.extend(own)

        self._rng.shuffle(frames)
        with closing(Encoder(self.repository.parts, 1, finished)) as encoder:
            for kind, payload, object_id, below, ordinal in frames:
                members = (Member(KIND, object_id, PAGES << 12),)
                encoder.frames([Ready(kind, payload, members, below, ordinal)])
            encoder.finish()
            encoder.write_segments()
        (number,) = numbers
        return number

    def mark(self) -> tuple[set[ObjectId], Bitmap]:
        """Choose what snapshots need."""
        content = {one for one in self.plain if self._rng.random() < 0.4}
        marks = Bitmap()
        for object_id in content:
            for copy in self.repository.catalog.copies(object_id):
                marks.add(copy.number)
        return content, marks


def delete(repository: Repository, numbers: set[int]) -> None:
    """Delete packs, as a collector does."""
    names = {row.name for row in repository.catalog.packs() if row.n in numbers}
    repository.index.leave_out(names)
    repository.backend.delete_all(pack_name(name) for name in names)
    repository.catalog.drop_packs([*numbers])
    repository.reader.forget()


class Doubled(NamedTuple):
    """A repository, its objects, and the pack in which some lie twice."""

    repository: Repository
    plain: dict[ObjectId, bytes]
    number: int
    listing: Listing


@contextmanager
def stored(place: Path, rng: Random) -> Iterator[Store]:
    palatine.init(place / "repository")
    with palatine.open_repository(place / "repository", cache=place / "cache") as opened:
        opened.store.refresh()
        yield Store(opened.store, rng)


def hurried(monkeypatch: pytest.MonkeyPatch, rng: Random) -> None:
    """Have packs come in the middle, as those of a large repository do."""
    monkeypatch.setattr(packer, "PACK_TARGET", 2000)
    monkeypatch.setattr("palatine.store.resolve._REMEMBERED", 8)
    turn = Transfer._is_to_move

    def late(transfer: Transfer, row: object) -> bool:
        if rng.random() < 0.3:
            carrier = transfer._carrier
            carrier._copy_run()
            carrier._encoder._workers.wait()
            carrier._encoder._closing.wait()
        return turn(transfer, row)  # type: ignore[arg-type]

    monkeypatch.setattr(Transfer, "_is_to_move", late)


def emptying(store: Store, marks: Bitmap, how: str, rng: Random) -> tuple[Transfer, Packs]:
    """Return a transfer of what stays out of some packs."""
    repository = store.repository
    with pytest.MonkeyPatch.context() as patched:
        if how.startswith("all anew"):
            # what changes here is little: else no run would be worth it
            patched.setattr("palatine.store.census.RUN_WORTH", 1 << 40)
        census = Census(repository.catalog, marks)
        census.take(how == "erase")
    going = frozenset(rng.sample(store.packs, rng.randrange(1, len(store.packs) + 1)))
    left = frozenset(store.packs) - going
    packs = Packs(going, left, left)
    care = Care(how == "erase", not how.endswith("light"))
    return Transfer(repository.parts, Stays(marks, census.bases), packs, 2, care), packs


@pytest.mark.parametrize("how", ["light", "thorough", "all anew", "all anew, light", "erase"])
@pytest.mark.parametrize("seed", sorted({37, 137, 773, 870, 985, 1329, *range(count(12, 2000))}))
def test_nothing_that_stays_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, how: str
) -> None:
    rng = Random(seed)
    with stored(tmp_path, rng) as store:
        repository, catalog = store.repository, store.repository.catalog
        content, marks = store.mark()
        transfer, (going, left, _) = emptying(store, marks, how, rng)
        if rng.random() < 0.5:
            hurried(monkeypatch, rng)
        transfer.run(Reporter())
        kept = left | transfer.own
        present = Presence(catalog, lambda copy: copy.pack in kept)
        assert [one.hex() for one in content if one not in present] == []
        delete(repository, {*going})
        for object_id in content:
            assert bytes(repository.reader.get(KIND, object_id)) == store.plain[object_id]


@pytest.mark.parametrize("how", ["light", "thorough", "all anew", "all anew, light"])
@pytest.mark.parametrize("seed", range(count(12, 2000)))
def test_what_would_be_lost_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, how: str
) -> None:
    """A transfer that forgets to bring something says so, unless that can be read all the same."""
    rng = Random(seed)
    for name in ("as_it_is", "anew", "in_full"):
        forgetful(monkeypatch, name, rng)
    with stored(tmp_path, rng) as store:
        repository = store.repository
        content, marks = store.mark()
        transfer, packs = emptying(store, marks, how, rng)
        try:
            transfer.run(Reporter())
        except WouldBeLost:
            return
        delete(repository, {*packs.going})
        for object_id in content:
            assert bytes(repository.reader.get(KIND, object_id)) == store.plain[object_id]


def forgetful(monkeypatch: pytest.MonkeyPatch, name: str, rng: Random) -> None:
    """Have one of the carrier's methods do nothing now and then."""
    act = getattr(Carrier, name)

    def maybe(carrier: Carrier, what: object) -> None:
        if rng.random() > 0.03:
            act(carrier, what)

    monkeypatch.setattr(Carrier, name, maybe)


@pytest.fixture
def doubled(tmp_path: Path) -> Iterator[Doubled]:
    """A repository with one large solid frame, in which two objects lie twice."""
    rng = Random(3)
    palatine.init(tmp_path / "repository")
    with palatine.open_repository(tmp_path / "repository", cache=tmp_path / "cache") as opened:
        repository = opened.store
        repository.refresh()
        plain = [rng.randbytes(30_000) for _ in range(8)]
        inside = [plain[0], *plain[:4], plain[2], *plain[4:], plain[5]]
        ids = [repository.digest.object_id(KIND, one) for one in inside]
        members = tuple(Member(KIND, one, len(data)) for one, data in zip(ids, inside, strict=True))
        made: list[tuple[list[int], Listing]] = []
        with closing(
            Encoder(repository.parts, 1, lambda own, listing: made.append((own, listing)))
        ) as encoder:
            solid = compress.compress(b"".join(inside))
            encoder.frames([Ready(FrameKind.SOLID, solid, members)])
            encoder.finish()
            encoder.write_segments()
        (((number,), listing),) = made
        yield Doubled(repository, dict(zip(ids, inside, strict=True)), number, listing)


def test_an_object_twice_in_one_frame_contradicts_nothing(doubled: Doubled) -> None:
    catalog = doubled.repository.catalog
    assert catalog.agrees(doubled.number, doubled.listing)
    assert not catalog.agrees(doubled.number + 1, doubled.listing)


def test_a_frame_that_has_an_object_twice_is_not_copied_as_it_is(doubled: Doubled) -> None:
    """The catalog knows one of the two: by it, what lies behind the other would be elsewhere."""
    repository, catalog = doubled.repository, doubled.repository.catalog
    marks = Bitmap()
    for object_id in doubled.plain:
        for copy in catalog.copies(object_id):
            marks.add(copy.number)
    packs = Packs(frozenset([doubled.number]), frozenset(), frozenset())
    transfer = Transfer(repository.parts, Stays(marks, Bitmap()), packs, 1, Care(False, True))
    transfer.run(Reporter())
    delete(repository, {doubled.number})
    for object_id, data in doubled.plain.items():
        assert bytes(repository.reader.get(KIND, object_id)) == data


def test_a_damaged_pack_that_has_an_object_twice(doubled: Doubled) -> None:
    repository = doubled.repository
    salvage = Salvage(repository, {doubled.listing.pack}, set())
    salvage.condemn()
    salvage.look()
    salvage.rescue(repository.reader.get)
    salvage.retire()
    for object_id, data in doubled.plain.items():
        assert bytes(repository.reader.get(KIND, object_id)) == data


def test_a_frame_that_ends_with_an_object_twice(doubled: Doubled) -> None:
    repository = doubled.repository
    copies = [(one, repository.catalog.copies(one)[0]) for one in doubled.plain]
    copies.sort(key=lambda one: one[1].start)
    payload = repository.reader.payload(copies[0][1])
    with pytest.raises(Malformed):
        again(copies, payload)
    closed_up = [(one, copy._replace(start=at * 30_000)) for at, (one, copy) in enumerate(copies)]
    with pytest.raises(Malformed):
        again(closed_up, payload)
    again(closed_up, compress.compress(b"".join(doubled.plain.values())))


def test_an_object_comes_into_a_frame_once(doubled: Doubled) -> None:
    repository = doubled.repository
    listings: list[Listing] = []
    with closing(Encoder(repository.parts, 1, lambda _, one: listings.append(one))) as encoder:
        for data in (b"one", b"two", b"one"):
            encoder.full(KIND, repository.digest.object_id(KIND, data), data)
        encoder.finish()
    ((frame,),) = [one.frames for one in listings]
    assert [member.size for member in frame.members] == [3, 3]
