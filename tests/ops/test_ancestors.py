"""The nearest common ancestor, against the slow and obvious way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palatine.ids import ObjectId
from palatine.model.snapshot import Snapshot, Stats
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.ops.ancestors import ancestors, common_ancestor
from palatine.store.snapshots import Stored

_ROOT = Entry(b"", EntryKind.DIRECTORY, 0o700, 0, 0, parts=(Part(ObjectId(bytes(32)), 0),))


def graph(*parents: tuple[int, ...]) -> list[Stored]:
    """Return snapshots, numbered in order of time, that have these parents."""
    ids = [ObjectId(bytes([n]) * 32) for n in range(len(parents))]
    owner = Owner(0, "", 0, "")
    return [
        Stored(
            ids[n],
            f"{n:03}",
            Snapshot(
                "default", "p", n, n, "h", "u", b"/p", tuple(ids[one] for one in of), "", "generic",
                owner, _ROOT, (), Stats(0, 0, 0, 0, 0), (), (), "palatine",
            ),
            (),
        )
        for n, of in enumerate(parents)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parents", "one", "other", "expected"),
    [
        ([()], 0, 0, 0),
        ([(), ()], 0, 1, None),
        ([(), (0,), (1,)], 2, 1, 1),
        ([(), (0,), (0,), (1,), (2,)], 3, 4, 0),
        # 3 merged 2 into 1: what theirs does later is measured against 2
        ([(), (0,), (0,), (1, 2), (3,), (2,)], 4, 5, 2),
        # merged both ways: the newest of two
        ([(), (0,), (0,), (1, 2), (2, 1), (3,), (4,)], 5, 6, 2),
    ],
)
def test_the_nearest(
    parents: list[tuple[int, ...]], one: int, other: int, expected: int | None
) -> None:
    known = graph(*parents)
    found = common_ancestor(known, known[one], known[other])
    assert found == (None if expected is None else known[expected])


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=2, unique=True), min_size=1, max_size=10),
    st.data(),
)
def test_no_other_common_ancestor_comes_from_it(
    links: list[list[int]], data: st.DataObject
) -> None:
    known = graph(*(tuple(at for at in of if at < n) for n, of in enumerate(links)))
    one, other = (data.draw(st.sampled_from(known)) for _ in range(2))
    both = ancestors(known, one).keys() & ancestors(known, other).keys()
    found = common_ancestor(known, one, other)
    assert (found is None) == (not both)
    if found is not None:
        assert found.id in both
        below = [at for at in known if at.id in both and found.id in ancestors(known, at)]
        assert below == [found]


def test_a_parent_that_is_not_in_the_repository_ends_the_line() -> None:
    known = graph((), (0,), (0,))
    assert common_ancestor(known[1:], known[1], known[2]) is None
