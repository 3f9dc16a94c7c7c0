"""zstd: what goes in comes out, and nothing is allocated on a frame's word alone."""

from __future__ import annotations

import threading
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from palatine.codec.compress import (
    compress,
    compress_onto,
    content_size,
    decompress,
    decompress_onto,
)
from palatine.errors import Malformed


@given(st.binary(max_size=100_000))
def test_what_goes_in_comes_out(data: bytes) -> None:
    frame = compress(data)
    assert decompress(frame, len(data)) == data
    assert content_size(frame) == len(data)


@given(st.binary(max_size=50_000), st.binary(max_size=50_000))
def test_what_goes_in_onto_a_base_comes_out(data: bytes, base: bytes) -> None:
    assert decompress_onto(compress_onto(data, base), base, len(data)) == data


def test_any_buffer_is_taken() -> None:
    data = bytes(1000)
    for buffer in (bytearray(data), memoryview(data), memoryview(b"x" + data)[1:]):
        assert decompress(compress(buffer), 1000) == data


def test_every_thread_may_compress() -> None:
    failed: list[int] = []

    def work(seed: int) -> None:
        for _ in range(50):
            data = Random(seed).randbytes(5000) * 3
            if decompress(compress(data), len(data)) != data:
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("size", [0, 1, 999, 1001, 1 << 40])
def test_a_size_that_is_not_the_frames_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        decompress(compress(b"x" * 1000), size)


def test_a_frame_that_claims_to_be_huge_allocates_nothing() -> None:
    # magic, descriptor with an 8-byte content size, 2**50 bytes
    frame = bytes.fromhex("28b52ffd") + b"\xe0" + (1 << 50).to_bytes(8, "little") + b"\x01\0\0"
    assert content_size(frame) == 1 << 50
    with pytest.raises(Malformed):
        decompress(frame, 1000)


def test_a_frame_that_does_not_say_its_size_is_malformed() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    with pytest.raises(Malformed):
        content_size(frame)
    with pytest.raises(Malformed):
        decompress(frame, 100)


@pytest.mark.parametrize("frame", [b"", b"x", b"no zstd frame at all", bytes(100)])
def test_what_is_no_frame_is_malformed(frame: bytes) -> None:
    with pytest.raises(Malformed):
        decompress(frame, 10)
    with pytest.raises(Malformed):
        decompress_onto(frame, b"base", 10)


def test_cut_and_followed_frames_are_malformed() -> None:
    data = Random(1).randbytes(300) * 3
    frame = compress(data)
    for length in range(len(frame)):
        with pytest.raises(Malformed):
            decompress(frame[:length], len(data))
    for rest in (b"\0", b"rest", frame):
        with pytest.raises(Malformed):
            decompress(frame + rest, len(data))


def test_flipped_bytes_are_malformed_or_other_bytes() -> None:
    data = Random(1).randbytes(300) * 3
    frame = compress(data)
    for at in range(len(frame)):
        for mask in (1, 4, 0x20, 0x80, 0xFF):
            bad = bytearray(frame)
            bad[at] ^= mask
            try:
                assert len(decompress(bytes(bad), len(data))) == len(data)
            except Malformed:
                continue
