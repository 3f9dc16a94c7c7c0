"""Blocks of packs that are kept here: never other bytes than the store's, and never too many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from random import Random

import pytest

from palatine.backends.cached import BLOCK, BlockCache
from palatine.backends.memory import MemoryBackend
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
    assert backend.calls["read"] <= 6
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * BLOCK


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
