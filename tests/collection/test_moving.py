"""Packs are emptied: whatever stood on what, and wherever it lay, nothing that stays is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from tests.support import count

import palatine
from palatine.codec import compress, delta
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind, Listing, Member
from palatine.store import packer
from palatine.store.bitmap import Bitmap
from palatine.store.census import Census
from palatine.store.encoder import Encoder
from palatine.store.prospect import Packs, Stays
from palatine.store.repository import Repository
from palatine.store.resolve import Presence
from palatine.store.transfer import Care, Transfer

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
            payload = compress.compress(data)
            if below:
                payload = delta.encode(data, self.plain[below], below, len(older))
            kind = FrameKind.DELTA if below else FrameKind.PLAIN
            frame = kind, payload, object_id, below, len(older) if below else 0
            self._frames[rng.randrange(PACKS)].append(frame)

    def _write(self, frames: list[tuple[FrameKind, bytes, ObjectId, ObjectId, int]]) -> int:
        numbers: list[int] = []

        def finished(own: list[int], listing: Listing) -> None:
            numbers.extend(own)

        self._rng.shuffle(frames)
        with closing(Encoder(self.repository.parts, 1, finished)) as encoder:
            for kind, payload, object_id, below, ordinal in frames:
                members = (Member(KIND, object_id, PAGES << 12),)
                encoder.frame(kind, payload, members, below, ordinal)
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

    def delete(self, numbers: set[int]) -> None:
        """Delete packs, as a collector does."""
        repository = self.repository
        names = {row.name for row in repository.catalog.packs() if row.n in numbers}
        repository.index.leave_out(names)
        repository.backend.delete_all(pack_name(name) for name in names)
        repository.catalog.drop_packs([*numbers])
        repository.reader.forget()


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


@pytest.mark.parametrize("how", ["light", "thorough", "erase"])
@pytest.mark.parametrize("seed", sorted({37, 137, 870, *range(count(12, 2000))}))
def test_nothing_that_stays_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, how: str
) -> None:
    rng = Random(seed)
    with stored(tmp_path, rng) as store:
        repository, catalog = store.repository, store.repository.catalog
        content, marks = store.mark()
        census = Census(catalog, marks)
        census.take(how == "erase")
        going = frozenset(rng.sample(store.packs, rng.randrange(1, len(store.packs) + 1)))
        left = frozenset(store.packs) - going
        if rng.random() < 0.5:
            hurried(monkeypatch, rng)
        transfer = Transfer(
            repository.parts, Stays(marks, census.bases), Packs(going, left, left), 2,
            Care(how == "erase", how != "light"),
        )  # fmt: skip
        transfer.run(Reporter())
        kept = left | transfer.own
        present = Presence(catalog, lambda copy: copy.pack in kept)
        assert [one.hex() for one in content if one not in present] == []
        store.delete({*going})
        for object_id in content:
            assert bytes(repository.reader.get(KIND, object_id)) == store.plain[object_id]


def test_an_object_twice_in_one_frame_contradicts_nothing(tmp_path: Path) -> None:
    palatine.init(tmp_path / "repository")
    made: list[tuple[list[int], Listing]] = []
    with palatine.open_repository(tmp_path / "repository", cache=tmp_path / "cache") as opened:
        repository = opened.store
        repository.refresh()
        data = b"small"
        object_id = repository.digest.object_id(KIND, data)
        with closing(
            Encoder(repository.parts, 1, lambda own, listing: made.append((own, listing)))
        ) as encoder:
            for _ in range(3):
                encoder.small(KIND, object_id, data)
            encoder.finish()
            encoder.write_segments()
        (((number,), listing),) = made
        assert sum(len(frame.members) for frame in listing.frames) == 3
        assert repository.catalog.agrees(number, listing)
        assert not repository.catalog.agrees(number + 1, listing)
