"""Presence and the shortest chain, against a slow model that tries everything."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import count

from palatine.ids import Kind, ObjectId
from palatine.model.pack import HEADER_SIZE, Frame, FrameKind, Listing, Member
from palatine.store.catalog import Catalog, Copy
from palatine.store.lineage import DEPTH_MAX, plan, skip_base
from palatine.store.resolve import CHAIN_MAX, Chain, Presence, Remembered, resolve


def object_id(number: int) -> ObjectId:
    return number.to_bytes(32, "big")


def pack_of(number: int, copies: list[tuple[int, int | None, int]]) -> Listing:
    """Return a pack of one frame each for (object, its base or None, its ordinal)."""
    frames = []
    for at, (one, base, ordinal) in enumerate(copies):
        kind = FrameKind.PLAIN if base is None else FrameKind.DELTA
        below = b"" if base is None else object_id(base)
        member = Member(Kind.CHUNK, object_id(one), 100)
        frames.append(Frame(kind, HEADER_SIZE + 10 * at, 10, (member,), below, ordinal))
    return Listing(bytes([number]) * 32, HEADER_SIZE + 10 * len(copies) + 100, tuple(frames))


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    made = Catalog(None)
    yield made
    made.close()


def everything(copy: Copy) -> bool:
    return True


def test_two_copies_that_are_each_others_base_are_no_dead_end(catalog: Catalog) -> None:
    """A on B here, B on A there, and a full copy of each: what a pull leaves behind."""
    catalog.add([pack_of(1, [(1, None, 0), (2, 1, 1)]), pack_of(2, [(2, None, 0), (1, 2, 1)])], "")
    for one in (1, 2):
        chain = resolve(catalog, object_id(one), everything)
        assert chain is not None
        assert len(chain) == 1


def test_a_circle_without_a_full_copy_is_absent(catalog: Catalog) -> None:
    catalog.add([pack_of(1, [(1, 2, 1)]), pack_of(2, [(2, 1, 1)])], "")
    assert resolve(catalog, object_id(1), everything) is None
    assert resolve(catalog, object_id(2), everything) is None


def test_a_circle_beside_a_way_out_is_left(catalog: Catalog) -> None:
    catalog.add([pack_of(1, [(1, 2, 1), (2, 1, 1), (3, None, 0)]), pack_of(2, [(2, 3, 1)])], "")
    chain = resolve(catalog, object_id(1), everything)
    assert chain is not None
    assert [one for one, _ in chain] == [object_id(1), object_id(2), object_id(3)]


def test_an_object_based_on_itself_is_absent(catalog: Catalog) -> None:
    catalog.add([pack_of(1, [(1, 1, 1)])], "")
    assert resolve(catalog, object_id(1), everything) is None


def test_an_object_whose_base_is_absent_is_absent(catalog: Catalog) -> None:
    catalog.add([pack_of(1, [(1, 2, 1)]), pack_of(2, [(2, None, 0)])], "")
    assert resolve(catalog, object_id(1), everything) is not None
    assert resolve(catalog, object_id(1), lambda copy: copy.pack != 2) is None


def test_chains_are_followed_to_their_bound_and_not_for_ever(catalog: Catalog) -> None:
    longest = CHAIN_MAX - 1
    catalog.add([pack_of(1, [(0, None, 0), *((n, n - 1, n) for n in range(1, 1000))])], "")
    chain = resolve(catalog, object_id(longest), everything)
    assert chain is not None
    assert len(chain) == longest + 1
    assert resolve(catalog, object_id(999), everything) is None
    present = Presence(catalog, everything)
    assert [n for n in range(1000) if object_id(n) in present] == [*range(CHAIN_MAX)]
    assert object_id(CHAIN_MAX) not in Presence(catalog, everything)


@given(st.integers(0, 10**9))
def test_the_shortest_chain_is_found_among_all(seed: int) -> None:
    rng = Random(seed)
    objects = rng.randint(1, 12)
    copies = [
        (rng.randrange(objects), None if rng.random() < 0.2 else rng.randrange(objects), 1)
        for _ in range(rng.randint(1, 30))
    ]
    packs = rng.randint(1, 4)
    spread = [[one for one in copies if hash((one, seed)) % packs == n] for n in range(packs)]
    usable = {n + 1 for n in range(packs) if rng.random() < 0.8}
    depth: dict[int, int] = {}
    for _ in range(objects + 1):
        for n, held in enumerate(spread):
            for one, base, _ in held:
                if n + 1 in usable and (base is None or base in depth):
                    found = 0 if base is None else depth[base] + 1
                    depth[one] = min(found, depth.get(one, found))
    catalog = Catalog(None)
    try:
        catalog.add([pack_of(n + 1, held) for n, held in enumerate(spread)], "")
        for one in range(objects):
            chain = resolve(catalog, object_id(one), lambda copy: copy.pack in usable)
            assert (None if chain is None else len(chain) - 1) == depth.get(one)
            assert chain is None or is_sound(chain, object_id(one), usable)
        remembered = Remembered(catalog)
        remembered.ask(object_id(rng.randrange(objects)) for _ in range(rng.randint(0, 4)))
        for known in (catalog, remembered):
            present = Presence(known, lambda copy: copy.pack in usable)
            for one in rng.choices(range(objects), k=3 * objects):
                if rng.random() < 0.3:
                    some = rng.choices(range(objects), k=3)
                    remembered.ask(map(object_id, some), settled=present.found)
                    assert all(
                        object_id(n) in remembered for n in some if catalog.copies(object_id(n))
                    )
                assert (object_id(one) in present) == (one in depth)
                assert object_id(one) not in present.found or one in depth
    finally:
        catalog.close()


def is_sound(chain: Chain, wanted: ObjectId, usable: set[int]) -> bool:
    ids = [one for one, _ in chain]
    bases = [copy.base for _, copy in chain]
    return (
        ids[0] == wanted
        and ids[1:] == bases[:-1]
        and chain[-1][1].frame != FrameKind.DELTA
        and all(copy.pack in usable for _, copy in chain)
    )


def digits(number: int) -> int:
    found = 0
    while number:
        number //= 8
        found += 1
    return found


@given(st.integers(1, 10**9))
def test_a_skip_base_drops_the_lowest_digit_of_base_8(ordinal: int) -> None:
    base = skip_base(ordinal)
    zeros = 0
    while ordinal % 8 ** (zeros + 1) == 0:
        zeros += 1
    assert base == ordinal - 8**zeros
    depth, at = 0, ordinal
    while at:
        at, depth = skip_base(at), depth + 1
    assert depth <= 7 * digits(ordinal)


def test_the_base_of_every_version_lies_on_its_predecessors_chain(catalog: Catalog) -> None:
    catalog.add([pack_of(1, [(0, None, 0)])], "")
    deepest = 0
    for version in range(1, count(600, 5000)):
        before = resolve(catalog, object_id(version - 1), everything)
        assert before is not None
        line = plan(before)
        assert line is not None
        assert line.ordinal == version
        assert line.base == object_id(skip_base(version))
        assert line.base in [one for one, _ in before]
        listing = pack_of(2, [(version, int.from_bytes(line.base, "big"), line.ordinal)])
        name = version.to_bytes(32, "little")
        catalog.add([Listing(name, listing.size, listing.frames)], "")
        chain = resolve(catalog, object_id(version), everything)
        assert chain is not None
        deepest = max(deepest, len(chain) - 1)
        assert len(chain) - 1 <= 7 * digits(version)
    assert deepest <= 7 * digits(5000)


def test_a_chain_that_grew_too_long_begins_anew(catalog: Catalog) -> None:
    """Only another writer makes such chains; a version on top of one goes in full."""
    chain = [(object_id(n), Copy(1, n, 1, 0, 9, Kind.CHUNK, FrameKind.DELTA, b"", 99, n))
             for n in range(DEPTH_MAX + 1)]  # fmt: skip
    assert plan(chain) is None


def test_after_a_jump_in_the_chain_the_nearest_base_at_or_below_is_taken(catalog: Catalog) -> None:
    """A full copy of version 5 ends the chain of version 8 before ordinal 0 is reached."""
    catalog.add([pack_of(1, [(5, None, 0), (6, 5, 6), (7, 6, 7)])], "")
    before = resolve(catalog, object_id(7), everything)
    assert before is not None
    line = plan(before)
    assert line is not None
    assert line.base in [one for one, _ in before]
