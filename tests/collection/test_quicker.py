"""Another collector of the same host deletes a pack while this one compares it with the catalog."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.sync.aid import change, contents, opened

from palatine.model.pack import Listing
from palatine.store.collect import Collector


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
