"""Blocks of packs that are kept here: never other bytes than the store's, and never too many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from random import Random

import pytest

from palatine.backends import cached
from palatine.backends.base import Backend
from palatine.backends.cached import BLOCK, BlockCache
from palatine.backends.memory import MemoryBackend
from palatine.errors import RepositoryError
from palatine.testing.faulty import FaultyBackend

PACK, OTHER = "packs/ab/abcd", "packs/cd/cdef"
DATA = Random(5).randbytes(20 * BLOCK + 1234)


@pytest.fixture
def backend() -> FaultyBackend:
    return FaultyBackend(MemoryBackend({PACK: DATA, OTHER: DATA[::-1]}))


def test_reads_are_those_of_the_store(backend: FaultyBackend, tmp_path: Path) -> None:
    rng = Random(1)
    caches = [BlockCache(backend, tmp_path, 8 * BLOCK) for _ in range(2)]
    for _ in range(400):
        offset, length = rng.randrange(len(DATA) + 5000), rng.choice([0, 1, 900, 70_000, 2_000_000])
        name = rng.choice([PACK, OTHER])
        assert rng.choice(caches).read(name, offset, length) == backend.read(name, offset, length)


def test_reading_on_takes_few_requests_and_leaves_the_disk_alone(
    backend: FaultyBackend, tmp_path: Path
) -> None:
    cache = BlockCache(backend, tmp_path)
    step = 100_000
    read = [cache.read(PACK, offset, step) for offset in range(0, len(DATA), step)]
    assert b"".join(read) == DATA
    assert backend.calls["read"] <= 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * BLOCK


LARGE = Random(6).randbytes(200 * BLOCK + 77)


class Slow(MemoryBackend):
    """Answers when several ask at once, or nobody else comes for a while; counts what is held."""

    def __init__(self) -> None:
        super().__init__({PACK: LARGE})
        self.most = 0
        self.now = 0
        self.asked: list[int] = []
        self.lock = threading.Lock()
        self.together = threading.Event()

    def read(self, name: str, offset: int, length: int) -> bytes:
        with self.lock:
            self.asked.append(offset // BLOCK)
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= 3:
                self.together.set()
        if offset > 40 * BLOCK:
            assert self.together.wait(60), "nothing was fetched ahead"
        try:
            return super().read(name, offset, length)
        finally:
            with self.lock:
                self.now -= 1


def test_what_comes_next_is_fetched_ahead_of_the_reader(tmp_path: Path) -> None:
    backend = Slow()
    cache = BlockCache(backend, tmp_path)
    step = 150_000
    read = [cache.read(PACK, offset, step) for offset in range(0, len(LARGE), step)]
    assert b"".join(read) == LARGE
    assert backend.most >= 3
    assert len(backend.asked) == len({*backend.asked}) <= 200 // 8 + 8  # nothing comes twice
    assert cache._held <= cached._MEMORY


@pytest.mark.parametrize("seed", range(3))
def test_many_threads_read_on_a_little_out_of_order(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    backend = FaultyBackend(MemoryBackend({PACK: LARGE}))
    cache = BlockCache(backend, tmp_path)
    places = [*range(0, len(LARGE), 300_000)]
    if seed == 2:
        places.reverse()
    places.sort(key=lambda place: (-place if seed == 2 else place) + rng.randrange(900_000))
    with ThreadPoolExecutor(4) as pool:
        read = dict(
            zip(places, pool.map(lambda at: cache.read(PACK, at, 300_000), places), strict=True)
        )
    assert b"".join(read[place] for place in sorted(read)) == LARGE
    assert backend.calls["read"] < len(places)  # how many less is a matter of who comes first
    assert cache._held <= cached._MEMORY


@pytest.mark.parametrize("nth", range(1, 14))
def test_a_fetch_that_fails_is_made_again_for_who_asks_again(tmp_path: Path, nth: int) -> None:
    backend = FaultyBackend(MemoryBackend({PACK: LARGE}))
    backend.fail("read", nth)
    cache = BlockCache(backend, tmp_path)
    failed = 0
    for place in range(0, len(LARGE), 200_000):
        try:
            data = cache.read(PACK, place, 200_000)
        except RepositoryError:
            failed += 1
            data = cache.read(PACK, place, 200_000)
        assert data == LARGE[place : place + 200_000]
    assert failed <= 1


def test_what_is_on_its_way_when_it_is_forgotten_is_not_kept(tmp_path: Path) -> None:
    class Changing(MemoryBackend):
        def read(self, name: str, offset: int, length: int) -> bytes:
            data = super().read(name, offset, length)
            if data[:1] == b"a":
                self.put(PACK, b"b" * 1000)
                cache.forget([PACK])
            return data

    backend: Backend = Changing({PACK: b"a" * 1000})
    cache = BlockCache(backend, tmp_path)
    assert cache.read(PACK, 0, 10) == b"a" * 10
    assert cache.read(PACK, 0, 10) == b"b" * 10
    assert BlockCache(backend, tmp_path).read(PACK, 0, 10) == b"b" * 10


def test_what_was_read_here_and_there_is_on_the_disk(
    backend: FaultyBackend, tmp_path: Path
) -> None:
    places = [7 * BLOCK + 5, 2 * BLOCK, 11 * BLOCK + 99]
    first = BlockCache(backend, tmp_path)
    for place in places:
        first.read(PACK, place, 1000)
    before = backend.calls["read"]
    assert before == 3
    again = BlockCache(backend, tmp_path)
    for place in places:
        assert again.read(PACK, place, 1000) == DATA[place : place + 1000]
    assert backend.calls["read"] == before


@pytest.mark.parametrize("damage", ["torn", "flipped", "of another pack", "empty"])
def test_a_block_that_is_not_whole_is_fetched_again(
    backend: FaultyBackend, tmp_path: Path, damage: str
) -> None:
    BlockCache(backend, tmp_path).read(PACK, 3 * BLOCK, 10)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if damage == "of another pack":
        BlockCache(backend, tmp_path / "other").read(OTHER, 3 * BLOCK, 10)
        (other,) = (tmp_path / "other").iterdir()
        data = other.read_bytes()
    elif damage == "flipped":
        data = data[:-1] + bytes([data[-1] ^ 1])
    else:
        data = data[: 100 if damage == "torn" else 0]
    path.write_bytes(data)
    cache = BlockCache(backend, tmp_path)
    assert cache.read(PACK, 4 * BLOCK - 10, 10) == DATA[4 * BLOCK - 10 : 4 * BLOCK]


def test_the_disk_is_bounded(backend: FaultyBackend, tmp_path: Path) -> None:
    cache = BlockCache(backend, tmp_path, 6 * BLOCK)
    for number in range(0, 20, 2):
        for name in (PACK, OTHER):
            cache.read(name, number * BLOCK, 10)
    assert 0 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 6 * BLOCK


def test_what_is_forgotten_is_read_again(backend: FaultyBackend, tmp_path: Path) -> None:
    cache = BlockCache(backend, tmp_path)
    cache.read(PACK, 0, 10)
    cache.read(OTHER, 0, 10)
    backend.put(PACK, DATA[1:])
    assert cache.read(PACK, 0, 10) == DATA[:10]
    cache.forget([PACK])
    assert cache.read(PACK, 0, 10) == DATA[1:11]
    cache.clear()
    assert [*tmp_path.iterdir()] == []
    before = backend.calls["read"]
    cache.read(OTHER, 0, 10)
    assert backend.calls["read"] == before + 1


def test_what_another_thread_reads_while_it_is_forgotten_is_not_kept(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(MemoryBackend):
        def read(self, name: str, offset: int, length: int) -> bytes:
            data = super().read(name, offset, length)
            begun.set()
            assert go_on.wait(60)
            return data

    backend = Slow({PACK: DATA})
    cache = BlockCache(backend, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(cache.read, PACK, 0, 10)
        assert begun.wait(60)
        backend.put(PACK, DATA[1:])
        forgetting = pool.submit(cache.forget, [PACK])
        wait([forgetting], timeout=0.2)
        go_on.set()
        assert reading.result() == DATA[:10]
        forgetting.result()
    assert cache.read(PACK, 0, 10) == DATA[1:11]


def test_without_a_place_on_the_disk_it_reads_all_the_same(
    backend: FaultyBackend, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(backend, tmp_path / "file" / "cache")
    assert cache.read(PACK, 5, 10) == DATA[5:15]
