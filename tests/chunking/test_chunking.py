"""Cutting: nothing lost between the cuts, and the same cuts however the bytes arrive."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfastcdc import FastCDC
from tests.support import count

from palatine.chunking import cut_by_content, cut_fixed, is_rewritten_in_place
from palatine.model.config import Chunking

CUT = Chunking()
MIB = 1 << 20


def reader(data: bytes) -> Callable[[int], bytes]:
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = data[at : at + size]
        at += len(piece)
        return piece

    return read


def cut(data: bytes) -> list[bytes]:
    cutter = cut_by_content(reader(data), CUT.minimum, CUT.average, CUT.maximum)
    return [bytes(chunk) for chunk in cutter]


def cut_at_once(data: bytes) -> list[bytes]:
    cutter = FastCDC(avg_size=CUT.average, min_size=CUT.minimum, max_size=CUT.maximum)
    return [data[one.offset : one.offset + one.length] for one in cutter.cut_buf(data)]


def some_bytes(seed: int, size: int, repeated: bool) -> bytes:
    rng = Random(seed)
    return (
        (rng.randbytes(50_000) * (size // 50_000 + 1))[:size] if repeated else rng.randbytes(size)
    )


@pytest.mark.parametrize("size", [0, 1, 255 << 10, 256 << 10, 3 * MIB, 8 * MIB - 1, 8 * MIB,
                                  8 * MIB + 1, 16 * MIB, 20 * MIB + 7])  # fmt: skip
@pytest.mark.parametrize("repeated", [False, True])
def test_windows_leave_no_mark_on_the_cuts(size: int, repeated: bool) -> None:
    data = some_bytes(size, size, repeated)
    chunks = cut(data)
    assert chunks == cut_at_once(data)
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= CUT.maximum for chunk in chunks)
    assert all(len(chunk) >= CUT.minimum for chunk in chunks[:-1])


@pytest.mark.parametrize("seed", range(count(4, 60)))
def test_random_sizes_are_cut_as_if_at_once(seed: int) -> None:
    rng = Random(seed)
    data = some_bytes(seed, rng.randrange(30 * MIB), rng.random() < 0.3)
    assert cut(data) == cut_at_once(data)


def test_an_insertion_moves_only_the_cuts_near_it() -> None:
    data = Random(1).randbytes(16 * MIB)
    before = cut(data)
    after = cut(data[: 5 * MIB] + b"inserted" + data[5 * MIB :])
    assert len(set(after) - set(before)) <= 3


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 700))
def test_fixed_cuts_lie_at_multiples_in_the_file(size: int, start: int, step: int) -> None:
    data = Random(size).randbytes(size)
    chunks = list(cut_fixed(reader(data), start, step))
    assert b"".join(chunks) == data
    at = start
    for chunk in chunks[:-1]:
        at += len(chunk)
        assert at % step == 0
    assert all(0 < len(chunk) <= step for chunk in chunks)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        (b"kg.db", b"", True),
        (b"anything", b"SQLite format 3\0", True),
        (b"anything", b"SQLite format 3", False),
        (b"anything", b"redb\x1a\x0a\xa9\x0d\x0a", True),
        (b"index.usearch", b"", True),
        (b"anything", b"usearch", True),
        (b"data_level0.bin", b"", True),
        (b"other.bin", b"", False),
        (b"notes.md", b"# SQLite format 3", False),
        (b"\xff\xfe.sqlite3", b"", True),
    ],
)
def test_files_rewritten_in_place_are_known(name: bytes, head: bytes, expected: bool) -> None:
    assert is_rewritten_in_place(name, head) is expected
