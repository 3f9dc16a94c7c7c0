"""What gc takes away, what it leaves, and when it refuses."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.support import SETTINGS, Place, damage_frames, flip, small_disk

import palatine
from palatine.backends.memory import MemoryBackend
from palatine.clock import Clock
from palatine.errors import Damaged, Fenced, Malformed, NoSpace, Refused
from palatine.ids import Kind
from palatine.ops import gc
from palatine.ops.gc import Options
from palatine.store import census
from palatine.store.bitmap import Bitmap
from palatine.store.carrier import Carrier
from palatine.store.census import Account
from palatine.store.collect import Collector
from palatine.store.repository import Repository, Settings
from palatine.store.transfer import WouldBeLost
from palatine.testing.builders import START_US, FakeClock, page_edits

MIB = 1 << 20
ALL = Options(max_unused=0)


def days(place: Place, count: int, seed: int = 1, size: int = 600_000) -> list[bytes]:
    """Let a database live for some snapshots; return their ids, oldest first."""
    rng = Random(seed)
    path = place.palace / "kg.db"
    if not path.exists():
        path.write_bytes(rng.randbytes(size))
    taken = []
    for number in range(count):
        path.write_bytes(page_edits(rng, path.read_bytes(), 3))
        (place.palace / "note").write_bytes(b"%d" % number)
        taken.append(place.snapshot(force=True).stored.id)
    return taken


def collect(place: Place, options: Options = ALL) -> gc.Collected:
    with place.open() as repository:
        return repository.gc(options)


def forget(place: Place, ids: list[bytes]) -> None:
    with place.open() as repository:
        repository.forget(*(one.hex() for one in ids))


def listing(place: Place) -> list[tuple[str, int]]:
    paths = [path for path in place.repository.rglob("*") if path.is_file()]
    return sorted((str(path), path.stat().st_size) for path in paths)


def test_nothing_to_do_changes_nothing(place: Place) -> None:
    days(place, 3)
    before = listing(place)
    done = collect(place)
    assert (done.packs, done.written, done.freed) == (0, 0, 0)
    assert listing(place) == before


def test_after_thinning_it_is_as_if_only_the_kept_had_been_made(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "few").mkdir()
    place, few = Place(tmp_path / "all"), Place(tmp_path / "few")
    rng = Random(1)
    data = rng.randbytes(900_000)
    for number in range(49):
        data = page_edits(rng, data, 3)
        for one in (place, few) if number % 8 == 0 else (place,):
            (one.palace / "kg.db").write_bytes(data)
            one.snapshot()
    with place.open() as repository:
        history = [one.id for one in repository.log()][::-1]
    forget(place, [one for at, one in enumerate(history) if at % 8])
    before = place.stored()
    done = collect(place)
    assert done.freed > 0
    assert place.stored() == before - done.freed
    assert place.stored() < 1.05 * few.stored()
    assert place.verify().ok


def test_a_dry_run_changes_nothing_and_says_what_would_be(place: Place) -> None:
    taken = days(place, 9)
    forget(place, taken[:-1])
    before = listing(place)
    with place.open() as repository:
        plan = repository.plan_gc(ALL)
    assert listing(place) == before
    assert plan.forgotten == 8
    assert plan.freed > 0
    done = collect(place)
    assert abs(done.freed - plan.freed) < 0.2 * plan.freed + 20_000


def test_what_was_forgotten_is_gone_for_good_and_its_id_stays(place: Place) -> None:
    taken = days(place, 4)
    forget(place, taken[:2])
    done = collect(place)
    assert done.forgotten == 2
    with place.open() as repository:
        assert [one.stored for one in repository.forgotten()] == [None, None]
        assert {one.id for one in repository.forgotten()} == set(taken[:2])
    assert all(path.stat().st_size == 0 for path in place.files("forgotten"))


def secrets_left(place: Place, secret: bytes) -> list[str]:
    """Decode everything in a repository with nothing but its footers, and look for some bytes."""
    found = []
    with place.open(cache=place.root / "fresh") as repository:
        store = repository.store
        store.refresh()
        for object_id, copy in store.catalog.all_copies():
            try:
                data = store.get(Kind(copy.kind), object_id)
            except Damaged:
                continue
            if secret in data:
                found.append(object_id.hex())
    paths = [*place.repository.rglob("*"), *place.cache.rglob("catalog*")]
    return found + [str(one) for one in paths if one.is_file() and secret in one.read_bytes()]


def test_erase_leaves_nothing_that_only_forgotten_snapshots_hold(place: Place) -> None:
    rng = Random(3)
    secret = b"-----BEGIN PRIVATE KEY----- leaked"
    data = rng.randbytes(700_000)
    leaked = []
    for number in range(12):
        data = page_edits(rng, data, 2)
        bad = number in (0, 4, 8)  # roots and bases that others stand on
        held = data[:5000] + secret + data[5000 + len(secret) :] if bad else data
        (place.palace / "kg.db").write_bytes(held)
        name = place.palace / "leaked-name"
        name.write_bytes(b"x" * 40 + secret) if bad else name.unlink(missing_ok=True)
        (place.palace / f"note-{number}").write_bytes(b"note %d" % number)
        stored = place.snapshot(force=True, message=secret.decode() if bad else "").stored
        leaked += [stored.id] if bad else []
    kept = [one for one in listing_ids(place) if one not in leaked]
    forget(place, leaked)
    collect(place, Options())
    assert secrets_left(place, secret)
    collect(place, Options(erase=True))
    assert secrets_left(place, secret) == []
    assert listing_ids(place) == kept
    assert place.verify().ok
    place.check_restores()


def listing_ids(place: Place) -> list[bytes]:
    with place.open() as repository:
        return [one.id for one in repository.log()]


def test_max_unused_says_how_much_is_wasted_at_most(place: Place) -> None:
    days(place, 3, size=3 * MIB)
    for name in ("a", "b", "c", "d"):
        (place.palace / name).write_bytes(Random(name).randbytes(400_000))
    both = place.snapshot().stored.id
    (place.palace / "a").unlink()
    place.snapshot()
    forget(place, [both])
    with place.open() as repository:
        wasted = repository.plan_gc(Options(max_unused=1.0)).unused
        assert 350_000 < wasted < 500_000
        assert repository.plan_gc(Options(0.0, wasted + 1)).rewritten == ()
        assert repository.plan_gc(Options(0.0, wasted - 100_000)).rewritten
        assert repository.plan_gc(Options(0.5)).rewritten == ()
    assert collect(place, Options(0.05)).freed > 350_000


def test_bases_stay_while_they_fit_into_what_may_stay_unused(place: Place) -> None:
    rng = Random(6)
    data = bytearray(rng.randbytes(900_000))
    taken = []
    for _ in range(24):
        for page in rng.sample(range(200), 8):
            data[page * 4096 : page * 4096 + 4096] = rng.randbytes(4096)
        (place.palace / "kg.db").write_bytes(data)
        (place.palace / "gone").write_bytes(rng.randbytes(100_000))
        taken.append(place.snapshot(force=True).stored.id)
    forget(place, [one for at, one in enumerate(taken) if (at + 2) % 5])
    with place.open() as repository:
        accounts = Collector(repository.store).look().accounts
        bases = sum(one.renewed for one in accounts)
        waste = sum(one.waste for one in accounts)
        assert 50_000 < bases < waste / 3
        assert repository.plan_gc(Options(0.0, bases - 1)).thorough
        limit = bases + 10_000
        done = repository.gc(Options(0.0, limit))
        assert not done.plan.thorough
        assert done.freed > waste / 2
        assert repository.plan_gc(Options(1.0)).unused <= limit
        assert repository.plan_gc(Options(0.0, limit)).rewritten == ()
    assert place.verify().ok
    place.check_restores()
    assert collect(place).renewed > done.renewed
    assert place.verify().ok
    place.check_restores()


def test_packs_that_come_while_it_looks_are_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another collector moves what was marked already: the marks are of copies that are gone."""
    taken = days(place, 9)
    forget(place, [*taken[1:4], *taken[5:8]])
    census = Collector._census
    with place.open() as repository:

        def and_another(
            self: Collector, fresh: bool, absent: frozenset[bytes]
        ) -> tuple[list[Account], Bitmap]:
            monkeypatch.setattr(Collector, "_census", census)
            with place.open(cache=place.root / "other") as beside:
                assert beside.gc(ALL).packs
            repository.store.refresh()
            return census(self, fresh, absent)

        monkeypatch.setattr(Collector, "_census", and_another)
        seen = Collector(repository.store).look()
    with place.open(cache=place.root / "fresh") as repository:
        expected = Collector(repository.store).look()
    accounts = [{one.row.name: one.idle for one in look.accounts} for look in (seen, expected)]
    assert accounts[0] == accounts[1]
    assert not all(accounts[0].values())


HARMS: dict[str, Callable[[Place], object]] = {
    "snapshot": lambda place: flip(place.files("snapshots")[0], 60),
    "tree": lambda place: damage_frames(place, Kind.TREE),
    "footer": lambda place: flip(place.packs()[0], place.packs()[0].stat().st_size - 20),
    "cut": lambda place: os.truncate(place.packs()[0], place.packs()[0].stat().st_size - 9),
    "base": lambda place: max(place.packs(), key=lambda one: one.stat().st_size).unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_it_refuses_a_damaged_repository_and_changes_nothing(place: Place, harm: str) -> None:
    taken = days(place, 4)
    forget(place, taken[:2])
    for path in place.cache.rglob("*"):
        if path.is_file():
            path.unlink()
    for path in place.files("index") if harm == "footer" else []:
        path.unlink()
    HARMS[harm](place)
    before = listing(place)
    with pytest.raises(Damaged) as raised:
        collect(place)
    assert raised.value.hint
    assert listing(place) == before


def test_a_store_that_ignores_put_if_absent_is_refused() -> None:
    class Careless(MemoryBackend):
        def create(self, name: str, data: bytes) -> bool:
            self.put(name, data)
            return True

    backend = Careless()
    Repository.create(backend)
    with Repository(backend, None, SETTINGS) as repository:
        with pytest.raises(Refused) as raised:
            gc.gc(repository)
        assert "--exclusive" in raised.value.hint
        assert gc.gc(repository, Options(exclusive=True)).packs == 0
        assert backend.get("config")


def memory(clock: Clock) -> Repository:
    backend = MemoryBackend()
    Repository.create(backend)
    return Repository(backend, None, Settings(2, 3600, 600), clock=clock)


def test_a_writer_that_gives_no_sign_of_life_is_fenced_and_fails_cleanly() -> None:
    clock = FakeClock()
    with memory(clock) as repository:
        with repository.writing("default", "alpha", clock.now_us()) as (session, writer):
            writer.put(Kind.CHUNK, Random(1).randbytes(100_000))
            writer.flush()
            began = clock.monotonic()
            done = gc.gc(repository, ALL)
            assert clock.monotonic() - began >= 600
            assert [key.rpartition("/")[2] for key in done.fenced] == [session.key]
            assert done.packs == 1
            with pytest.raises(Fenced):
                session.commit(b"anything")
        assert repository.list_snapshots() == []


def test_a_writer_that_beats_is_waited_for() -> None:
    class Beating(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() < 5000:
                session._beats += 1
                session._hold.beat(session._announcement())
            else:
                session._hold.release()

    clock = Beating()
    with memory(clock) as repository:
        context = repository.writing("default", "alpha", clock.now_us())
        session, writer = context.__enter__()
        writer.put(Kind.CHUNK, Random(1).randbytes(100_000))
        writer.flush()
        assert gc.gc(repository, ALL).fenced == ()
        assert clock.monotonic() >= 5000
        context.__exit__(None, None, None)


def test_a_killed_writer_on_this_machine_is_fenced_at_once(place: Place) -> None:
    days(place, 1)
    key = "snapshots/default/palace/20260501T100000.000000Z-1011121314151617"
    session = place.repository / "sessions" / ("a" * 32)
    session.write_text(json.dumps({"beat": 3, "snapshot": key}))
    (place.repository / "packs" / "00").mkdir(exist_ok=True)
    with place.open() as repository:
        repository.store.catalog.clear()
        collector = Collector(repository.store)
        collector.condemn([])
        collector.wait()
        assert collector.fenced == [key]
    assert (place.repository / key).read_bytes() == b"PALVOID\x01"
    assert not session.exists()


def test_what_a_killed_writer_left_unfinished_goes_when_nobody_writes(place: Place) -> None:
    days(place, 2)
    left = place.repository / ".pal-tmp-0123456789abcdef"
    left.write_bytes(b"half a pack")
    os.utime(left, (1, 1))
    with place.open() as repository:
        with repository.store.writing("default", "other", START_US) as (session, _):
            del session
            with place.open(cache=place.root / "other") as beside:
                gc.gc(beside.store, ALL)
            assert left.exists()
        gc.gc(repository.store, ALL)
    assert not left.exists()
    assert place.verify().ok


def test_a_session_that_nobody_can_read_stops_it_unless_its_owner_is_gone(place: Place) -> None:
    clock = FakeClock()
    with memory(clock) as repository:
        repository.backend.put("sessions/" + "b" * 32, b"\0\0")
        collector = Collector(repository)
        with pytest.raises(Malformed) as raised:
            collector.wait()
        assert "delete it" in raised.value.hint
    (place.repository / "sessions").mkdir()
    (place.repository / "sessions" / ("b" * 32)).write_bytes(b"\0\0")
    with place.open() as opened:
        Collector(opened.store).wait()
    assert place.files("sessions") == []


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("step", ["_copy_all", "_regroup", "_encode"])
def test_what_does_not_reach_a_new_pack_keeps_the_old_ones(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str, thorough: bool
) -> None:
    """Nothing is deleted before everything that stays was found again without it."""
    monkeypatch.setattr(census, "RUN_WORTH", 1 << 40)  # whatever stands on an unneeded base
    taken = days(place, 9)
    forget(place, [*taken[1:4], *taken[5:8]])  # 4 stood on 3
    work = getattr(Carrier, step)
    calls = []

    def but_the_first(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 1:
            work(*arguments)

    monkeypatch.setattr(Carrier, step, but_the_first)
    with place.open() as repository:
        collector = Collector(repository.store)
        collector.condemn([one.row.name for one in collector.look().accounts])
        collector.look()
        packs = place.packs()
        with pytest.raises(WouldBeLost):
            collector.rescue(thorough)
        assert calls
    assert {*packs} <= {*place.packs()}
    monkeypatch.undo()
    assert place.verify().ok
    collect(place)
    assert place.verify().ok
    place.check_restores()


def test_a_full_disk_gets_room_from_dead_packs_and_says_what_more_it_needs(tmp_path: Path) -> None:
    palace, disk = tmp_path / "palace", tmp_path / "disk"
    palace.mkdir()
    rng = Random(5)
    with small_disk(disk, 8 * MIB):
        palatine.init(disk / "repository")
        with palatine.open_repository(
            disk / "repository", cache=tmp_path / "cache", settings=SETTINGS
        ) as repository:
            (palace / "dead").write_bytes(rng.randbytes(2 * MIB))
            first = repository.snapshot(palace).stored.id
            (palace / "dead").unlink()
            for number in range(3):
                (palace / f"{number}").write_bytes(rng.randbytes(MIB))
            second = repository.snapshot(palace).stored.id
            (palace / "0").unlink()
            (palace / "last").write_bytes(b"last")
            repository.snapshot(palace)
            repository.forget(first.hex(), second.hex())
            filler = disk / "filler"
            file = os.open(filler, os.O_CREAT | os.O_WRONLY)
            with contextlib.suppress(OSError):
                while os.write(file, bytes(4096)):
                    pass
            os.close(file)
            with pytest.raises(NoSpace) as raised:
                repository.gc(Options(max_unused=0))
            assert "were freed" in raised.value.hint or "bytes more" in raised.value.message
            filler.unlink()
            repository.gc(Options(max_unused=0))
            assert repository.verify(data=True).ok
            repository.restore("palace", tmp_path / "out")
    assert (tmp_path / "out" / "last").read_bytes() == b"last"
