"""The real code in random orders: writers, collectors, and all who work beside them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.collection.choosing import any_packs, chosen_by
from tests.collection.turns import TurnClock, Turns, backend_of
from tests.support import count

from palatine.backends.memory import MemoryBackend
from palatine.errors import Fenced, PalatineError, Refused, UnknownRevision
from palatine.ops import forget, gc, undelete
from palatine.ops import restore as restore_op
from palatine.ops.reindex import reindex
from palatine.ops.snapshot import Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store import packer
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import START_US, State, differences, page_edits, state_of
from palatine.testing.faulty import Crashed

SETTINGS = Settings(workers=1, beat_seconds=3600, fence_seconds=5)
ORDERS = count(40, 4000)
PER_TEST = 20


class World:
    """Two palaces with something in common, their repository, and what has to be restorable."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = Random(seed)
        self.files: dict[str, bytes] = {}
        self.palaces = [root / "alpha", root / "beta"]
        self.states: dict[bytes, dict[bytes, State]] = {}
        self.committed: set[bytes] = set()
        self.forgotten: set[bytes] = set()
        self.restored = itertools.count()
        Repository.create(MemoryBackend(self.files))
        common = self.random.randbytes(40_000)
        for palace in self.palaces:
            palace.mkdir()
            (palace / "common.db").write_bytes(common)
            (palace / "own.db").write_bytes(self.random.randbytes(70_000))
        with Repository(MemoryBackend(self.files), None, SETTINGS) as repository:
            for _ in range(3):
                for palace in self.palaces:
                    self.live(palace, self.random)
                    self.take(repository, palace)

    def live(self, palace: Path, random: Random) -> None:
        for name in ("common.db", "own.db"):
            path = palace / name
            path.write_bytes(page_edits(random, path.read_bytes(), 2))
        (palace / f"note-{random.randrange(3)}").write_bytes(random.randbytes(200))

    def take(self, repository: Repository, palace: Path) -> bytes:
        state = state_of(palace)
        request = Request(palace, "default", palace.name, force=True)
        stored = snapshot(repository, request).stored
        self.states[stored.id] = state
        self.committed.add(stored.id)
        return stored.id

    def check_restores(self, repository: Repository, stored_id: bytes) -> None:
        (stored,) = [one for one in repository.list_snapshots() if one.id == stored_id]
        target = self.root / f"restored-{next(self.restored)}"
        restore_op.restore(repository, stored, restore_op.Request(target))
        assert differences(self.states[stored_id], state_of(target)) == []
        shutil.rmtree(target)

    def check(self) -> None:
        """Assert that nothing that was committed and not forgotten is lost."""
        with Repository(MemoryBackend(self.files), None, SETTINGS) as repository:
            report = verify(repository, Depth.DATA)
            found = report.damage, report.hits, report.unchecked
            assert found == ([], [], []), found
            there = {one.id for one in repository.list_snapshots()}
            assert self.committed - self.forgotten <= there
            for one in there & self.states.keys():
                self.check_restores(repository, one)


class Cast:
    """Who takes part in one order, and what each does."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.turns = Turns(seed)
        self.random = Random(seed)

    def open(self, name: str) -> Repository:
        crash = self.random.randrange(25) if self.random.random() < 0.3 else None
        backend = backend_of(self.turns, name, self.world.files, crash)
        clock = TurnClock(self.turns, name, START_US + self.random.randrange(10**9))
        return Repository(backend, None, SETTINGS, clock=clock)

    def writer(self, number: int) -> Callable[[], None]:
        palace, random = self.world.palaces[number], Random(self.random.random())

        def act() -> None:
            with self.open(f"writer {number}") as repository:
                for _ in range(2):
                    self.world.live(palace, random)
                    self.world.take(repository, palace)

        return act

    def collector(self, number: int) -> Callable[[], None]:
        options = chosen_by(self.random)

        def act() -> None:
            with self.open(f"collector {number}") as repository:
                gc.gc(repository, options)

        return act

    def forgetter(self) -> None:
        with self.open("forgetter") as repository:
            for _ in range(2):
                one = self.random.choice(repository.list_snapshots())
                self.world.forgotten.add(one.id)
                forget.execute(repository, forget.plan_named(repository, [one.id.hex()], True))

    def undeleter(self) -> None:
        with self.open("undeleter") as repository:
            for entry in undelete.restorable(repository)[:1]:
                if entry.stored is not None:
                    undelete.tag(repository, entry.stored, "back")
                    self.world.forgotten.discard(entry.id)

    def reader(self) -> None:
        with self.open("reader") as repository:
            for _ in range(2):
                one = self.random.choice(repository.list_snapshots())
                try:
                    if one.id in self.world.states:
                        self.world.check_restores(repository, one.id)
                except (PalatineError, ValueError):
                    if one.id not in self.world.forgotten:
                        raise

    def reindexer(self) -> None:
        with self.open("reindexer") as repository:
            reindex(repository)

    def play(self) -> None:
        """Let them all act at once, and look at what is left."""
        actors: dict[str, Callable[[], None]] = {
            "writer 0": self.writer(0), "writer 1": self.writer(1),
            "collector 0": self.collector(0), "collector 1": self.collector(1),
            "forgetter": self.forgetter, "undeleter": self.undeleter,
            "reader": self.reader, "reindexer": self.reindexer,
        }  # fmt: skip
        some = self.random.sample([*actors], self.random.randint(3, len(actors)))
        errors = self.turns.run({name: actors[name] for name in some})
        for name, error in errors.items():
            if not isinstance(error, _ALLOWED.get(name.split()[0], (Crashed,))):
                raise AssertionError(f"{name} failed") from error


_ALLOWED: dict[str, tuple[type[PalatineError], ...]] = {
    "writer": (Fenced, Crashed),
    "undeleter": (Fenced, Crashed, PalatineError),
    "forgetter": (UnknownRevision, Refused, Crashed),
}


@pytest.mark.torture
@pytest.mark.parametrize("batch", range(ORDERS // PER_TEST))
def test_no_order_of_calls_loses_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(packer, "PACK_TARGET", 60_000)
    monkeypatch.setattr(gc, "_to_rewrite", any_packs)
    for seed in range(batch * PER_TEST, (batch + 1) * PER_TEST):
        root = tmp_path / str(seed)
        root.mkdir()
        world = World(root, seed)
        cast = Cast(world, seed)
        try:
            cast.play()
            world.check()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        shutil.rmtree(root)
