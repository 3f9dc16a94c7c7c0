"""Killed with -9 at any moment of gc, snapshots at the same time: nothing that is kept is lost."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.durability.processes import ended, go, snapshotting
from tests.support import Place, count

from palatine.ops.gc import Options
from palatine.testing.builders import State, differences, page_edits, state_of

ROUNDS = count(15, 500)
PER_TEST = 5
ALL = Options(max_unused=0)
ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
import palatine
from palatine.ops.gc import Options
from palatine.store import packer
packer.PACK_TARGET = 256 << 10
from palatine.ops import gc
from tests.collection.choosing import any_packs
gc._to_rewrite = any_packs
repository, cache, seed = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with palatine.open_repository(repository, cache=cache) as opened:
    opened.gc(Options(0.0, int(seed) if seed else None))
print("done", flush=True)
"""


@contextlib.contextmanager
def collecting(
    place: Place, cache: Path, seed: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a process that will collect when it is told to `go`."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place.repository), str(cache), str(seed or "")],
        cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


class Life:
    """A palace that changes and is snapshotted, and what its snapshots hold."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.random = Random(seed)
        self.states: dict[bytes, dict[bytes, State]] = {}
        for name in ("kg.db", "vectors.db"):
            (place.palace / name).write_bytes(self.random.randbytes(600_000))
        for _ in range(4):
            self.change()
            self.note(place.snapshot(force=True).stored.id)

    def change(self) -> None:
        for name in ("kg.db", "vectors.db"):
            path = self.place.palace / name
            path.write_bytes(page_edits(self.random, path.read_bytes(), 4))
        note = self.place.palace / f"note-{self.random.randrange(5)}"
        note.write_bytes(self.random.randbytes(500))
        (self.place.palace / "new").write_bytes(self.random.randbytes(100_000))

    def note(self, stored_id: bytes) -> None:
        self.states[stored_id] = state_of(self.place.palace)

    def thin(self) -> None:
        """Forget every other snapshot, and all but the last ten."""
        with self.place.open() as repository:
            history = [one.id for one in repository.log()]
            going = [*history[1:10:2], *history[10:]]
            repository.forget(*(one.hex() for one in going))
        for one in going:
            del self.states[one]

    def check(self) -> None:
        """Assert that all that is kept is there, whole."""
        report = self.place.verify()
        assert (report.damage, report.hits, report.unchecked) == ([], [], [])
        with self.place.open() as repository:
            assert {one.id for one in repository.log()} == self.states.keys()
            for one in self.random.sample(sorted(self.states), 2):
                target = self.place.root / "out"
                repository.restore(one.hex(), target)
                assert differences(self.states[one], state_of(target)) == []
                shutil.rmtree(target)


@pytest.mark.torture
@pytest.mark.parametrize("batch", range(ROUNDS // PER_TEST))
def test_a_gc_killed_at_any_moment_does_no_harm(tmp_path: Path, batch: int) -> None:
    place = Place(tmp_path)
    life = Life(place, batch)
    longest = 0.5
    for _ in range(PER_TEST):
        life.change()
        life.note(place.snapshot(force=True).stored.id)
        life.thin()
        life.change()
        other = place.root / "other-cache" if life.random.random() < 0.5 else place.cache
        seed = life.random.choice([None, life.random.randrange(1, 10**6)])
        with (
            collecting(place, place.cache, seed) as collector,
            snapshotting(place, cache=other) as taker,
        ):
            began = time.monotonic()
            for one in life.random.sample([collector, taker], 2):
                go(one)
            time.sleep(longest * life.random.random())
            collector.kill()
            collector.wait()
            ended(taker)
            longest = max(0.2, min(1.0, time.monotonic() - began))
        with place.open() as repository:
            (fresh,) = [one for one in repository.log() if one.id not in life.states]
        life.note(fresh.id)
        life.check()
    with place.open() as repository:
        repository.gc(ALL)
        repository.gc(ALL)
        plan = repository.plan_gc(ALL)
        assert (plan.removed, plan.left, plan.forgotten) == ((), 0, 0)
    assert place.files("condemned") == place.files("sessions") == []
    life.check()


def test_snapshots_restores_and_verify_during_gc_finish_right(place: Place) -> None:
    life = Life(place, 99)
    with place.open(cache=place.root / "reader") as reader:
        for _ in range(count(3, 40)):
            life.change()
            life.note(place.snapshot(force=True).stored.id)
            life.thin()
            life.change()
            with collecting(place, place.root / "c") as collector, snapshotting(place) as taker:
                go(taker)
                go(collector)
                for one in life.random.sample(sorted(life.states), 2):
                    reader.restore(one.hex(), place.root / "out")
                    assert differences(life.states[one], state_of(place.root / "out")) == []
                    shutil.rmtree(place.root / "out")
                report = reader.verify(data=True)
                assert (report.damage, report.hits) == ([], [])
                ended(collector)
                ended(taker)
            with place.open() as repository:
                (fresh,) = [one for one in repository.log() if one.id not in life.states]
            life.note(fresh.id)
            life.check()
