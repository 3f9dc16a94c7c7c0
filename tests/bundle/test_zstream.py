"""zstd streams: the same bytes whatever the threads, and the `zstd` program reads them."""

from __future__ import annotations

import contextlib
import io
import subprocess
from random import Random

import pytest
import zstandard

from palatine.bundle.zstd.write import LEVEL_MAX, ZstdWriter
from palatine.errors import UsageError
from palatine.ids import Buffer


def content(size: int, seed: int = 1) -> bytes:
    """Return bytes of which about half can be compressed away."""
    random = Random(seed)
    words = [random.randbytes(random.randrange(4, 40)) for _ in range(3000)]
    out = bytearray()
    while len(out) < size:
        out += random.choice(words) if random.random() < 0.7 else random.randbytes(9)
    return bytes(out[:size])


def compressed(data: bytes, level: int = 3, threads: int = 2, pieces: int = 1 << 18) -> bytes:
    sink = io.BytesIO()
    with ZstdWriter(sink, level, threads) as out:
        for at in range(0, len(data), pieces):
            out.write(data[at : at + pieces])
    return sink.getvalue()


def zstd(*arguments: str, data: bytes) -> bytes:
    return subprocess.run(["zstd", *arguments], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("level", [1, 3, 9])
def test_the_same_bytes_whatever_the_threads_and_the_pieces(level: int) -> None:
    data = content(18_000_000)
    first = compressed(data, level, 1)
    assert zstd("-dc", data=first) == data
    for threads, pieces in ((2, 1 << 18), (5, 1 << 20), (1, 77_777), (2, 5_000_000), (3, 4095)):
        assert compressed(data, level, threads, pieces) == first


@pytest.mark.parametrize("size", [0, 1, 511, 1 << 20, (1 << 20) + 1])
def test_small_streams(size: int) -> None:
    data = content(size)
    assert zstd("-dc", data=compressed(data)) == data
    assert compressed(data, threads=1) == compressed(data, threads=5, pieces=100)


def test_a_flipped_bit_is_found_by_zstd() -> None:
    data = bytearray(compressed(content(3_000_000)))
    data[len(data) // 2] ^= 1
    done = subprocess.run(["zstd", "-tq"], input=bytes(data), capture_output=True, check=False)
    assert done.returncode != 0


def test_the_window_is_one_that_every_reader_takes() -> None:
    data = compressed(content(100_000), LEVEL_MAX)
    assert zstandard.get_frame_parameters(data).window_size <= 8 << 20


def test_left_by_an_error_the_stream_has_no_end() -> None:
    sink, data = io.BytesIO(), content(10_000_000)
    with contextlib.suppress(KeyError), ZstdWriter(sink) as out:
        out.write(data)
        raise KeyError
    done = subprocess.run(
        ["zstd", "-tq"], input=sink.getvalue(), capture_output=True, check=False
    )  # fmt: skip
    assert done.returncode != 0


def test_cut_short_between_two_frames_it_does_not_look_whole() -> None:
    sink, data = io.BytesIO(), content(30_000_000)
    with contextlib.suppress(KeyError), ZstdWriter(sink, threads=1) as out:
        for at in range(0, len(data), 1 << 20):
            out.write(data[at : at + (1 << 20)])
        before = sink.getvalue()
        raise KeyError
    assert before
    done = subprocess.run(["zstd", "-tq"], input=before, capture_output=True, check=False)
    assert done.returncode != 0


def test_what_a_search_gains_nothing_in_is_compressed_as_quickly_as_at_level_1() -> None:
    random = Random(5)
    noise = bytes(random.choices(range(40), k=6 << 20))
    assert compressed(noise, 3) == compressed(noise, 3, threads=1)
    quick = zstandard.ZstdCompressionParameters.from_level(1, window_log=21, write_checksum=True)
    alone = zstandard.ZstdCompressor(compression_params=quick).compress(noise)
    assert compressed(noise, 3) == alone
    text = content(6 << 20)
    full = zstandard.ZstdCompressionParameters.from_level(3, write_checksum=True)
    assert compressed(text, 3) == zstandard.ZstdCompressor(compression_params=full).compress(text)
    assert compressed(noise, 9) != alone


def test_what_the_sink_raises_comes_out() -> None:
    class Full:
        def write(self, data: Buffer) -> None:
            raise OSError("full")

    with pytest.raises(OSError, match="full"), ZstdWriter(Full()) as out:
        out.write(content(20_000_000))


@pytest.mark.parametrize("level", [0, -1, LEVEL_MAX + 1])
def test_levels_that_are_none(level: int) -> None:
    with pytest.raises(UsageError, match="level"):
        ZstdWriter(io.BytesIO(), level)
