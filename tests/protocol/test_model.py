"""The protocol loses nothing in any order of its steps; each variant of it does, and is found."""

from __future__ import annotations

import pytest
from tests.protocol.model import VARIANTS, Bounds, Model, search
from tests.support import TORTURE

SHORT = {
    Bounds(writers=2, collectors=1, guess=2): 175_580,
    Bounds(writers=0, collectors=2, forgets=2): 48_973,
    Bounds(writers=1, collectors=1, undelete=True): 43_378,
}
FULL = {
    Bounds(writers=1, collectors=2): 711_835,
    Bounds(writers=1, collectors=2, guess=2): 1_303_532,
    Bounds(writers=1, collectors=2, undelete=True): 11_631_139,
    Bounds(writers=2, collectors=2, forgets=0): 3_718_451,
    Bounds(writers=1, collectors=1, undelete=True, reindex=True): 374_294,
    Bounds(writers=2, collectors=2): 27_341_341,  # 3.5 minutes and 3.4 GB
}
"""Bounds, and how many states there are: a model that looks at fewer than it did looks away."""

SHOWS = (
    Bounds(writers=1, collectors=1),
    Bounds(writers=1, collectors=1, undelete=True),
    Bounds(writers=1, collectors=1, reindex=True),
    Bounds(writers=1, collectors=2),
)


@pytest.mark.torture
@pytest.mark.parametrize("bounds", [*SHORT, *(FULL if TORTURE else ())])
def test_the_protocol_loses_nothing(bounds: Bounds) -> None:
    searched = search(Model(bounds))
    assert searched.bad is None
    assert searched.states == {**SHORT, **FULL}[bounds]


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_left_out_of_the_protocol_loses_something(variant: str) -> None:
    found = (search(Model(bounds, variant), limit=1_000_000) for bounds in SHOWS)
    assert any(searched.bad is not None for searched in found)


def test_the_search_tells_a_bad_state() -> None:
    model = Model(Bounds())
    state = bytearray(model.first())
    assert model.is_whole(state)
    state[0] = 0b10  # the base is not listed any more: A is lost, and B with it
    assert not model.is_whole(state)
