"""Copying between two repositories: compared with a dictionary of what there was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from tests.support import count
from tests.sync.aid import change, contents, copy, copy_all, copy_somehow, opened

from palatine.ids import Kind
from palatine.model.pack import FrameKind
from palatine.store.collect import Collector
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Given, Order
from palatine.sync.supply import LocalSupplier
from palatine.testing.builders import differences, state_of


def test_a_copy_restores_to_the_same(tmp_path: Path) -> None:
    change(tmp_path / "alpha", Random(1))
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        done = source.snapshot(tmp_path / "alpha", tags=["keep"])
        received = copy_all(source, target)
        assert received.done == (done.stored.id,)
        (there,) = target.log()
        assert (there.id, there.tags) == (done.stored.id, ("keep",))
        assert there.key != done.stored.key
        target.restore("alpha", tmp_path / "restored")
        assert differences(state_of(tmp_path / "alpha"), state_of(tmp_path / "restored")) == []
        assert target.verify(data=True).ok


def test_nothing_to_do(tmp_path: Path) -> None:
    change(tmp_path / "alpha", Random(2))
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        source.snapshot(tmp_path / "alpha")
        copy_all(source, target)
        before = sorted((tmp_path / "b" / "repository").rglob("*"))
        assert copy_all(source, target).done == ()
        assert sorted((tmp_path / "b" / "repository").rglob("*")) == before


def test_deltas_travel_as_deltas(tmp_path: Path) -> None:
    rng = Random(3)
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for _ in range(12):
            change(tmp_path / "alpha", rng)
            source.snapshot(tmp_path / "alpha", force=True)
        first = copy_all(source, target)
        stored = sum(source.store.index.listed().values())
        assert len(first.done) == 12
        assert first.added < 1.2 * stored
        change(tmp_path / "alpha", rng)
        done = source.snapshot(tmp_path / "alpha", force=True)
        again = copy_all(source, target)
        assert again.added < 1.2 * done.stored.snapshot.stats.added
        frames = {copy.frame for _, copy in target.store.catalog.all_copies()}
        assert FrameKind.DELTA in frames
        assert contents(target.store) == contents(source.store)


def test_bases_that_no_snapshot_needs_come_along(tmp_path: Path) -> None:
    """Thinned: most versions are gone, and those that stayed stand on them."""
    rng = Random(4)
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for _ in range(14):
            change(tmp_path / "alpha", rng)
            source.snapshot(tmp_path / "alpha", force=True)
        for stored in [one for at, one in enumerate(source.log()) if at % 5]:
            source.forget(stored.id.hex())
        first = copy_all(source, target)
        assert len(first.done) == 3
        assert first.added < 1.2 * sum(source.store.index.listed().values())
        assert contents(target.store) == contents(source.store)


def test_what_was_forgotten_does_not_come_back(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for seed in (5, 6):
            change(tmp_path / "alpha", Random(seed))
            source.snapshot(tmp_path / "alpha", force=True)
        copy_all(source, target)
        gone = target.log()[1]
        target.forget(gone.id.hex())
        assert copy_all(source, target).done == ()
        target.gc()
        assert copy_all(source, target).done == ()
        assert copy_all(source, target, named=True).done == (gone.id,)
        assert contents(target.store) == contents(source.store)


def test_tags_follow_a_snapshot_that_is_there(tmp_path: Path) -> None:
    change(tmp_path / "alpha", Random(7))
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        source.snapshot(tmp_path / "alpha")
        copy_all(source, target)
        source.tag("alpha", "late")
        target.tag("alpha", "own")
        copy_all(source, target)
        assert target.log()[0].tags == ("late", "own")
        assert source.log()[0].tags == ("late",)


def test_what_is_condemned_counts_for_nothing(tmp_path: Path) -> None:
    """A collector has looked when what was forgotten comes again: it deletes what it condemned."""
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for seed in (1, 2):
            change(tmp_path / "alpha", Random(seed))
            source.snapshot(tmp_path / "alpha", force=True)
        copy_all(source, target)
        for one in target.log():
            target.forget(one.id.hex(), even_last=True)
        collector = Collector(target.store)
        collector.condemn(target.store.index.listed())
        collector.wait()
        collector.look()
        with opened(tmp_path / "b") as beside:
            assert len(copy_all(source, beside, named=True).done) == 2
        collector.rescue()
        collector.retire(collector.mine)
        assert contents(target.store) == contents(source.store)
        assert target.verify(data=True).ok


def test_a_tree_that_is_there_says_nothing_of_what_is_below(tmp_path: Path) -> None:
    """All trees came before, but no chunk did."""

    class Trees(LocalSupplier):
        def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
            return super().objects([one for one in orders if one.kind == Kind.TREE])

    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for seed in (1, 2):
            change(tmp_path / "alpha", Random(seed))
            source.snapshot(tmp_path / "alpha", force=True)
        first = copy(Trees(source.store), LocalReceiver(target.store))
        assert (first.done, len(first.failed)) == ((), 2)
        assert first.objects > 0
        assert len(copy_all(source, target).done) == 2
        assert contents(target.store) == contents(source.store)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(count(4, 200)))
def test_any_history(tmp_path: Path, seed: int) -> None:
    """Snapshots on both sides, forgetting, collecting and copying, in any order."""
    rng = Random(seed)
    known: dict[bytes, dict[bytes, bytes]] = {}
    with opened(tmp_path / "a") as a, opened(tmp_path / "b") as b:
        alive: dict[int, set[bytes]] = {0: set(), 1: set()}
        lost: dict[int, set[bytes]] = {0: set(), 1: set()}
        both = (a, b)
        for _ in range(12):
            side = rng.randrange(2)
            here, there = both[side], both[1 - side]
            deed = rng.random()
            if deed < 0.5:
                palace = tmp_path / f"palace{rng.randrange(2)}"
                change(palace, rng)
                stored = here.snapshot(palace, force=True).stored
                alive[side].add(stored.id)
                known |= contents(here.store, {stored.id})
            elif deed < 0.65 and len(alive[side]) > 1:
                one = rng.choice(sorted(alive[side]))
                here.forget(one.hex(), even_last=True)
                alive[side].discard(one)
                lost[side].add(one)
            elif deed < 0.75 and alive[side]:
                here.gc()
            else:
                received = copy_somehow(rng, here, there)
                assert {*received.done} == alive[side] - alive[1 - side] - lost[1 - side]
                alive[1 - side] |= {*received.done}
            for at in (0, 1):
                assert contents(both[at].store) == {one: known[one] for one in alive[at]}
        assert a.verify(data=True).ok
        assert b.verify(data=True).ok
