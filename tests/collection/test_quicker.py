"""Another collector of the same host has the same packs and catalog, and is quicker."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.support import count
from tests.sync.aid import change, contents, opened

from palatine.model.pack import Listing
from palatine.store.carrier import Carrier
from palatine.store.collect import Collector
from palatine.store.prospect import Prospect
from palatine.store.transfer import Transfer

MOMENTS: dict[str, type] = {
    "left_without_base": Prospect,
    "_gather": Transfer,
    "_copy_run": Carrier,
    "_check": Transfer,
}
"""Steps of a transfer, and whose they are."""


def test_a_pack_that_goes_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        for seed in (1, 2):
            change(tmp_path / "alpha", Random(seed))
            one.snapshot(tmp_path / "alpha", force=True)
        truth = contents(one.store)
        slow, quick = Collector(one.store), Collector(other.store)
        slow.condemn(one.store.index.listed())
        slow.wait()
        agrees = one.store.catalog.agrees

        def overtaken(number: int, listing: Listing) -> bool:
            monkeypatch.undo()
            quick.condemn(())
            quick.wait()
            quick.look()
            quick.rescue()
            quick.retire(quick.mine)
            return agrees(number, listing)

        monkeypatch.setattr(one.store.catalog, "agrees", overtaken)
        slow.look()
        assert contents(one.store) == truth


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seed", [0, 2, 6, *range(10, count(10, 60))])
def test_what_another_has_rescued_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, moment: str
) -> None:
    rng = Random(seed)
    with opened(tmp_path) as one, opened(tmp_path) as other:
        for _ in range(6):
            change(tmp_path / "alpha", rng)
            one.snapshot(tmp_path / "alpha", force=True)
        for snapshot in rng.sample(one.log(), 3):
            one.forget(snapshot.id.hex(), even_last=True)
        truth = contents(one.store)
        slow, quick = Collector(one.store), Collector(other.store)
        packs = sorted(one.store.index.listed())
        slow.condemn(rng.sample(packs, rng.randrange(1, len(packs) + 1)))
        slow.wait()
        slow.look()
        room = MOMENTS[moment]
        step = getattr(room, moment)

        def overtaken(one_of: object, *arguments: object) -> object:
            monkeypatch.undo()
            quick.condemn(())
            quick.wait()
            quick.look()
            quick.rescue(thorough=rng.random() < 0.5)
            return step(one_of, *arguments)

        monkeypatch.setattr(room, moment, overtaken)
        slow.rescue(thorough=rng.random() < 0.5)
        slow.retire(slow.mine)
        quick.look()
        quick.retire(quick.mine)
        assert contents(one.store) == truth
        assert one.verify(data=True).ok
