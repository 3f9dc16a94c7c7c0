"""A machine that stops, and calls that fail, at every single change to the repository."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.support import SETTINGS, memory_repository

from palatine.backends.memory import MemoryBackend
from palatine.errors import NoSpace, PalatineError
from palatine.ops import restore as restore_op
from palatine.ops.snapshot import Done, Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store import packer
from palatine.store.repository import Repository
from palatine.testing.builders import State, differences, page_edits, state_of
from palatine.testing.faulty import MUTATING, FaultyBackend

CHANGES_AT_MOST = 200


class World:
    """A palace, what a repository held of it before, and how to try again after a fault."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.palace = root / "palace"
        self.palace.mkdir()
        self.tries = 0
        rng = Random(1)
        for number in range(4):
            (self.palace / f"{number}.db").write_bytes(rng.randbytes(150_000))
        (self.palace / "note").write_bytes(b"first")
        base = MemoryBackend()
        with memory_repository(base) as repository:
            self.first = self.take(repository).stored
        self.before = state_of(self.palace)
        self.files = dict(base.files)
        data = (self.palace / "0.db").read_bytes()
        (self.palace / "0.db").write_bytes(page_edits(rng, data, 2))
        (self.palace / "1.db").write_bytes(rng.randbytes(150_000))
        (self.palace / "note").write_bytes(b"second")
        self.after = state_of(self.palace)

    def take(self, repository: Repository) -> Done:
        return snapshot(repository, Request(self.palace, "default", "alpha", tags=("kept",)))

    def backend(self) -> FaultyBackend:
        return FaultyBackend(MemoryBackend(dict(self.files)))

    def attempt(self, backend: FaultyBackend) -> PalatineError | None:
        """Snapshot with whatever faults were scripted; return the error."""
        try:
            with Repository(backend, None, SETTINGS) as repository:
                self.take(repository)
        except PalatineError as error:
            return error
        return None

    def check(self, backend: FaultyBackend) -> None:
        """Assert that nothing was lost, and that a healed repository goes on."""
        backend.heal()
        with memory_repository(backend) as repository:
            report = verify(repository, Depth.DATA)
            assert (report.damage, report.hits) == ([], [])
            self.check_restores(repository, 0, self.before)
            self.take(repository)
            self.check_restores(repository, -1, self.after)
            assert repository.list_snapshots()[-1].tags == ("kept",)
            assert verify(repository, Depth.DATA).ok

    def check_restores(
        self, repository: Repository, which: int, expected: dict[bytes, State]
    ) -> None:
        self.tries += 1
        target = self.root / f"restored-{self.tries}"
        stored = repository.list_snapshots()[which]
        restore_op.restore(repository, stored, restore_op.Request(target))
        assert differences(expected, state_of(target)) == []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(packer, "PACK_TARGET", 100_000)
    return World(tmp_path)


def test_the_machine_may_stop_after_every_change(world: World) -> None:
    for changes in range(CHANGES_AT_MOST):
        backend = world.backend()
        backend.crash_after(changes)
        error = world.attempt(backend)
        crashed = backend.crashed
        assert (error is not None) == crashed
        world.check(backend)
        if not crashed:
            break
    assert 6 <= changes < CHANGES_AT_MOST


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", sorted(MUTATING | {"upload", "write", "list", "get", "read"}))
def test_every_call_may_fail_before_or_after_it_took_effect(
    world: World, kind: str, after: bool
) -> None:
    for nth in range(1, CHANGES_AT_MOST):
        backend = world.backend()
        backend.fail(kind, nth, NoSpace("full", "free some space"), after=after)
        error = world.attempt(backend)
        assert error is None or isinstance(error, PalatineError)
        if kind in ("hold", "commit", "create") and nth == 1:
            assert isinstance(error, NoSpace)
        world.check(backend)
        if backend.calls[kind] < nth:
            break


def test_a_full_disk_stops_the_snapshot_and_nothing_else(world: World) -> None:
    backend = world.backend()
    for kind in ("write", "commit", "create", "put"):
        backend.fail(kind, 1, NoSpace("full", "free some space"), forever=True)
    error = world.attempt(backend)
    assert isinstance(error, NoSpace)
    assert error.hint
    assert list(backend.list("sessions/")) == []
    world.check(backend)


def test_the_order_of_writing_is_packs_then_index_then_snapshot(world: World) -> None:
    order: list[str] = []
    backend = world.backend()
    backend.before_change = lambda kind, name: order.append(name.split("/")[0])
    assert world.attempt(backend) is None
    distinct = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert distinct == ["sessions", "packs", "index", "tags", "snapshots", "sessions"]
