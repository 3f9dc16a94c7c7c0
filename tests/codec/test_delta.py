"""Deltas give back what they were made of, stay small, and break only loudly."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import BLAKE3, TORTURE, count

from palatine.codec import delta
from palatine.errors import Malformed
from palatine.ids import Kind
from palatine.testing.builders import page_edits

BASE_ID = bytes(range(32))
KIB = 1024
SIZES = [4, 5, 8, 12, 16, 31, 64, 100, 128, 256, 512, 777, 1024, 1536, 2048, 3072, 4096]
DICTIONARY_MAGIC = bytes.fromhex("37a430ec")


def applied(payload: bytes, base: bytes) -> bytes:
    target = bytearray(base)
    delta.apply(payload, target)
    return bytes(target)


def granule_of(payload: bytes) -> int:
    return delta.read_head(payload).granule


def edited_everywhere(base: bytes, step: int) -> bytes:
    data = bytearray(base)
    for at in range(step // 2, len(data), step):
        data[at] ^= 0x55
    return bytes(data)


@pytest.mark.parametrize("kib", range(4, 4097, 4) if TORTURE else SIZES)
def test_one_byte_edited_per_64_kib_costs_little_at_every_size(kib: int) -> None:
    base = Random(kib).randbytes(kib * KIB)
    data = edited_everywhere(base, min(64 * KIB, len(base)))
    payload = delta.encode(data, base, BASE_ID, 1)
    assert applied(payload, base) == data
    pages = -(-len(data) // (64 * KIB))
    assert len(payload) < 400 + 200 * pages


@pytest.mark.parametrize("kib", range(64, 4097, 64) if TORTURE else [64, 777, 1536, 2048, 4096])
def test_bytes_that_moved_cost_little_at_every_size(kib: int) -> None:
    """No page is equal: the whole base is the dictionary."""
    base = Random(kib).randbytes(kib * KIB)
    data = b"inserted at the start" + edited_everywhere(base, 64 * KIB)
    payload = delta.encode(data, base, BASE_ID, 1)
    assert granule_of(payload) == 0
    assert applied(payload, base) == data
    assert len(payload) < 64 * KIB


def test_the_fall_from_level_3s_window_is_not_there() -> None:
    """1.5 kB edited in 1.5 MiB once took 526 kB, because base and data exceed 2 MiB."""
    base = Random(1).randbytes(1536 * KIB)
    data = bytearray(b"x" + base)
    for at in range(0, len(data), 1024):
        data[at] ^= 1
    payload = delta.encode(bytes(data), base, BASE_ID, 1)
    assert applied(payload, base) == data
    assert len(payload) < 64 * KIB


@pytest.mark.parametrize("size", [4 * KIB, 100 * KIB, 1536 * KIB])
@pytest.mark.parametrize("moved", [False, True])
def test_a_base_may_begin_with_the_magic_of_a_trained_dictionary(size: int, moved: bool) -> None:
    base = DICTIONARY_MAGIC + Random(size).randbytes(size - 4)
    data = edited_everywhere(base, size)
    if moved:
        data = b"moved" + data
    payload = delta.encode(data, base, BASE_ID, 1)
    assert applied(payload, base) == data
    assert len(payload) < 8 * KIB


def test_changed_pages_that_begin_with_the_magic_are_no_trained_dictionary() -> None:
    base = (DICTIONARY_MAGIC + bytes(4092)) * 64
    data = base[:4096] + Random(1).randbytes(4096) + base[8192:]
    payload = delta.encode(data, base, BASE_ID, 1)
    assert granule_of(payload) == delta.PAGE
    assert applied(payload, base) == data


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(0, 300_000),
    change=st.integers(-300_000, 300_000),
    edits=st.integers(0, 40),
    moved=st.booleans(),
)
def test_growing_shrinking_and_moving_all_come_back(
    seed: int, size: int, change: int, edits: int, moved: bool
) -> None:
    rng = Random(seed)
    base = rng.randbytes(size)
    data = page_edits(rng, base, edits) if size > 16 else base
    data = data[: max(0, size + change)] + rng.randbytes(max(0, change))
    if moved:
        data = rng.randbytes(17) + data
    payload = delta.encode(data, base, BASE_ID, 3)
    assert applied(payload, base) == data
    head = delta.read_head(payload)
    assert (head.base, head.ordinal, head.length) == (BASE_ID, 3, len(data))


@given(st.binary(max_size=20_000), st.binary(max_size=20_000))
def test_any_bytes_onto_any_base_come_back(data: bytes, base: bytes) -> None:
    assert applied(delta.encode(data, base, BASE_ID, 0), base) == data


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(0, 40 * 512), st.integers(9, 16))
def test_pages_that_differ_are_found_by_comparing_them(
    edits: list[int], length: int, power: int
) -> None:
    granule = 1 << power
    base = Random(5).randbytes(40 * 512)
    data = bytearray(base[:length])
    for at in edits:
        if at * 512 < len(data):
            data[at * 512] ^= 1
    slow = [
        page
        for page in range(-(-len(data) // granule))
        if data[page * granule : (page + 1) * granule]
        != base[page * granule : min((page + 1) * granule, len(data))]
    ]
    assert delta.changed_pages(bytes(data), base, granule) == slow


@pytest.mark.parametrize("moved", [False, True])
def test_a_wrong_base_is_told_by_the_id_alone(moved: bool) -> None:
    rng = Random(9)
    base = rng.randbytes(200 * KIB)
    data = (b"moved" if moved else b"") + edited_everywhere(base, 64 * KIB)
    wrong = page_edits(rng, base, 5)
    payload = delta.encode(data, base, BASE_ID, 1)
    other = applied(payload, wrong)
    assert other != data
    assert BLAKE3.object_id(Kind.CHUNK, other) != BLAKE3.object_id(Kind.CHUNK, data)


@pytest.mark.parametrize("moved", [False, True])
def test_no_flipped_or_missing_byte_breaks_the_decoder(moved: bool) -> None:
    """Malformed, or bytes that the id will refuse: nothing else is raised, nothing hangs."""
    rng = Random(3)
    base = rng.randbytes(40 * KIB)
    data = (b"moved" if moved else b"") + page_edits(rng, base, 3)
    payload = delta.encode(data, base, BASE_ID, 1)
    for at in range(min(len(payload), count(400, 100_000))):
        for mask in range(1, 256) if TORTURE else (1, 0x10, 0xFF):
            bad = bytearray(payload)
            bad[at] ^= mask
            try:
                applied(bytes(bad), base)
            except Malformed:
                continue
    for length in range(len(payload)):
        with pytest.raises(Malformed):
            applied(payload[:length], base)
    with pytest.raises(Malformed):
        applied(payload + b"\0", base)


HEAD = struct.Struct("<32sQII")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(47),
        HEAD.pack(BASE_ID, 1, (16 << 20) + 1, 4096),
        HEAD.pack(BASE_ID, 1, 2**32 - 1, 0),
        HEAD.pack(BASE_ID, 1, 100, 1),
        HEAD.pack(BASE_ID, 1, 100, 2**31),
        HEAD.pack(BASE_ID, 1, 100, 256),
        HEAD.pack(BASE_ID, 1, 100, 4096) + b"\x02",
        HEAD.pack(BASE_ID, 1, 100, 4096) + b"\x01",
        HEAD.pack(BASE_ID, 1, 100, 4096),
        HEAD.pack(BASE_ID, 1, 100, 4096) + b"\0trailing",
        HEAD.pack(BASE_ID, 1, 16 << 20, 512) + b"\xff" * 4096,
    ],
)
def test_impossible_deltas_are_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        applied(payload, bytes(100))


@pytest.mark.parametrize("granule", [512, 1024, 8192, 65536])
def test_deltas_of_other_granules_are_read(granule: int) -> None:
    """Other writers may choose another page; a reader takes each the format allows."""
    from palatine.codec.compress import compress_onto

    base = Random(4).randbytes(200_000)
    data = edited_everywhere(base, 50_000)
    pages = delta.changed_pages(data, base, granule)
    count_of_pages = -(-len(data) // granule)
    bitmap = bytearray(-(-count_of_pages // 8))
    for page in pages:
        bitmap[page // 8] |= 1 << page % 8
    new, old = (
        b"".join(side[page * granule : (page + 1) * granule] for page in pages)
        for side in (data, base)
    )
    head = HEAD.pack(BASE_ID, 1, len(data), granule)
    assert applied(head + bytes(bitmap) + compress_onto(new, old), base) == data
