"""Full packs are made durable by threads of their own: nothing waits for them, nothing is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from palatine import fsio
from palatine.backends.local import LocalBackend
from palatine.backends.memory import MemoryBackend
from palatine.errors import NoSpace
from palatine.ids import Digest, Kind
from palatine.model.pack import FrameKind, Listing, Member
from palatine.store import packer
from palatine.store.packer import Packer, Ready
from palatine.store.repository import Repository, Settings
from palatine.testing.faulty import FaultyBackend
from palatine.workers import Workers

MEMBER = (Member(Kind.CHUNK, bytes(32), 10),)


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "PACK_TARGET", 3000)


def test_the_next_pack_is_filled_while_one_is_made_durable() -> None:
    backend = FaultyBackend(MemoryBackend())
    may = threading.Event()

    def wait(kind: str, name: str) -> None:
        assert kind != "commit" or may.wait(60), "the pack was made durable by who filled it"

    backend.before_change = wait
    finished: list[Listing] = []
    closing = Workers(2, 12_000)
    made = Packer(backend, Digest("blake3"), finished.append, closing)
    for _ in range(3):  # two go at once, and one waits
        made.add([Ready(FrameKind.PLAIN, bytes(3000), MEMBER)])
    made.add([Ready(FrameKind.PLAIN, bytes(100), MEMBER)])
    assert finished == []
    may.set()
    made.flush()
    closing.wait()
    closing.close()
    assert sorted(one.size for one in finished) == sorted(
        stat.size for stat in backend.list("packs/")
    )
    assert len(finished) == 4


def test_a_pack_that_fails_is_told_and_those_behind_it_leave_nothing(tmp_path: Path) -> None:
    backend = FaultyBackend(LocalBackend(tmp_path))
    Repository.create(backend)
    backend.fail("commit", 2, NoSpace("full"), forever=True)
    rng = Random(1)

    def put(repository: Repository) -> None:
        with repository.writing("default", "one", 10**15) as (_, writer):
            for _ in range(20):
                writer.put(Kind.CHUNK, rng.randbytes(70_000))
            writer.flush()

    with Repository(backend, None, Settings(workers=2)) as repository, pytest.raises(NoSpace):
        put(repository)
    assert len([*backend.list("packs/")]) == 1
    left = [path for path in tmp_path.rglob("*") if path.name.startswith(fsio.TEMPORARY_PREFIX)]
    assert left == []
