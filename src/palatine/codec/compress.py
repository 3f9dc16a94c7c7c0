"""zstd, with sizes checked before anything is allocated.

Contexts are kept per thread: making one costs more than compressing a small frame.
"""

from __future__ import annotations

import threading

import zstandard

from palatine.errors import Malformed
from palatine.ids import Buffer

LEVEL = 3
"""Level 3 of zstd; measured in docs/adr/0003-compression.md."""

_local = threading.local()


def compress(data: Buffer) -> bytes:
    """Return one zstd frame that records its content size."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return compressor.compress(data)


def decompress(data: Buffer, size: int) -> bytes:
    """Return the `size` bytes of a zstd frame; raises Malformed when it holds anything else."""
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    return _decompress(decompressor, data, size)


def compress_onto(data: Buffer, base: Buffer) -> bytes:
    """Return a zstd frame of `data` that refers to the bytes of `base`."""
    if not len(base):
        return compress(data)
    # Level 3's window is 2 MiB: a match further back is not found, and its hash table is too small
    # for a dictionary of that size (1.5 kB edited in 1.5 MiB: 526 kB instead of 3.3 kB).
    window = max(10, (len(data) + len(base)).bit_length())
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=window, hash_log=max(17, window - 3)
    )
    compressor = zstandard.ZstdCompressor(dict_data=_raw(base), compression_params=parameters)
    return compressor.compress(data)


def decompress_onto(data: Buffer, base: Buffer, size: int) -> bytes:
    """Return the `size` bytes that `compress_onto` compressed onto the same base.

    A wrong base decodes to wrong bytes in silence: only an id can tell.
    """
    if not len(base):
        return decompress(data, size)
    return _decompress(zstandard.ZstdDecompressor(dict_data=_raw(base)), data, size)


def content_size(data: Buffer) -> int:
    """Return how many bytes a zstd frame says it holds; raises Malformed when it does not say."""
    try:
        size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise Malformed(f"a frame cannot be decompressed: {error}") from error
    if size < 0:
        raise Malformed("a frame does not say how much it holds")
    return size


def _raw(base: Buffer) -> zstandard.ZstdCompressionDict:
    # RAWCONTENT, because a base may begin with the magic number of a trained dictionary
    return zstandard.ZstdCompressionDict(bytes(base), dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _decompress(decompressor: zstandard.ZstdDecompressor, data: Buffer, size: int) -> bytes:
    try:
        if content_size(data) != size:
            raise Malformed(f"a frame does not hold the {size} bytes it should")
        plain = decompressor.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed(f"a frame cannot be decompressed: {error}") from error
    if len(plain) != size:
        raise Malformed(f"a frame does not hold the {size} bytes it should")
    return plain
