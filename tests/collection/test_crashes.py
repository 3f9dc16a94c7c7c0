"""A collector that stops, and calls that fail, at every single change to the repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.collection.choosing import any_packs
from tests.support import TORTURE

from palatine.backends.base import Stat
from palatine.backends.memory import MemoryBackend
from palatine.clock import Clock
from palatine.errors import NoSpace, PalatineError
from palatine.events import SILENT
from palatine.ops import forget, gc
from palatine.ops import restore as restore_op
from palatine.ops.snapshot import Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store import packer
from palatine.store.collect import Collector
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import FakeClock, State, differences, page_edits, state_of
from palatine.testing.faulty import MUTATING, FaultyBackend

SETTINGS = Settings(workers=1, beat_seconds=3600, fence_seconds=5)
ALL = gc.Options(max_unused=0)
LIGHT = gc.Options(max_unused_bytes=0)
"""Not thorough; see `any_packs`."""
MOST = 200


class World:
    """A repository whose snapshots were thinned: bases that nobody needs, garbage, a leftover."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.palace = root / "palace"
        self.palace.mkdir()
        self.states: dict[bytes, dict[bytes, State]] = {}
        self.tries = 0
        self._rng = rng = Random(1)
        base = MemoryBackend()
        Repository.create(base)
        for name in ("kg.db", "vectors.db"):
            (self.palace / name).write_bytes(rng.randbytes(60_000))
        with Repository(base, None, SETTINGS) as repository:
            for number in range(10):
                self.take(repository, number)
            going = repository.list_snapshots()
            named = [one.id.hex() for at, one in enumerate(going) if at % 3]
            forget.execute(repository, forget.plan_named(repository, named, True))
            # a writer that was killed: a session that nobody holds, and a pack that nothing needs
            base.put("sessions/" + "a" * 32, b'{"beat": 0, "snapshot": "snapshots/default/palace/'
                     b'20260501T100000.000000Z-1011121314151617"}')  # fmt: skip
            self.kept = {one.id for one in repository.list_snapshots()}
        self.files = dict(base.files)

    def take(self, repository: Repository, number: int) -> None:
        for name in ("kg.db", "vectors.db"):
            path = self.palace / name
            path.write_bytes(page_edits(self._rng, path.read_bytes(), 2))
        (self.palace / f"note-{number % 4}").write_bytes(self._rng.randbytes(300))
        stored = snapshot(repository, Request(self.palace, "default", "palace", force=True)).stored
        self.states[stored.id] = state_of(self.palace)

    def backend(self) -> FaultyBackend:
        return FaultyBackend(MemoryBackend(dict(self.files)))

    def collect(self, backend: FaultyBackend, options: gc.Options) -> PalatineError | None:
        clock: Clock = FakeClock()
        try:
            with Repository(backend, None, SETTINGS, clock=clock) as repository:
                gc.gc(repository, options)
        except PalatineError as error:
            return error
        return None

    def check(self, backend: FaultyBackend, restores: bool) -> None:
        """Assert that nothing is lost, and that the next gc leaves no garbage."""
        backend.heal()
        with Repository(backend, None, SETTINGS, clock=FakeClock()) as repository:
            report = verify(repository, Depth.DATA)
            assert (report.damage, report.hits) == ([], [])
            assert {one.id for one in repository.list_snapshots()} == self.kept
            if restores:
                self.check_restores(repository)
            gc.gc(repository, ALL)
            assert verify(repository, Depth.DATA).ok
            assert [*backend.list("condemned/")] == [*backend.list("sessions/")] == []
            assert all(entry.stored is None for entry in repository.forgotten.all(SILENT))
            # what was stored anew left its old copy in a pack that was not rewritten: once more
            gc.gc(repository, ALL)
            again = gc.plan(repository, ALL)
            assert (again.removed, again.left) == ((), 0)

    def check_restores(self, repository: Repository) -> None:
        for one in repository.list_snapshots():
            self.tries += 1
            target = self.root / f"restored-{self.tries}"
            restore_op.restore(repository, one, restore_op.Request(target))
            assert differences(self.states[one.id], state_of(target)) == []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(packer, "PACK_TARGET", 50_000)
    monkeypatch.setattr(gc, "_to_rewrite", any_packs)
    return World(tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize(
    "options", [ALL, LIGHT, gc.Options(erase=True)], ids=["all", "light", "erase"]
)
def test_the_machine_may_stop_after_every_change(world: World, options: gc.Options) -> None:
    for changes in range(MOST):
        backend = world.backend()
        backend.crash_after(changes)
        error = world.collect(backend, options)
        crashed = backend.crashed
        assert (error is not None) == crashed
        world.check(backend, TORTURE or changes % 8 == 0)
        if not crashed:
            break
    assert 20 <= changes < MOST


@pytest.mark.parametrize("options", [ALL, LIGHT], ids=["all", "light"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", sorted(MUTATING - {"put", "hold", "beat", "release"}))
def test_every_call_may_fail_before_or_after_it_took_effect(
    world: World, kind: str, after: bool, options: gc.Options
) -> None:
    for nth in range(1, MOST, 1 if TORTURE else 3):
        backend = world.backend()
        backend.fail(kind, nth, NoSpace("full", "free some space"), after=after)
        error = world.collect(backend, options)
        assert error is None or isinstance(error, NoSpace)
        world.check(backend, TORTURE)
        if backend.calls[kind] < nth:
            break


def test_the_order_of_a_collection(world: World) -> None:
    """Condemn, fence, collect what is forgotten, write packs, index, delete in opposite order."""
    order: list[str] = []
    backend = world.backend()
    backend.before_change = lambda kind, name: order.append(f"{kind} {name.split('/')[0]}")
    assert world.collect(backend, ALL) is None
    rewriting = order[len(order) - order[::-1].index("create condemned") - 1 :]
    distinct = [name for at, name in enumerate(rewriting) if not at or rewriting[at - 1] != name]
    assert distinct == [
        "create condemned", "commit packs", "create index", "delete index", "delete packs",
        "delete condemned",
    ]  # fmt: skip
    assert order.index("create snapshots") < order.index("delete packs")
    assert order.index("create forgotten") < order.index("delete packs")


class _Listed(FaultyBackend):
    """Notes what is listed, in order."""

    def __init__(self, inner: MemoryBackend) -> None:
        super().__init__(inner)
        self.listed: list[str] = []

    def list(self, prefix: str) -> Iterator[Stat]:
        self.listed.append(prefix)
        yield from super().list(prefix)


def test_a_collector_lists_sessions_snapshots_condemned_index_packs(world: World) -> None:
    """In this order after it has condemned; `tests/protocol` shows what another one loses."""
    backend = _Listed(MemoryBackend(dict(world.files)))
    with Repository(backend, None, SETTINGS, clock=FakeClock()) as repository:
        collector = Collector(repository)
        names = [one.row.name for one in collector.look().accounts]
        backend.listed.clear()
        collector.condemn(names[:1])
        collector.wait()
        collector.look()
    distinct = [name for at, name in enumerate(backend.listed) if name != backend.listed[at - 1]]
    assert [one for one in distinct if one != "tags/"] == [
        "condemned/", "sessions/", "snapshots/", "condemned/", "index/", "packs/",
    ]  # fmt: skip
