"""repair loses nothing that can be read, says exactly what is lost, and may stop at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ops.test_verify import Little, fill
from tests.support import TORTURE, Place, count, damage_frames, flip, frames_of

from palatine.backends.memory import MemoryBackend
from palatine.errors import Fenced, PalatineError, RepositoryError
from palatine.ids import Kind
from palatine.model.policy import Rules
from palatine.model.snapshot import VOID
from palatine.ops.repair import Repaired, repair
from palatine.ops.snapshot import Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import FakeClock, State, differences, page_edits, state_of
from palatine.testing.faulty import FaultyBackend

Damage = Callable[[Place, Random], None]
Lost = dict[str, set[bytes]]


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Little:
    made = fill(Place(tmp_path_factory.mktemp("little")))
    made.place.palace.rename(made.place.root / "elsewhere")
    return made


@pytest.fixture
def hurt(little: Little) -> Iterator[Little]:
    """The little repository, whose palace is elsewhere; what a test does to it is undone."""
    kept = little.place.root / "kept"
    shutil.copytree(little.place.repository, kept)
    yield little
    put_back(little, kept)
    shutil.rmtree(kept)


def put_back(little: Little, kept: Path) -> None:
    shutil.rmtree(little.place.repository)
    shutil.copytree(kept, little.place.repository)
    shutil.rmtree(little.place.cache, ignore_errors=True)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def unreadable(little: Little) -> Lost:
    """Return which files cannot be read now, found by reading each; and snapshots that are gone."""
    lost: Lost = {}
    with little.place.open(little.place.root / "another-cache") as repository:
        there = {stored.id.hex() for stored in repository.log()}
        for revision, state in little.states.items():
            files = [path for path, one in state.items() if one.kind == "file"]
            if revision not in there:
                lost[revision] = set(files)
                continue
            for path in files:
                try:
                    assert (
                        b"".join(repository.cat(f"{revision}:{path.decode()}")) == state[path].data
                    )
                except PalatineError:
                    lost.setdefault(revision, set()).add(path)
    shutil.rmtree(little.place.root / "another-cache", ignore_errors=True)
    return lost


def said_of(little: Little, done: Repaired) -> Lost:
    """Return the files that a repair says are lost: those it names, and those below directories."""
    lost: Lost = {}
    for loss in done.lost:
        named = {one.path for one in loss.missing}
        state = little.states[loss.stored.id.hex()]
        lost[loss.stored.id.hex()] = {
            path
            for path, one in state.items()
            if one.kind == "file" and ({path, b"."} | _above(path)) & named
        }
    return lost


def _above(path: bytes) -> set[bytes]:
    steps = path.split(b"/")
    return {b"/".join(steps[:at]) for at in range(1, len(steps))}


def check_rest(little: Little, done: Repaired, lost: Lost) -> None:
    """Assert that all that was not lost restores byte for byte, from what stands in its place."""
    place = little.place
    instead = {one.stored.id.hex(): one.replacement for one in done.lost}
    with place.open() as repository:
        there = {one.id.hex() for one in repository.log()}
        for revision, state in little.states.items():
            stands = instead.get(revision)
            if stands is None and revision not in there:
                assert lost[revision] == {p for p, one in state.items() if one.kind == "file"}
                continue
            name = stands.id.hex() if stands else revision
            target = place.root / "out"
            repository.restore(name, target)
            gone = {one.path for loss in done.lost if loss.replacement == stands and stands
                    for one in loss.missing}  # fmt: skip
            expected = {
                path: one for path, one in state.items()
                if b"." not in gone and path not in gone and not _above(path) & gone
            }  # fmt: skip
            found = {
                path: one for path, one in state_of(target).items()
                if not path.endswith(b".damaged")
            }  # fmt: skip
            expected[b""] = found[b""] = state[b""]
            assert differences(expected, found) == []
            shutil.rmtree(target)


def check_repair(little: Little, wrong: bool = True) -> Repaired:
    """Repair, and assert all the promises. The palaces are not there: nothing is found again."""
    place = little.place
    lost = unreadable(little)
    if wrong:
        assert not place.verify().ok
    before = everything(place.repository)
    with place.open() as repository:
        plan = repository.repair(dry_run=True)
        assert everything(place.repository) == before
        done = repository.repair()
    assert [(one.stored.id, one.missing) for one in plan.lost] == [
        (one.stored.id, one.missing) for one in done.lost
    ]
    assert (plan.gone, plan.mended, plan.damage) == (done.gone, done.mended, done.damage)
    snapshots_lost = {one for one in lost if one not in said_of(little, done)}
    mended = {one for one in done.mended if one.startswith("snapshots/")}
    assert len(snapshots_lost) == len([one for one in done.gone if "snapshots/" in one]) + len(
        mended
    )
    for revision, paths in said_of(little, done).items():
        assert paths == lost[revision]
    if not mended:
        check_rest(little, done, lost)
    report = place.verify()
    assert (report.damage, report.hits, report.warnings) == ([], [], [])
    after = everything(place.repository)
    kept = {*after.values()}
    gone = [one for one in before.keys() - after.keys() if not one.startswith(("index/", "tags/"))]
    assert all(before[one] in kept for one in gone)
    with place.open() as repository:
        again = repository.repair()
        assert (again.ok, again.damage, again.set_aside) == (True, [], [])
        assert everything(place.repository) == after
        repository.gc()
    assert place.verify().ok
    check_rest(little, done, lost)
    return done


# Each kind of damage


def flipped(place: Place, rng: Random) -> None:
    for path in rng.sample(place.packs(), 2):
        flip(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))


def truncated(place: Place, rng: Random) -> None:
    path = rng.choice(place.packs())
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


def emptied(place: Place, rng: Random) -> None:
    path = rng.choice(place.packs())
    path.chmod(0o600)
    path.write_bytes(b"")


def lengthened(place: Place, rng: Random) -> None:
    path = rng.choice(place.packs())
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(rng.randbytes(100))


def removed(place: Place, rng: Random) -> None:
    rng.choice(place.packs()).unlink()


def without_index(place: Place, rng: Random) -> None:
    """A pack that ends in garbage, and no index that would know what was in it."""
    path = rng.choice(place.packs())
    flip(path, path.stat().st_size - 20)
    for segment in place.files("index"):
        segment.unlink()
    shutil.rmtree(place.cache, ignore_errors=True)


def index_too(place: Place, rng: Random) -> None:
    flipped(place, rng)
    path = rng.choice(place.files("index"))
    flip(path, rng.randrange(path.stat().st_size))


def scratched(place: Place, rng: Random) -> None:
    """A run of bytes over several frames of each pack."""
    for path in place.packs():
        size = path.stat().st_size
        at = rng.randrange(size)
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(rng.randbytes(min(size - at, size // 4)))


DAMAGES: list[Damage] = [
    flipped, truncated, emptied, lengthened, removed, without_index, index_too, scratched,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(count(2, 60)))
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_lost_is_said_and_nothing_else_is(hurt: Little, damage: Damage, seed: int) -> None:
    damage(hurt.place, Random(seed))
    check_repair(hurt, wrong=False)


def test_nothing_is_wrong(hurt: Little) -> None:
    with hurt.place.open() as repository:
        before = everything(hurt.place.repository)
        done = repository.repair()
        assert done == Repaired(dry_run=False)
        assert everything(hurt.place.repository) == before


def test_damaged_index_segments_are_made_again(hurt: Little) -> None:
    for segment in hurt.place.files("index"):
        flip(segment, 20)
    done = check_repair(hurt)
    assert done.ok
    assert len(done.damage) == 3


def test_the_base_of_a_chain_takes_all_that_stand_on_it(hurt: Little) -> None:
    with hurt.place.open() as repository:
        oldest = repository.log()[-1]
        (entry,) = [one for one in repository.ls(oldest.id.hex()) if one.path == b"kg.db"]
        chunk = entry.entry.parts[0].id
        (copy,) = repository.store.catalog.copies(chunk)
        row = next(one for one in repository.store.catalog.packs() if one.n == copy.pack)
        assert not copy.base
    path = hurt.place.repository / "packs" / row.name.hex()[:2] / row.name.hex()
    flip(path, copy.offset + copy.length // 2)
    report = hurt.place.verify()
    assert [one.paths for one in report.hits] == [(b"kg.db",)] * 3
    done = check_repair(hurt)
    assert [[gap.path for gap in one.missing] for one in done.lost] == [[b"kg.db"]] * 3


def test_a_delta_may_replace_what_is_spoilt_in_its_base(tmp_path: Path) -> None:
    """A version that can be read over a damaged base is not lost along with that."""
    place = Place(tmp_path)
    rng = Random(1)
    data = bytearray(rng.randbytes(150_000))  # stored as it is: nothing to compress
    (place.palace / "kg.db").write_bytes(data)
    first = place.snapshot().stored
    ((path, offset, length),) = frames_of(place, Kind.CHUNK)
    data[5 * 4096 : 6 * 4096] = rng.randbytes(4096)
    (place.palace / "kg.db").write_bytes(data)
    second = place.snapshot().stored
    place.palace.rename(tmp_path / "gone")
    assert length > 150_000
    flip(path, offset + 5 * 4096 + 2000)
    with place.open() as repository:
        assert b"".join(repository.cat(f"{second.id.hex()}:kg.db")) == data
        done = repository.repair()
        assert [(one.stored.id, one.missing[0].path) for one in done.lost] == [(first.id, b"kg.db")]
        assert b"".join(repository.cat(f"{second.id.hex()}:kg.db")) == data
    assert place.verify().ok


def test_a_base_that_turns_up_brings_back_what_stood_on_it(hurt: Little) -> None:
    place = hurt.place
    ids = {*hurt.states}
    packs = {path for path, _, _ in frames_of(place, Kind.CHUNK)}
    root, offset, length = max(frames_of(place, Kind.CHUNK), key=lambda one: one[2])
    flip(root, offset + length // 2)
    for path in packs - {root}:
        flip(path, 10)  # among its random bytes: every frame is sound
    old = place.root / "old"
    old.mkdir()
    with place.open() as repository:
        assert len(repository.repair().lost) == 3
        first = next(iter(hurt.states.values()))
        (old / "kg.db").write_bytes(first[b"kg.db"].data)
        done = repository.repair(sources=[old])
        assert {one.id.hex() for one in repository.log()} == ids
        assert (done.ok, done.found, done.waiting) == (True, 1, [])
        again = repository.repair(sources=[old])
        assert (again.ok, again.found, again.set_aside) == (True, 0, [])
    shutil.rmtree(old)
    assert place.verify().ok
    check_rest(hurt, Repaired(dry_run=False), {})


# Small files


def test_one_wrong_byte_in_a_snapshot_file_is_mended(hurt: Little) -> None:
    rng = Random(3)
    for path in hurt.place.files("snapshots"):
        flip(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))
    before = set(hurt.states)
    shutil.rmtree(hurt.place.cache, ignore_errors=True)
    done = check_repair(hurt)
    assert done.ok
    assert len(done.mended) == 3
    with hurt.place.open() as repository:
        assert {one.id.hex() for one in repository.log()} == before


def test_the_catalog_still_knows_a_snapshot_file(hurt: Little) -> None:
    with hurt.place.open() as repository:
        repository.log()
    path = hurt.place.files("snapshots")[0]
    path.write_bytes(bytes(path.stat().st_size))
    with hurt.place.open() as repository:
        assert repository.repair().ok
    assert hurt.place.verify().ok
    check_rest(hurt, Repaired(dry_run=False), {})


def test_a_snapshot_file_beyond_mending_is_set_aside(hurt: Little) -> None:
    path = hurt.place.files("snapshots")[1]
    data = path.read_bytes()[:-3]
    path.write_bytes(data)
    shutil.rmtree(hurt.place.cache, ignore_errors=True)
    done = check_repair(hurt)
    assert len(done.gone) == 1
    (name,) = done.set_aside
    assert (hurt.place.repository / name).read_bytes() == data


def test_a_closed_key_stays_closed(hurt: Little) -> None:
    path = hurt.place.files("snapshots")[0].with_name("20260101T000000.000000Z-0011223344556677")
    path.write_bytes(b"P" + bytes(7))
    with hurt.place.open() as repository:
        assert repository.repair().ok
    assert path.read_bytes() == VOID


def test_a_lost_policy_forgets_nothing(hurt: Little) -> None:
    with hurt.place.open() as repository:
        repository.set_policy(Rules(last=1))
        repository.set_policy(Rules(last=100))
        path = hurt.place.repository / "policy" / "2"
        flip(path, 40)
        done = check_repair(hurt)
        assert (done.mended, done.gone) == (["policy/2"], [])
        assert repository.policy().palaces[0].rules.last == 100
        path.write_bytes(b"nothing")
        done = check_repair(hurt)
        assert len(done.gone) == 1
        assert repository.policy().palaces == ()
        repository.gc()
        assert len(repository.log()) == 3


def test_what_is_no_tag_is_set_aside(hurt: Little) -> None:
    tag = hurt.place.files("tags")[0]
    tag.rename(tag.with_name("%ZZ"))
    assert not hurt.place.verify().ok
    with hurt.place.open() as repository:
        assert [Path(one).name.split(".")[0] for one in repository.repair().set_aside] == ["%ZZ"]
    assert hurt.place.verify().ok


# Finding it again


@pytest.mark.parametrize("damage", [*DAMAGES, None])
def test_the_palace_still_has_it(tmp_path: Path, damage: Damage | None) -> None:
    place = Place(tmp_path)
    rng = Random(5)
    (place.palace / "deep" / "er").mkdir(parents=True)
    (place.palace / "kg.db").write_bytes(rng.randbytes(2_500_000))
    for number in range(20):
        (place.palace / "deep" / "er" / f"{number}.md").write_bytes(rng.randbytes(90))
        (place.palace / "deep" / f"{number}.bin").write_bytes(rng.randbytes(30_000))
    id_before = place.snapshot(tags=["keep"]).stored.id
    if damage is None:
        shutil.rmtree(place.repository / "packs")
        shutil.rmtree(place.repository / "index")
    else:
        damage(place, rng)
    with place.open() as repository:
        plan = repository.repair(dry_run=True)
        done = repository.repair()
        assert plan.ok
        assert done.ok, done.lost
        assert plan.found == done.found
        (left,) = repository.log()
        assert (left.id, left.tags) == (id_before, ("keep",))
    place.check_restores()
    assert place.verify().ok


def test_what_turns_up_later_brings_a_snapshot_back(hurt: Little) -> None:
    place = hurt.place
    damage_frames(place, Kind.CHUNK)
    with place.open() as repository:
        newest = repository.log()[0]
        done = repository.repair()
        assert len(done.lost) == 3
        stands = done.lost[2].replacement
        assert stands is not None
        assert repository.resolve("palace#v2").id == stands.id
        later = repository.repair(sources=[place.root / "elsewhere"])
        assert later.ok
        assert [one.id for one in later.brought_back] == [newest.id]
        assert len(later.waiting) == 2
        back = repository.resolve("palace#v2")
        assert (back.id, len(repository.log())) == (newest.id, 3)
        target = place.root / "back"
        repository.restore(back.id.hex(), target)
    assert differences(hurt.states[newest.id.hex()], state_of(target)) == []
    shutil.rmtree(target)
    assert place.verify().ok


def test_a_file_that_lost_a_part_keeps_the_rest(tmp_path: Path) -> None:
    place = Place(tmp_path)
    data = Random(1).randbytes(3 << 20)
    with (place.palace / "kg.db").open("wb") as file:
        file.write(data[: 1 << 20])
        file.seek(2 << 20)  # a hole
        file.write(data[2 << 20 :])
    (place.palace / "kg.db-notes").write_bytes(b"beside it")
    (place.palace / "kg.dbx").write_bytes(b"after it")
    place.snapshot()
    place.palace.rename(tmp_path / "gone")
    path, offset, length = max(frames_of(place, Kind.CHUNK), key=lambda one: one[2])
    flip(path, offset + length // 2)
    with place.open() as repository:
        done = repository.repair()
        ((gap,),) = [one.missing for one in done.lost]
        stored = done.lost[0].replacement
        assert stored is not None
        assert stored.snapshot.stats.files == 3
        assert not stored.snapshot.complete
    assert gap.path == b"kg.db"
    assert "1048576 of 3145728 bytes are lost" in gap.reason
    assert "kg.db.damaged" in gap.reason
    out = place.restored()
    assert sorted(one.name for one in out.iterdir()) == ["kg.db-notes", "kg.db.damaged", "kg.dbx"]
    left = (out / "kg.db.damaged").read_bytes()
    assert len(left) == 3 << 20
    kept = [at for at in (0, 2 << 20) if left[at : at + (1 << 20)] == data[at : at + (1 << 20)]]
    assert len(kept) == 1
    assert left.count(0) > (2 << 20)
    assert place.verify().ok


# Beside others, and stopped


class World:
    """A damaged repository in memory: chains, garbage, a pack that is gone."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.palace = root / "palace"
        self.palace.mkdir()
        self.states: dict[bytes, dict[bytes, State]] = {}
        rng = Random(seed)
        base = MemoryBackend()
        Repository.create(base)
        (self.palace / "kg.db").write_bytes(rng.randbytes(60_000))
        with self.open(base) as repository:
            for number in range(4):
                data = (self.palace / "kg.db").read_bytes()
                (self.palace / "kg.db").write_bytes(page_edits(rng, data, 2))
                (self.palace / f"note-{number}").write_bytes(rng.randbytes(30_000))
                request = Request(self.palace, "default", "palace", tags=(f"v{number}",))
                stored = snapshot(repository, request).stored
                self.states[stored.id] = state_of(self.palace)
        self.palace.rename(root / "elsewhere")
        # in the order in which they were written: their names are random
        packs = [name for name in base.files if name.startswith("packs/")]
        del base.files[packs[-1]]
        for name in rng.sample(packs[:-1], 3):
            spoilt = bytearray(base.files[name])
            spoilt[rng.randrange(len(spoilt))] ^= 1
            base.files[name] = bytes(spoilt)
        segment = next(name for name in base.files if name.startswith("index/"))
        base.files[segment] = base.files[segment][:-1] + b"x"
        self.files = dict(base.files)

    def open(self, backend: MemoryBackend | FaultyBackend) -> Repository:
        settings = Settings(workers=1, beat_seconds=3600, fence_seconds=5)
        return Repository(backend, None, settings, clock=FakeClock())

    def readable(self, backend: MemoryBackend | FaultyBackend) -> set[bytes]:
        """Return the bytes of all files of all snapshots that can be read."""
        from palatine.ops import browse

        found: set[bytes] = set()
        with self.open(backend) as repository:
            repository.refresh()
            for stored in repository.list_snapshots():
                for path, one in self.states.get(stored.id, self.every()).items():
                    if one.kind == "file" and not one.data.startswith(b"\0"):
                        try:
                            found.add(b"".join(browse.cat(repository, stored, path.decode())))
                        except PalatineError:
                            continue
        return found

    def every(self) -> dict[bytes, State]:
        return [*self.states.values()][-1]


@pytest.fixture(params=range(2, count(3, 14)))
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(tmp_path, request.param)


def test_the_machine_may_stop_after_every_change(world: World) -> None:
    readable = world.readable(FaultyBackend(MemoryBackend(dict(world.files))))
    ends = set()
    for changes in range(0, 500, count(3, 1)):
        backend = FaultyBackend(MemoryBackend(dict(world.files)))
        backend.crash_after(changes)
        try:
            with world.open(backend) as repository:
                repair(repository)
        except PalatineError:
            assert backend.crashed
        stopped = backend.crashed
        backend.heal()
        if TORTURE or changes % 2:
            assert readable <= world.readable(backend)
        with world.open(backend) as repository:
            repair(repository)
            assert verify(repository, Depth.DATA).ok
        assert readable <= world.readable(backend)
        with world.open(backend) as repository:
            tags = {tag for one in repository.list_snapshots() for tag in one.tags}
            ends.add((len(repository.list_snapshots()), frozenset(tags)))
        if not stopped:
            break
    assert 20 < changes < 500
    assert ends == {(4, frozenset({"v0", "v1", "v2", "v3"}))}


def test_the_machine_may_stop_while_a_snapshot_comes_back(world: World) -> None:
    base = MemoryBackend(dict(world.files))
    with world.open(base) as repository:
        repair(repository)
    readable = world.readable(base)
    back = set()
    for changes in range(0, 500, count(4, 1)):
        backend = FaultyBackend(MemoryBackend(dict(base.files)))
        backend.crash_after(changes)
        try:
            with world.open(backend) as repository:
                repair(repository, [world.root / "elsewhere"])
        except PalatineError:
            assert backend.crashed
        stopped = backend.crashed
        backend.heal()
        with world.open(backend) as repository:
            repair(repository, [world.root / "elsewhere"])
            assert verify(repository, Depth.DATA).ok
            there = repository.list_snapshots()
            tags = {tag for one in there for tag in one.tags}
            assert (len(there), tags) == (4, {"v0", "v1", "v2", "v3"})
            back.add(there[-1].id)
        assert readable <= world.readable(backend)
        if not stopped:
            break
    assert changes > 8
    assert back == {[*world.states][-1]}


@pytest.mark.parametrize("kind", ["create", "put", "commit", "delete"])
def test_every_call_may_fail(world: World, kind: str) -> None:
    readable = world.readable(FaultyBackend(MemoryBackend(dict(world.files))))
    for nth in range(1, 60, count(5, 1)):
        backend = FaultyBackend(MemoryBackend(dict(world.files)))
        backend.fail(kind, nth, RepositoryError("told to fail"), after=nth % 2 == 0)
        try:
            with world.open(backend) as repository:
                repair(repository)
        except PalatineError:
            assert backend.calls[kind] >= nth
        backend.heal()
        assert readable <= world.readable(backend)
        if backend.calls[kind] < nth:
            break


def test_a_snapshot_taken_meanwhile_is_whole(world: World) -> None:
    """A writer that begins at any step of a repair relies on nothing that goes."""
    (world.root / "elsewhere").rename(world.palace)
    now = state_of(world.palace)
    base = MemoryBackend(dict(world.files))
    backend = FaultyBackend(base)
    at = 0
    for when in range(0, 60, count(7, 1)):
        base.files = dict(world.files)
        at = 0

        def take(kind: str, name: str) -> None:
            nonlocal at
            at += 1
            if at == when + 1:  # noqa: B023 - called in this turn only
                with world.open(base) as other:
                    snapshot(other, Request(world.palace, "default", "other"))

        backend.before_change = take
        with world.open(backend) as repository:
            repair(repository)
        with world.open(base) as repository:
            assert verify(repository, Depth.DATA).ok
            from palatine.ops import restore as restore_op

            for one in repository.list_snapshots():
                if one.snapshot.palace == "other":
                    target = world.root / f"out-{when}"
                    restore_op.restore(repository, one, restore_op.Request(target))
                    assert differences(now, state_of(target)) == []
        if at <= when:
            break


def test_who_may_rely_on_a_damaged_pack_is_waited_for(world: World) -> None:
    """A writer that began before, and shows no sign of life, can commit no more."""
    base = MemoryBackend(dict(world.files))
    with world.open(base) as other:
        stored = other.list_snapshots()[-1]
        data = other.snapshots.read(stored)
        with other.writing("default", "palace", stored.snapshot.time_us) as (session, _):
            with world.open(base) as repository:
                repair(repository)
            with pytest.raises(Fenced):
                session.commit(data)


def test_what_stands_in_place_relies_on_nothing_condemned(world: World) -> None:
    """Another collector may be about to delete packs, and have looked before we commit."""
    base = MemoryBackend(dict(world.files))
    before = [name for name in base.files if name.startswith("packs/")]
    for name in before:
        base.files[f"condemned/{name.rpartition('/')[2]}"] = b""
    with world.open(base) as repository:
        done = repair(repository)
        assert done.lost
        for name in before:
            base.files.pop(name, None)
        hits = {one.stored.id for one in verify(repository, Depth.DATA).hits}
        assert not hits & {one.replacement.id for one in done.lost if one.replacement}


def test_a_copy_in_a_condemned_pack_does_not_count(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.palace / "kg.db").write_bytes(Random(1).randbytes(100_000))
    place.snapshot()
    old = place.packs()
    (place.repository / "condemned").mkdir(exist_ok=True)
    for path in old:
        (place.repository / "condemned" / path.name).touch()
    place.snapshot(force=True)
    fresh = [path for path in place.packs() if path not in old]
    assert len(fresh) == len(old)
    for path in fresh:
        flip(path, 10)  # among its random bytes: every frame is sound
    with place.open() as repository:
        assert repository.repair().ok
    for path in old:
        path.unlink()
    place.check_restores()


@settings(
    max_examples=count(12, 400),
    deadline=None,
    derandomize=not TORTURE,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1000), st.sampled_from(["flip", "cut", "remove", "zero"]),
            st.floats(0, 0.999),
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_any_damage(hurt: Little, harm: list[tuple[int, str, float]]) -> None:
    """Whatever is done to whatever files: no other error than ours, nothing readable lost."""
    place = hurt.place
    folders = ("packs", "index", "snapshots", "tags")
    for number, how, where in harm:
        files = [one for folder in folders for one in place.files(folder)]
        path = files[number % len(files)]
        at = int(where * path.stat().st_size)
        path.chmod(0o600)
        if how == "remove":
            path.unlink()
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:at])
        elif path.stat().st_size and how == "flip":
            flip(path, at)
        elif path.stat().st_size:
            path.write_bytes(path.read_bytes()[:at] + bytes(path.stat().st_size - at))
    try:
        lost = unreadable(hurt)
        with place.open() as repository:
            done = repository.repair()
        for revision, paths in said_of(hurt, done).items():
            assert paths <= lost.get(revision, set())
        check_rest(hurt, done, lost)
        assert place.verify().ok
    finally:
        put_back(hurt, place.root / "kept")


@pytest.mark.parametrize("nth", [1, 5, 20])
def test_what_cannot_be_read_now_is_not_taken_for_damaged(world: World, nth: int) -> None:
    base = MemoryBackend(dict(world.files))
    backend = FaultyBackend(base)
    with world.open(backend) as repository:
        repository.refresh()
        error = RepositoryError("I/O error")
        backend.fail("read", nth, error, prefix="packs/", forever=True)
        with pytest.raises(RepositoryError):
            repair(repository)
    assert base.files == world.files
