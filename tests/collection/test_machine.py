"""Any sequence of verbs by two processes, which may crash at any write, against a dictionary."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.collection.choosing import any_packs
from tests.support import TORTURE

from palatine.backends.memory import MemoryBackend
from palatine.errors import Fenced, PalatineError
from palatine.ops import forget, gc, undelete
from palatine.ops import restore as restore_op
from palatine.ops.reindex import reindex
from palatine.ops.snapshot import Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store.collect import Collector
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import START_US, FakeClock, State, differences, page_edits, state_of
from palatine.testing.faulty import Crashed, FaultyBackend

SETTINGS = Settings(workers=1, beat_seconds=3600, fence_seconds=5)
WHO = st.sampled_from([0, 1])
STEPS = ("condemn", "wait", "look", "rescue", "retire")


class Machine(RuleBasedStateMachine):
    """Two processes, a palace, and what has to be restorable: `kept`, by id."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.palace = self.root / "palace"
        self.palace.mkdir()
        self.random = Random(1)
        self.files: dict[str, bytes] = {}
        Repository.create(MemoryBackend(self.files))
        self.clock = FakeClock(START_US)
        self.number = itertools.count()
        self.backends = [FaultyBackend(MemoryBackend(self.files)) for _ in range(2)]
        self.processes = [self.opened(who) for who in range(2)]
        self.states: dict[bytes, dict[bytes, State]] = {}
        self.kept: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self.collectors: list[tuple[Collector, int] | None] = [None, None]
        (self.palace / "kg.db").write_bytes(self.random.randbytes(60_000))

    def opened(self, who: int) -> Repository:
        return Repository(self.backends[who], None, SETTINGS, clock=self.clock)

    def act(self, who: int, work: Any) -> Any:
        """Let a process do something; one that crashes is started again."""
        try:
            return work(self.processes[who])
        except Crashed:
            self.backends[who].heal()
            self.processes[who].close()
            self.processes[who] = self.opened(who)
            self.collectors[who] = None
            return None

    @rule(who=WHO, edits=st.integers(0, 3))
    def snapshot(self, who: int, edits: int) -> None:
        path = self.palace / "kg.db"
        path.write_bytes(page_edits(self.random, path.read_bytes(), edits))
        (self.palace / f"note-{self.random.randrange(3)}").write_bytes(self.random.randbytes(80))
        request = Request(self.palace, "default", "palace", force=True)
        before = {one.id for one in self.look()}
        self.act(who, lambda repository: snapshot(repository, request))
        for stored in self.look():
            if stored.id not in before:
                self.states[stored.id] = state_of(self.palace)
                self.kept.add(stored.id)

    @rule(who=WHO, which=st.integers(0, 50))
    def forget(self, who: int, which: int) -> None:
        if there := self.look():
            one = there[which % len(there)]
            self.kept.discard(one.id)
            self.act(
                who,
                lambda repository: (
                    forget.execute(repository, forget.plan_named(repository, [one.id.hex()], True))
                    if not one.tags
                    else None
                ),
            )
            if any(left.id == one.id for left in self.look()):
                self.kept.add(one.id)

    @rule(who=WHO, which=st.integers(0, 50))
    def undelete(self, who: int, which: int) -> None:
        def work(repository: Repository) -> None:
            whole = [one for one in undelete.restorable(repository) if one.stored is not None]
            if whole:
                stored = whole[which % len(whole)].stored
                assert stored is not None
                undelete.tag(repository, stored, "back")
                self.kept.add(stored.id)

        with contextlib.suppress(Fenced):
            self.act(who, work)

    @rule(who=WHO, erase=st.booleans(), seed=st.none() | st.integers(0, 10**6))
    def collect(self, who: int, erase: bool, seed: int | None) -> None:
        options = gc.Options(0.0, seed, erase)
        self.act(who, lambda repository: gc.gc(repository, options))

    @rule(who=WHO)
    def collect_a_step(self, who: int) -> None:
        """One step of a collection: the other process acts between two of them."""
        collector, at = self.collectors[who] or (Collector(self.processes[who]), 0)
        self.collectors[who] = (collector, at + 1)

        def work(repository: Repository) -> None:
            if STEPS[at] == "condemn":
                names = [one.row.name for one in collector.look().accounts]
                collector.condemn(self.random.sample(names, min(2, len(names))))
            elif STEPS[at] == "retire":
                collector.retire(collector.mine)
                self.collectors[who] = None
            elif STEPS[at] == "rescue":
                collector.rescue(thorough=self.random.random() < 0.5)
            elif STEPS[at] == "look":
                there = collector.look().snapshots
                whole = repository.forgotten.whole(repository.reporter)
                repository.forgotten.collect([one for one in whole if one.id not in there])
            else:
                getattr(collector, STEPS[at])()

        try:
            self.act(who, work)
        except PalatineError:
            self.collectors[who] = None  # another collected meanwhile: it gave up, and lost nothing

    @rule(who=WHO)
    def reindex(self, who: int) -> None:
        self.act(who, reindex)

    @rule(who=WHO, changes=st.integers(0, 12))
    def crash_soon(self, who: int, changes: int) -> None:
        self.backends[who].crash_after(changes)

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, 50))
    def restore(self, which: int) -> None:
        one = sorted(self.kept)[which % len(self.kept)]
        target = self.root / f"out-{next(self.number)}"
        with Repository(MemoryBackend(self.files), None, SETTINGS) as repository:
            (stored,) = [each for each in repository.list_snapshots() if each.id == one]
            restore_op.restore(repository, stored, restore_op.Request(target))
        assert differences(self.states[one], state_of(target)) == []
        shutil.rmtree(target)

    def look(self) -> list[Any]:
        with Repository(MemoryBackend(self.files), None, SETTINGS) as repository:
            return repository.list_snapshots()

    @invariant()
    def all_is_there(self) -> None:
        with Repository(MemoryBackend(self.files), None, SETTINGS) as repository:
            assert self.kept <= {one.id for one in repository.list_snapshots()}
            report = verify(repository, Depth.DATA)
            assert (report.damage, report.hits) == ([], [])

    def teardown(self) -> None:
        for process in self.processes:
            process.close()
        shutil.rmtree(self.root)


@pytest.mark.torture
def test_any_sequence_of_verbs_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(gc, "_to_rewrite", any_packs)
    steps, runs = (60, 400) if TORTURE else (40, 50)
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=runs, stateful_step_count=steps)
    )
