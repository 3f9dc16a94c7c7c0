"""The store through a writer and a reader: every version readable, nothing believed unseen."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.support import BLAKE3, SETTINGS, Place, count, damage_frames, flip, memory_repository

from palatine.backends.cached import BlockCache
from palatine.backends.memory import MemoryBackend
from palatine.codec import delta
from palatine.errors import Damaged, Fenced, NoSpace, NotFound, PalatineError
from palatine.ids import Kind, ObjectId
from palatine.model.encoding import encode
from palatine.model.pack import TRAILER, FrameKind, Member
from palatine.model.snapshot import VOID
from palatine.model.tree import EMPTY_TREE, Entry, EntryKind, Owner, Part, Piece
from palatine.store import packer
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import Notices, page_edits
from palatine.testing.faulty import FaultyBackend

MIB = 1 << 20
NOW = 1_777_777_777_000_000


def put(repository: Repository, *objects: bytes, on: ObjectId | None = None) -> list[ObjectId]:
    """Store chunks in a session of their own and return their ids."""
    with repository.writing("default", "alpha", NOW) as (_, writer):
        ids = [writer.put(Kind.CHUNK, data, on) for data in objects]
        writer.flush()
    return ids


def packs(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith("packs/")}


def test_every_one_of_sixty_versions_stays_readable() -> None:
    rng = Random(60)
    backend = MemoryBackend()
    versions = [rng.randbytes(4 * MIB)]
    ids: list[list[ObjectId]] = []
    for _ in range(count(25, 60) - 1):
        data = page_edits(rng, versions[-1], rng.randint(1, 40))
        change = rng.choice([0, 0, rng.randint(1, 300_000), -rng.randint(1, 300_000)])
        data = data[: len(data) + change] + rng.randbytes(max(0, change))
        versions.append(data)
    for version in versions:
        blocks = [version[at : at + MIB] for at in range(0, len(version), MIB)]
        hints = [*(ids[-1] if ids else []), *[None] * len(blocks)]
        with (
            memory_repository(backend) as repository,
            repository.writing("default", "alpha", NOW) as (_, writer),
        ):
            stored_now = map(writer.put, [Kind.CHUNK] * len(blocks), blocks, hints)
            ids.append(list(stored_now))
            writer.flush()
    stored = sum(len(data) for data in packs(backend.files).values())
    assert stored < 2.5 * 4 * MIB + len(versions) * 350_000
    with memory_repository(backend) as repository:
        repository.refresh()
        for version, blocks_ids in zip(versions, ids, strict=True):
            assert b"".join(repository.get(Kind.CHUNK, one) for one in blocks_ids) == version


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("kept", ["other bytes", "too few bytes"])
def test_nothing_is_called_damaged_on_the_word_of_what_is_kept(
    tmp_path: Path, kept: str, announced: bool
) -> None:
    class Stubborn(BlockCache):
        """Has wrong bytes again as soon as they are forgotten, as another thread may see to."""

        def read(self, name: str, offset: int, length: int) -> bytes:
            data = bytes(super().read(name, offset, length))
            return data[:-9] if kept == "too few bytes" else data[:-9] + bytes(9)

    backend = MemoryBackend()
    data = [Random(n).randbytes(3000) for n in range(20)]
    with memory_repository(backend) as repository:
        ids = put(repository, *data)
        repository.reader.blocks = Stubborn(backend, tmp_path)
        repository.refresh()
        if announced:
            repository.expect(ids)
        assert [repository.get(Kind.CHUNK, one) for one in ids] == data
        assert repository.reader.known_bad == set()


@contextlib.contextmanager
def as_if_far(repository: Repository, directory: Path) -> Iterator[BlockCache]:
    """Have a repository read as if its backend was far away."""
    blocks = repository.reader.blocks = BlockCache(repository.backend, directory)
    yield blocks
    blocks.close()


def test_what_is_announced_is_fetched_with_all_it_stands_on(tmp_path: Path) -> None:
    rng = Random(23)
    versions = [rng.randbytes(MIB)]
    backend = FaultyBackend(MemoryBackend())
    ids: list[ObjectId] = []
    for _ in range(12):
        with memory_repository(backend) as repository:
            ids += put(repository, versions[-1], on=ids[-1] if ids else None)
        versions.append(page_edits(rng, versions[-1], 5))
    with memory_repository(backend) as repository, as_if_far(repository, tmp_path):
        repository.refresh()
        before = backend.calls["read"]
        repository.expect(ids[-1:])
        assert repository.get(Kind.CHUNK, ids[-1]) == versions[-2]
        repository.expect(ids)
        assert [repository.get(Kind.CHUNK, one) for one in ids] == versions[:-1]
        assert backend.calls["read"] - before == len(ids)  # one for each pack, and none again
        assert not any(tmp_path.iterdir())  # nor by blocks


@pytest.mark.parametrize("wrong", ["flipped", "cut"])
def test_wrong_bytes_that_were_fetched_ahead_are_not_the_stores(tmp_path: Path, wrong: str) -> None:
    class Once(MemoryBackend):
        """Gives other bytes to whoever asks first."""

        struck = False

        def read(self, name: str, offset: int, length: int) -> bytes:
            data = super().read(name, offset, length)
            if self.struck or length < MIB:
                return data
            self.struck = True
            return data[: MIB // 2] if wrong == "cut" else bytes(MIB) + data[MIB:]

    backend = Once()
    data = [Random(n).randbytes(MIB) for n in range(8)]
    with memory_repository(backend) as repository:
        ids = put(repository, *data)
    with memory_repository(backend) as repository, as_if_far(repository, tmp_path):
        repository.refresh()
        repository.expect(ids)
        assert [repository.get(Kind.CHUNK, one) for one in ids] == data
        assert backend.struck
        assert repository.reader.known_bad == set()


def test_what_is_near_asks_nothing_for_what_is_announced() -> None:
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        ids = put(repository, *(Random(n).randbytes(MIB) for n in range(3)))
        before = backend.calls.total()
        repository.catalog.close()  # nor does it look anything up
        repository.expect(ids)
        assert backend.calls.total() == before


def test_what_is_present_is_not_stored_again() -> None:
    backend = MemoryBackend()
    data = [Random(n).randbytes(3000) for n in range(50)] + [Random(99).randbytes(MIB)]
    with memory_repository(backend) as repository:
        ids = put(repository, *data)
        before = dict(packs(backend.files))
        assert put(repository, *data) == ids
        assert packs(backend.files) == before


def test_the_same_object_twice_in_a_session_is_stored_once() -> None:
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        data = Random(1).randbytes(200_000)
        put(repository, data, data, data)
        assert sum(map(len, packs(backend.files).values())) < 1.1 * len(data)


def merged(*stores: dict[str, bytes]) -> MemoryBackend:
    files = {"config": stores[0]["config"]}
    for store in stores:
        files |= packs(store)
    return MemoryBackend(files)


def test_two_repositories_in_which_each_object_is_the_others_base_merge() -> None:
    rng = Random(3)
    one = rng.randbytes(300_000)
    other = page_edits(rng, one, 3)
    first = MemoryBackend()
    Repository.create(first)
    second = MemoryBackend({"config": first.files["config"]})
    for backend, base, version in ((first, one, other), (second, other, one)):
        with memory_repository(backend) as repository:
            (base_id,) = put(repository, base)
            put(repository, version, on=base_id)
            assert len(list(packs(backend.files))) == 2
    both = merged(first.files, second.files)
    halves = [MemoryBackend(dict(both.files)) for _ in range(2)]
    with memory_repository(both) as repository:
        repository.refresh()
        for data in (one, other):
            assert repository.get(Kind.CHUNK, BLAKE3.object_id(Kind.CHUNK, data)) == data
    # of each repository only the delta is left: a circle, and both are said to be missing
    for half in halves:
        for name, data in packs(half.files).items():
            if len(data) > 100_000:
                half.delete(name)
        with memory_repository(half) as repository:
            repository.refresh()
            with pytest.raises(Damaged, match="missing"):
                repository.get(Kind.CHUNK, BLAKE3.object_id(Kind.CHUNK, one))


def test_bytes_that_look_like_a_tree_do_not_get_the_trees_id() -> None:
    owner = Owner(0, "root", 0, "root")
    entry = Entry(b"x", EntryKind.DIRECTORY, 0o755, 0, 5, parts=(Part(bytes(32), 0),))
    tree = encode(Piece((owner,), (), (entry,)))
    with memory_repository(MemoryBackend()) as repository:
        with repository.writing("default", "alpha", NOW) as (_, writer):
            ids = {writer.put(kind, tree) for kind in (Kind.CHUNK, Kind.LIST, Kind.TREE)}
            writer.flush()
        assert len(ids) == 3
        with pytest.raises(Damaged):
            repository.get(Kind.TREE, BLAKE3.object_id(Kind.CHUNK, tree))


def test_a_base_never_comes_from_the_session_itself() -> None:
    """What is not yet committed may vanish with its pack: nothing may stand on it."""
    rng = Random(4)
    data = rng.randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        with repository.writing("default", "alpha", NOW) as (_, writer):
            first = writer.put(Kind.CHUNK, data)
            writer.flush()
            writer.put(Kind.CHUNK, page_edits(rng, data, 1), first)
            writer.flush()
        assert sum(map(len, packs(backend.files).values())) > 2 * len(data)


def test_a_damaged_base_is_not_built_upon() -> None:
    rng = Random(5)
    data = rng.randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        (name,) = packs(backend.files)
        backend.files[name] = backend.files[name].replace(data[5000:5004], b"\0\0\0\0")
        later = page_edits(rng, data, 1)
        (second,) = put(repository, later, on=first)
        assert repository.get(Kind.CHUNK, second) == later


def test_an_object_found_damaged_is_stored_again_by_the_same_process() -> None:
    data = Random(5).randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        (name,) = packs(backend.files)
        backend.files[name] = backend.files[name].replace(data[5000:5004], b"\0\0\0\0")
        with pytest.raises(Damaged, match="chunk"):
            repository.get(Kind.CHUNK, first)
        put(repository, data)
        assert repository.get(Kind.CHUNK, first) == data


def test_damage_is_told_with_the_object_and_its_pack() -> None:
    data = Random(5).randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        (name,) = packs(backend.files)
        backend.files[name] = backend.files[name].replace(data[5000:5004], b"\0\0\0\0")
        with pytest.raises(Damaged) as raised:
            repository.get(Kind.CHUNK, first)
        assert first.hex() in raised.value.message
        assert name.rpartition("/")[2] in raised.value.message


def test_of_two_copies_the_sound_one_is_read() -> None:
    data = Random(6).randbytes(300_000)
    stores = [MemoryBackend() for _ in range(2)]
    Repository.create(stores[0])
    stores[1].files["config"] = stores[0].files["config"]
    for backend in stores:
        with memory_repository(backend) as repository:
            put(repository, data)
    for bad in range(2):
        both = merged(stores[0].files, stores[1].files)
        (name,) = packs(stores[bad].files)
        both.files[name] = both.files[name].replace(data[5000:5004], b"\0\0\0\0")
        with memory_repository(both) as repository:
            repository.refresh()
            object_id = BLAKE3.object_id(Kind.CHUNK, data)
            assert repository.get(Kind.CHUNK, object_id) == data


def test_objects_of_a_truncated_pack_are_absent_but_read_while_bytes_remain() -> None:
    rng = Random(7)
    one, other = rng.randbytes(300_000), rng.randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        first, second = put(repository, one, other)
        (name,) = packs(backend.files)
        cut = 400_000
        backend.files[name] = backend.files[name][:cut]
        repository.refresh()
        whole, lost = (first, one), (second, other)
        if backend.files[name].find(one[:100]) > cut - 300_000:
            whole, lost = lost, whole
        assert repository.get(Kind.CHUNK, whole[0]) == whole[1]
        with pytest.raises(Damaged):
            repository.get(Kind.CHUNK, lost[0])
        with repository.writing("default", "alpha", NOW) as (_, writer):
            assert not writer.present(first)
            assert not writer.present(second)
        put(repository, one, other)
        assert repository.get(Kind.CHUNK, lost[0]) == lost[1]


@pytest.mark.parametrize("frame", ["plain", "delta", "solid"])
def test_a_huge_size_in_a_listing_is_not_believed(frame: str) -> None:
    """The footer is rewritten to lie about a size; the reader says malformed, not MemoryError."""
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        base = Random(8).randbytes(100_000 if frame != "solid" else 100)
        (first,) = put(repository, base)
        wanted = first
        if frame == "delta":
            (wanted,) = put(repository, base[:-1] + b"x", on=first)
        with repository.catalog.transaction() as db:
            db.execute("UPDATE objects SET size = ?", ((16 << 20) - 1,))
        with pytest.raises(Damaged):
            repository.get(Kind.CHUNK, wanted)


def test_a_session_is_announced_and_withdrawn() -> None:
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        with repository.writing("default", "alpha", NOW) as (session, _):
            (announced,) = [stat.name for stat in backend.list("sessions/")]
            assert f"snapshots/default/alpha/{session.key}" in backend.get(announced).decode()
        assert list(backend.list("sessions/")) == []


def test_a_session_beats() -> None:
    backend = FaultyBackend(MemoryBackend())
    Repository.create(backend)
    with (
        Repository(backend, None, Settings(workers=2, beat_seconds=0.005)) as repository,
        repository.writing("default", "alpha", NOW) as (session, _),
    ):
        while backend.calls["beat"] < 3:
            session._ended.wait(0.001)
        (name,) = [stat.name for stat in backend.list("sessions/")]
        assert b'"beat": 0' not in backend.get(name)


def test_a_heartbeat_that_fails_is_told_and_goes_on() -> None:
    backend = FaultyBackend(MemoryBackend())
    Repository.create(backend)
    backend.fail("beat", 1)
    notices = Notices()
    with (
        Repository(backend, None, Settings(2, 0.005), notices) as repository,
        repository.writing("default", "alpha", NOW) as (session, _),
    ):
        while backend.calls["beat"] < 3:
            session._ended.wait(0.001)
    assert [one for one in notices.said if "heartbeat" in one]


def test_a_session_that_cannot_begin_leaves_no_announcement() -> None:
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        backend.fail("list", prefix="condemned/")
        with pytest.raises(PalatineError), repository.writing("default", "alpha", NOW):
            pass
        assert list(backend.list("sessions/")) == []


def test_a_void_on_the_key_fences_the_writer_and_nothing_is_visible() -> None:
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        with repository.writing("default", "alpha", NOW) as (session, writer):
            writer.put(Kind.TREE, EMPTY_TREE)
            writer.flush()
            backend.put(f"snapshots/default/alpha/{session.key}", VOID)
            with pytest.raises(Fenced) as raised:
                session.commit(b"anything")
        assert "again" in raised.value.hint
        assert repository.list_snapshots() == []
        assert list(backend.list("sessions/")) == []


def test_what_lies_in_a_condemned_pack_is_stored_again() -> None:
    data = Random(9).randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (object_id,) = put(repository, data)
        (name,) = packs(backend.files)
        backend.put(f"condemned/{name.rpartition('/')[2]}", b"")
        put(repository, data)
        assert len(packs(backend.files)) == 2
        # and what the collector does next loses nothing
        backend.delete(name)
        repository.refresh()
        assert repository.get(Kind.CHUNK, object_id) == data


def test_nothing_is_based_on_a_condemned_pack() -> None:
    rng = Random(10)
    data = rng.randbytes(300_000)
    later = page_edits(rng, data, 1)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        (name,) = packs(backend.files)
        backend.put(f"condemned/{name.rpartition('/')[2]}", b"")
        (second,) = put(repository, later, on=first)
        backend.delete(name)
        repository.refresh()
        assert repository.get(Kind.CHUNK, second) == later


def test_a_delta_whose_base_is_condemned_counts_as_absent() -> None:
    rng = Random(11)
    data = rng.randbytes(300_000)
    later = page_edits(rng, data, 1)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        (name,) = packs(backend.files)
        (second,) = put(repository, later, on=first)
        assert len(min(packs(backend.files).values(), key=len)) < 50_000
        backend.put(f"condemned/{name.rpartition('/')[2]}", b"")
        put(repository, later)
        backend.delete(name)
        repository.refresh()
        assert repository.get(Kind.CHUNK, second) == later


def test_a_pack_that_appears_during_a_session_is_not_relied_upon() -> None:
    """It may have been condemned before the session read what is."""
    data = Random(12).randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as one, memory_repository(backend) as other:
        with one.writing("default", "alpha", NOW) as (_, writer):
            put(other, data)
            one.refresh()
            assert not writer.present(BLAKE3.object_id(Kind.CHUNK, data))
            writer.put(Kind.CHUNK, data)
            writer.flush()
        assert len(packs(backend.files)) == 2


def test_packs_of_a_killed_writer_are_used_and_indexed() -> None:
    data = Random(13).randbytes(300_000)
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        backend.fail("create", prefix="index/")
        with pytest.raises(PalatineError):
            put(repository, data)
    backend.heal()
    with memory_repository(backend) as repository:
        put(repository, data, b"more")
        assert len(list(backend.list("packs/"))) == 2
        (segment,) = [stat.name for stat in backend.list("index/")]
        assert len(repository.index.read_segment(segment)) == 2


def test_a_pack_that_is_gone_is_looked_for_again_before_it_is_called_lost() -> None:
    """A collector moved the object to another pack between our listing and our read."""
    data = Random(14).randbytes(300_000)
    backend = MemoryBackend()
    Repository.create(backend)
    other = MemoryBackend({"config": backend.files["config"]})
    for one in (backend, other):
        with memory_repository(one) as repository:
            put(repository, data)
    with memory_repository(backend) as repository:
        repository.refresh()
        (old,) = packs(backend.files)
        backend.files |= packs(other.files)
        backend.delete(old)
        assert repository.get(Kind.CHUNK, BLAKE3.object_id(Kind.CHUNK, data)) == data
        backend.delete(next(iter(packs(other.files))))
        with pytest.raises(Damaged):
            repository.get(Kind.CHUNK, BLAKE3.object_id(Kind.CHUNK, data))


def test_a_pack_that_goes_while_it_is_fetched_ahead_is_looked_for_again(tmp_path: Path) -> None:
    data = [Random(n).randbytes(MIB) for n in range(40)]
    backend = MemoryBackend()
    Repository.create(backend)
    other = MemoryBackend({"config": backend.files["config"]})
    for one in (backend, other):
        with memory_repository(one) as repository:
            ids = put(repository, *data)
    with memory_repository(backend) as repository, as_if_far(repository, tmp_path):
        repository.refresh()
        repository.expect(ids[:30])
        assert repository.get(Kind.CHUNK, ids[0]) == data[0]
        old = packs(backend.files)
        backend.files |= packs(other.files)
        for name in old:
            backend.delete(name)
        repository.expect(ids[30:])
        assert [repository.get(Kind.CHUNK, one) for one in ids] == data
        for name in packs(other.files):
            backend.delete(name)
        repository.reader.blocks = None
        with pytest.raises(Damaged):
            repository.get(Kind.CHUNK, ids[0])


def test_reads_that_come_up_short_are_damage_not_data() -> None:
    data = Random(15).randbytes(300_000)
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        (object_id,) = put(repository, data)
        for missing in (1, 100, 10**9):
            backend.cut_reads(missing)
            with pytest.raises(Damaged):
                repository.get(Kind.CHUNK, object_id)
            backend.heal()
        assert repository.get(Kind.CHUNK, object_id) == data


def test_an_object_too_large_is_refused_before_it_is_stored() -> None:
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        with pytest.raises(PalatineError, match="large"):
            put(repository, bytes((16 << 20) + 1))
        assert packs(backend.files) == {}


def test_a_delta_that_would_not_come_back_is_never_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frame is read back before it is written: a codec gone wrong stops the snapshot."""
    rng = Random(16)
    data = rng.randbytes(300_000)
    backend = MemoryBackend()
    with memory_repository(backend) as repository:
        (first,) = put(repository, data)
        before = dict(packs(backend.files))
        encoded = delta.encode

        def wrong(data: bytes, base: bytes, base_id: bytes, ordinal: int) -> bytes:
            return encoded(data[:-1] + b"!", base, base_id, ordinal)

        monkeypatch.setattr(delta, "encode", wrong)
        with pytest.raises(PalatineError, match="nothing was lost"):
            put(repository, page_edits(rng, data, 1), on=first)
        assert packs(backend.files) == before


@pytest.mark.parametrize("sizes", [(2000,), (200, 1800), (1000, 1000)])
def test_no_frame_follows_one_that_was_not_written_whole(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    """A full disk refuses a large frame and takes a smaller one after it: that pack must not be."""
    monkeypatch.setattr(packer, "PACK_TARGET", 3000)
    backend = FaultyBackend(MemoryBackend())
    Repository.create(backend)
    made = packer.Packer(backend, BLAKE3, lambda listing: None)
    member = (Member(Kind.CHUNK, bytes(32), 10),)

    def add(*sizes: int) -> None:
        made.add(packer.Ready(FrameKind.PLAIN, b"x" * size, member) for size in sizes)

    add(1000)
    backend.fail("write", 1, NoSpace("full"))
    with pytest.raises(NoSpace):
        add(*sizes)
    add(1500)
    add(1500)
    made.flush()
    with Repository(backend, None, SETTINGS) as repository:
        for name, size in repository.index.listed().items():
            listing = repository.index.read_footer(name, size)
            assert [frame.length for frame in listing.frames] == [1500, 1500]


# From here on: packs, segments and catalogs on a disk, as people and accidents treat them.


def filled(place: Place) -> None:
    """Three snapshots of a small palace: solid, plain and delta frames."""
    rng = Random(20)
    (place.palace / "big.db").write_bytes(rng.randbytes(600_000))
    (place.palace / "note.md").write_bytes(b"first")
    place.snapshot()
    for version in range(2):
        data = (place.palace / "big.db").read_bytes()
        (place.palace / "big.db").write_bytes(page_edits(rng, data, 2))
        (place.palace / "note.md").write_bytes(b"version %d" % version)
        place.snapshot()


def wipe(place: Place, *folders: str) -> None:
    for folder in folders:
        shutil.rmtree(place.root / folder, ignore_errors=True)


@pytest.mark.parametrize("folders", [("cache",), ("repository/index",),
                                     ("cache", "repository/index")])  # fmt: skip
def test_a_lost_index_or_catalog_is_rebuilt(place: Place, folders: tuple[str, ...]) -> None:
    filled(place)
    wipe(place, *folders)
    place.check_restores()
    assert place.verify().ok
    (place.palace / "note.md").write_bytes(b"and goes on")
    before = place.stored()
    place.snapshot()
    assert place.stored() - before < 20_000
    wipe(place, "cache")
    place.check_restores()


def test_reindex_puts_one_segment_in_place_of_several(place: Place) -> None:
    filled(place)
    assert len(place.files("index")) == 3
    wipe(place, "cache")
    with place.open() as repository:
        done = repository.reindex()
    assert (done.packs, done.damaged, done.segments) == (len(place.packs()), (), 3)
    assert len(place.files("index")) == 1
    place.check_restores()
    assert place.verify().ok


def test_reindex_after_packs_were_deleted_by_hand_believes_only_what_is_there(
    place: Place,
) -> None:
    filled(place)
    oldest = max(place.packs(), key=lambda path: path.stat().st_size)
    oldest.unlink()
    with place.open() as repository:
        assert not repository.verify(data=True).ok
        repository.reindex()
        report = repository.verify(data=True)
    assert not report.ok
    assert {hit.stored.palace for hit in report.hits} == {"palace"}
    place.snapshot(force=True)
    place.check_restores()


def test_a_segment_of_a_pack_that_is_gone_is_told_until_reindex(place: Place) -> None:
    filled(place)
    lost = place.packs()[0]
    lost.unlink()
    assert any(lost.name in sentence for sentence in place.verify().damage)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_segment_is_passed_over_and_told(place: Place, damage: str) -> None:
    filled(place)
    segment = place.files("index")[0]
    if damage == "flip":
        flip(segment, segment.stat().st_size // 2)
    else:
        segment.write_bytes(segment.read_bytes()[:100] if damage == "cut" else b"")
    wipe(place, "cache")
    place.check_restores()
    assert any(segment.name in notice for notice in place.notices.said)
    report = place.verify()
    assert not report.ok
    assert any(segment.name in sentence for sentence in report.damage)
    with place.open() as repository:
        repository.reindex()
    assert place.verify().ok


@pytest.mark.parametrize("covered", [True, False])
def test_every_byte_of_every_footer_may_be_flipped(place: Place, covered: bool) -> None:
    """With a segment the pack stays readable; without one it is told. Nothing else is lost."""
    (place.palace / "one").write_bytes(b"1")
    place.snapshot()
    first = set(place.packs())
    (place.palace / "two").write_bytes(b"2")
    place.snapshot()
    for pack in sorted(set(place.packs()) - first):
        whole = pack.read_bytes()
        (footer, _, _) = TRAILER.unpack(whole[-TRAILER.size :])
        for back in range(1, TRAILER.size + footer + 1, 1 if covered else 2):
            pack.write_bytes(
                whole[:-back] + bytes([whole[-back] ^ 1]) + whole[len(whole) - back + 1 :]
            )
            wipe(place, "cache")
            if not covered:
                wipe(place, "repository/index")
            with place.open() as repository:
                assert b"".join(repository.cat("palace~1:one")) == b"1"
                if covered:
                    assert b"".join(repository.cat("palace:two")) == b"2"
                report = repository.verify(data=True)
                assert any(pack.name in sentence for sentence in report.damage)
        pack.write_bytes(whole)


def test_a_catalog_of_another_copy_of_the_repository_is_not_believed(place: Place) -> None:
    """Copied along with the cache, then other snapshots are taken in each copy."""
    filled(place)
    copy = place.root / "copy"
    shutil.copytree(place.repository, copy)
    (place.palace / "here.md").write_bytes(Random(1).randbytes(100_000))
    place.snapshot()
    with place.open() as repository:
        catalog = repository.store.cache
    place.repository = copy
    with place.open() as repository:
        theirs = repository.store.cache
    assert catalog is not None
    assert theirs is not None
    assert catalog != theirs
    shutil.rmtree(theirs)
    shutil.copytree(catalog, theirs)
    before = place.stored()
    assert place.snapshot().fresh
    assert place.stored() - before > 100_000
    place.check_restores()
    assert place.verify().ok


def test_a_repository_rolled_back_under_its_catalog_is_believed_over_it(place: Place) -> None:
    filled(place)
    old = place.root / "old"
    shutil.copytree(place.repository, old)
    (place.palace / "later.md").write_bytes(Random(1).randbytes(100_000))
    place.snapshot()
    shutil.rmtree(place.repository)
    old.rename(place.repository)
    with place.open() as repository:
        assert len(repository.log()) == 3
        assert repository.snapshot(place.palace).fresh
    place.check_restores()
    assert place.verify().ok


def test_packs_that_return_are_believed_again(place: Place) -> None:
    filled(place)
    away = {path: path.read_bytes() for path in place.packs()}
    for path in away:
        path.unlink()
    assert not place.verify().ok
    for path, data in away.items():
        path.write_bytes(data)
    assert place.verify().ok
    place.check_restores()


@pytest.mark.parametrize("what", ["garbage", "empty", "cut", "a directory", "another layout"])
def test_a_catalog_that_cannot_be_read_is_made_again(place: Place, what: str) -> None:
    filled(place)
    (catalog,) = place.cache.rglob("catalog.db")
    data = catalog.read_bytes()
    for beside in catalog.parent.glob("catalog.db-*"):
        beside.unlink()
    if what == "garbage":
        catalog.write_bytes(Random(1).randbytes(50_000))
    elif what == "another layout":
        catalog.write_bytes(data[:60] + b"\0\0\0\x63" + data[64:])
    elif what == "a directory":
        catalog.unlink()
        catalog.mkdir()
    else:
        catalog.write_bytes(b"" if what == "empty" else data[: len(data) // 2])
    place.check_restores()
    assert place.verify().ok
    (place.palace / "note.md").write_bytes(b"and goes on")
    place.snapshot()
    place.check_restores()


def test_no_flipped_byte_of_the_catalog_loses_data_or_ends_in_a_traceback(place: Place) -> None:
    """What lies there is derived: at worst a command says so and `reindex` makes it again."""
    filled(place)
    (catalog,) = place.cache.rglob("catalog.db")
    good = catalog.read_bytes()
    rng = Random(21)
    for number in range(count(40, 1500)):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 30])):
            bad[rng.randrange(len(bad))] ^= rng.randrange(1, 256)
        for beside in catalog.parent.glob("catalog.db-*"):
            beside.unlink()
        catalog.write_bytes(bad)
        note = b"number %d" % number
        (place.palace / "note.md").write_bytes(note)
        with place.open() as repository:
            try:
                repository.snapshot(place.palace)
                assert b"".join(repository.cat("palace:note.md")) == note
            except PalatineError:
                repository.reindex()
                repository.snapshot(place.palace)
                assert b"".join(repository.cat("palace:note.md")) == note
        if number % 10 == 0:
            wipe(place, "cache")
            assert place.verify().ok
            place.check_restores()


def test_a_pack_cut_while_two_processes_share_a_catalog_is_noticed_by_both(place: Place) -> None:
    (place.palace / "a").write_bytes(Random(1).randbytes(300_000))
    with place.open() as one:
        one.snapshot(place.palace)
        pack = max(place.packs(), key=lambda path: path.stat().st_size)
        pack.write_bytes(pack.read_bytes()[:1000])
        with place.open() as other:
            other.verify()
        one.snapshot(place.palace, force=True)
    place.check_restores()


def test_a_bad_copy_of_a_snapshot_file_in_the_catalog_is_read_anew(place: Place) -> None:
    filled(place)
    with place.open() as repository:
        repository.log()
        catalog = repository.store.catalog
        files = catalog.snapshot_files()
        catalog.set_snapshot_files(
            {name: data[:-1] + bytes([data[-1] ^ 1]) for name, data in files.items()}, ()
        )
        assert len(repository.log()) == 3
        assert repository.store.snapshots.damaged == {}
        assert catalog.snapshot_files() == files


def test_trees_found_damaged_are_written_again_by_the_next_snapshot(place: Place) -> None:
    filled(place)
    assert damage_frames(place, Kind.TREE)
    wipe(place, "cache")
    assert place.snapshot(force=True).stored.snapshot.complete
    place.check_restores()


def test_a_damaged_list_does_not_stop_the_next_snapshot(place: Place) -> None:
    rng = Random(22)
    (place.palace / "big.db").write_bytes(rng.randbytes(18 * MIB))
    place.snapshot()
    assert damage_frames(place, Kind.LIST)
    with (place.palace / "big.db").open("r+b") as file:
        file.write(b"changed")
    wipe(place, "cache")
    place.snapshot()
    place.check_restores()


def test_a_repository_without_a_config_is_none(place: Place) -> None:
    (place.repository / "config").unlink()
    with pytest.raises(PalatineError) as raised:
        place.open()
    assert raised.value.code == "no-repository"


def test_absent_objects_are_named(place: Place) -> None:
    with place.open() as repository, pytest.raises(Damaged, match="ab" * 32):
        repository.store.get(Kind.CHUNK, b"\xab" * 32)


def test_the_memory_backend_is_enough_for_a_repository() -> None:
    backend = MemoryBackend()
    Repository.create(backend)
    with Repository(backend, None, SETTINGS) as repository:
        (object_id,) = put(repository, b"x")
        assert repository.get(Kind.CHUNK, object_id) == b"x"
    with pytest.raises(NotFound):
        backend.get("packs/none")
