"""Ranges that are announced: the bytes of the store, in few requests, within a certain room."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest

from palatine.backends.ahead import REQUEST, ROOM, Range
from palatine.backends.cached import BlockCache
from palatine.backends.memory import MemoryBackend
from palatine.errors import NotFound, RepositoryError
from palatine.testing.faulty import FaultyBackend

PACK, OTHER = "packs/ab/abcd", "packs/cd/cdef"
DATA = Random(8).randbytes(1 << 20) * 48


class Store(MemoryBackend):
    """Notes what is asked for; `gate` lets reads pass."""

    def __init__(self) -> None:
        super().__init__({PACK: DATA, OTHER: DATA[::-1]})
        self.asked: list[Range] = []
        self.gate = threading.Event()
        self.gate.set()
        self.changed = threading.Condition()

    def read(self, name: str, offset: int, length: int) -> bytes:
        with self.changed:
            self.asked.append(Range(name, offset, length))
            self.changed.notify_all()
        assert self.gate.wait(60)
        return super().read(name, offset, length)

    @property
    def bytes_asked(self) -> int:
        return sum(one.length for one in self.asked)

    def until(self, condition: Callable[[], bool]) -> None:
        """Return when reads have made something true."""
        with self.changed:
            assert self.changed.wait_for(condition, 60)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def cache(store: Store, tmp_path: Path) -> Iterator[BlockCache]:
    cache = BlockCache(store, tmp_path / "blocks")
    yield cache
    store.gate.set()
    cache.close()


def frames(name: str, count: int, length: int = 500_000, first: int = 24) -> list[Range]:
    return [Range(name, first + number * length, length) for number in range(count)]


def bytes_of(store: Store, one: Range) -> bytes:
    return store.files[one.name][one.offset : one.offset + one.length]


def test_neighbours_come_with_one_request_across_packs_and_nothing_twice(
    store: Store, cache: BlockCache, tmp_path: Path
) -> None:
    wanted = [*frames(PACK, 60), *frames(OTHER, 7), *frames(PACK, 20, first=31_000_000)]
    for one in wanted:
        cache.expect([one])
    for one in wanted:
        assert cache.read(*one) == bytes_of(store, one)
    assert store.bytes_asked == sum(one.length for one in wanted)
    assert len(store.asked) <= 2 * store.bytes_asked / REQUEST
    assert not (tmp_path / "blocks").exists()  # it is read once: the disk is for what is not


def test_bases_and_what_stands_on_them_by_turns_take_few_requests(
    store: Store, cache: BlockCache
) -> None:
    bases, deltas = frames(PACK, 32), frames(OTHER, 32, 3_000)
    for base, delta in zip(bases, deltas, strict=True):
        cache.expect([base, delta])
    store.until(lambda: OTHER in {one.name for one in store.asked})  # before it is wanted
    for base, delta in zip(bases, deltas, strict=True):
        assert cache.read(*base) == bytes_of(store, base)
        assert cache.read(*delta) == bytes_of(store, delta)
    assert Counter(one.name for one in store.asked)[OTHER] <= 4


def test_it_is_fetched_before_anybody_reads(store: Store, cache: BlockCache) -> None:
    wanted = [*frames(PACK, 10), *frames(OTHER, 10)]
    cache.expect(wanted)
    store.until(lambda: {one.name for one in store.asked} == {PACK, OTHER})
    for one in wanted:
        assert cache.read(*one) == bytes_of(store, one)


def test_what_is_ahead_is_bounded_whoever_reads(store: Store, cache: BlockCache) -> None:
    wanted = [*frames(PACK, 90), *frames(OTHER, 90)]
    cache.expect(wanted)
    read = 0
    store.until(lambda: store.bytes_asked > ROOM - 2 * REQUEST)
    for one in wanted:
        assert store.bytes_asked - read <= ROOM
        assert cache._ahead.held <= ROOM
        assert cache.read(*one) == bytes_of(store, one)
        read += one.length
        goal = min(sum(each.length for each in wanted), read + ROOM - 3 * REQUEST)
        store.until(partial(lambda goal: store.bytes_asked >= goal, goal))
    assert store.bytes_asked == read


def test_a_range_that_is_wanted_before_its_turn_comes_at_once(
    store: Store, cache: BlockCache
) -> None:
    wanted = frames(PACK, 90)
    store.gate.clear()
    cache.expect(wanted)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(cache.read, *wanted[-1])
        store.gate.set()
        assert reading.result(60) == bytes_of(store, wanted[-1])


def test_what_is_never_read_makes_room_for_what_is(store: Store, cache: BlockCache) -> None:
    cache.expect(frames(PACK, 90))  # more than there is room for
    store.until(lambda: store.bytes_asked > ROOM - 2 * REQUEST)
    wanted = frames(OTHER, 90)
    cache.expect(wanted)
    for one in wanted:
        assert cache.read(*one) == bytes_of(store, one)
        assert cache._ahead.held <= ROOM + REQUEST + one.length
    fetched = [one for one in store.asked if one.name == OTHER]
    assert len(fetched) <= 2 * sum(one.length for one in wanted) / REQUEST


def test_a_range_serves_whoever_wants_it_while_it_is_there(store: Store, cache: BlockCache) -> None:
    (one,) = frames(PACK, 1)
    for _ in range(5):
        cache.expect([one])
        with ThreadPoolExecutor(4) as pool:
            read = [pool.submit(cache.read, *one) for _ in range(4)]
            assert all(each.result(60) == bytes_of(store, one) for each in read)
    assert len(store.asked) == 1
    cache.expect([one, *frames(OTHER, 40)])  # more than there is room for
    store.until(lambda: store.bytes_asked > ROOM - 2 * REQUEST)
    assert cache.read(*one) == bytes_of(store, one)
    assert [each.name for each in store.asked].count(PACK) == 1


@pytest.mark.parametrize("offset", [len(DATA) - 10, len(DATA), len(DATA) + 5 * REQUEST])
def test_beyond_the_end_there_is_what_there_is(
    store: Store, cache: BlockCache, offset: int
) -> None:
    inside = Range(PACK, offset - 1000, 1000)
    cache.expect([inside, Range(PACK, offset, 100)])
    assert cache.read(PACK, offset, 100) == DATA[offset : offset + 100]
    assert cache.read(*inside) == bytes_of(store, inside)


def test_a_pack_that_is_not_there_is_an_error_when_it_is_read(
    store: Store, cache: BlockCache
) -> None:
    gone = Range("packs/00/0000", 24, 1000)
    wanted = frames(OTHER, 3)
    cache.expect([*frames(PACK, 3), gone, *wanted])
    assert cache.read(*wanted[0]) == bytes_of(store, wanted[0])
    with pytest.raises(NotFound):
        cache.read(*gone)
    store.put(gone.name, DATA)
    assert cache.read(*gone) == DATA[24:1024]


@pytest.mark.parametrize("nth", range(1, 10))
def test_a_fetch_that_failed_before_anybody_waited_is_no_error(
    store: Store, tmp_path: Path, nth: int
) -> None:
    backend = FaultyBackend(store)
    backend.fail("read", nth)
    cache = BlockCache(backend, tmp_path)
    wanted = frames(PACK, 50)
    cache.expect(wanted)
    failed = 0
    for one in wanted:
        try:
            data = cache.read(*one)
        except RepositoryError:  # it waited for the very request
            failed += 1
            data = cache.read(*one)
        assert data == bytes_of(store, one)
    assert failed <= 1
    cache.close()


def test_a_failure_that_nobody_waits_for_is_no_error(store: Store, tmp_path: Path) -> None:
    backend = FaultyBackend(store)
    backend.fail("read", 1, after=True)
    cache = BlockCache(backend, tmp_path)
    wanted = frames(PACK, 5)
    store.gate.clear()
    cache.expect(wanted)
    coming = cache._ahead._at[wanted[0].name, wanted[0].offset].data
    assert coming is not None
    store.gate.set()
    assert coming.exception(60) is not None
    for one in wanted:
        assert cache.read(*one) == bytes_of(store, one)
    cache.close()


def test_what_is_forgotten_is_read_again(store: Store, cache: BlockCache) -> None:
    wanted, other = frames(PACK, 6), frames(OTHER, 6)
    cache.expect([*wanted, *other])
    assert cache.read(*wanted[0]) == DATA[24:500_024]
    store.put(PACK, DATA[7:])
    store.put(OTHER, DATA[9:])
    cache.forget([PACK])
    for one in wanted:
        assert cache.read(*one) == bytes_of(store, one)
    cache.clear()
    for one in other:
        assert cache.read(*one) == bytes_of(store, one)


def test_what_is_on_its_way_when_it_is_forgotten_keeps_its_room_until_it_came(
    store: Store, cache: BlockCache
) -> None:
    store.gate.clear()
    cache.expect(frames(PACK, 90))
    store.until(lambda: len(store.asked) >= 4)
    held = cache._ahead.held
    cache.forget([PACK])
    assert cache._ahead.held == held
    store.put(PACK, DATA[7:])
    store.gate.set()
    (again,) = frames(PACK, 1)
    cache.expect([again])
    assert cache.read(*again) == bytes_of(store, again)
    cache._threads.shutdown()
    assert cache._ahead.held <= REQUEST


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_announced_and_read_the_bytes_are_the_stores(
    store: Store, cache: BlockCache, seed: int
) -> None:
    rng = Random(seed)
    ranges = []
    for _ in range(150):
        name, length = rng.choice([PACK, OTHER]), rng.choice([0, 1, 900, 70_000, 600_000, 3 << 20])
        ranges.append(Range(name, rng.randrange(len(DATA)), length))
        while rng.random() < 0.7:
            ranges.append(Range(name, ranges[-1].offset + ranges[-1].length, length))
    read = sorted(ranges, key=lambda one: ranges.index(one) + rng.randrange(12))

    def check(one: Range) -> bool:
        if rng.random() < 0.02:
            cache.forget([one.name])
        one = one._replace(length=one.length + rng.choice([0, 0, 0, 0, 5, -5]))
        one = one._replace(length=max(0, one.length))
        return cache.read(*one) == bytes_of(store, one)

    with ThreadPoolExecutor(4) as pool:
        checks = []
        for at, one in enumerate(read):
            if rng.random() < 0.9:
                cache.expect(ranges[at : at + rng.randrange(4)])
            checks.append(pool.submit(check, one))
        assert all(done.result(60) for done in checks)
    assert cache._ahead.held <= ROOM + 4 * (REQUEST + (3 << 20))
