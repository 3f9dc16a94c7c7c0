"""Secrets in the bytes of one value: text as it is, compressed text unpacked and packed again."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import zstandard

from palatine.chunking import SQLITE_MAGIC
from palatine.redact import binary
from palatine.redact.scrub import Scrubber, Tally
from palatine.redact.textfile import encoding_of, scrub_file

UNPACKED_MAX = 256 << 20
"""Bytes of a compressed value that are unpacked."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b\x08"
_ZSTD_LEVEL = 3
_ZSTD_PIECE = 4096


class Hidden(Exception):
    """Bytes that may hold text which cannot be read, or secrets that cannot be replaced."""


def scrub_bytes(scrubber: Scrubber, data: bytes, tally: Tally, depth: int = 3) -> bytes:
    """Return a value's bytes without secrets; raises Hidden, with the reason."""
    packing = _packing(data)
    if packing is not None:
        if not depth:
            raise Hidden("is packed too often")
        plain, pack = packing
        inner = scrub_bytes(scrubber, plain, tally, depth - 1)
        return data if inner == plain else pack(inner)
    kind = "a database" if data.startswith(SQLITE_MAGIC) else binary.opaque_kind(data[:512])
    if kind is not None:
        raise Hidden(f"is {kind}")
    scrubbed, left = _as_text(scrubber, data, tally), Counter[str]()
    if scrubbed is None or b"\0" in scrubbed:
        binary.search(scrubber, io.BytesIO(data if scrubbed is None else scrubbed).read, left)
    if left:
        tally.update(left)
        raise Hidden("holds a secret between bytes that are no text")
    return data if scrubbed is None else scrubbed


def _as_text(scrubber: Scrubber, data: bytes, tally: Tally) -> bytes | None:
    encoding = encoding_of(data)
    if encoding is None:
        return None
    found = Counter[str]()
    try:
        pieces = list(scrub_file(scrubber, io.BytesIO(data), len(data), encoding, found))
    except UnicodeError:
        return None
    tally.update(found)
    return b"".join(pieces)


def _packing(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    """Return what is packed in some bytes, and how to pack; None if nothing is."""
    plain: bytes | None
    if data.startswith(_ZSTD):
        return _unpacked_zstd(data), zstandard.ZstdCompressor(_ZSTD_LEVEL).compress
    if _is_gzip(data):
        plain = _inflated(data, 31)
        if plain is None:
            raise Hidden("is compressed by gzip and cannot be unpacked")
        return plain, _gzipped
    if data[:1] == b"\x78" and len(data) > 8 and int.from_bytes(data[:2]) % 31 == 0:
        plain = _inflated(data, 15)
        return None if plain is None else (plain, zlib.compress)
    return None


def _is_gzip(data: bytes) -> bool:
    # Three bytes alone would take one embedding of some millions for it (RFC 1952, 2.3)
    sound = len(data) > 18 and data[3] < 32 and data[8] in (0, 2, 4)
    return sound and data.startswith(_GZIP) and (data[9] < 14 or data[9] == 255)


def _unpacked_zstd(data: bytes) -> bytes:
    pieces, size = [], 0
    for piece in unzstd(io.BytesIO(data).read):
        pieces.append(piece)
        size += len(piece)
        if size > UNPACKED_MAX:
            raise Hidden(f"unpacks to more than {UNPACKED_MAX} bytes")
    return b"".join(pieces)


def unzstd(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what zstd frames hold; raises Hidden where they are damaged or cut off.

    A few bytes in, because a few may be very many out.
    """
    frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    begun, data = False, read(_ZSTD_PIECE)
    try:
        while data:
            yield frame.decompress(data)
            begun, data = not frame.eof, frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            data = data or read(_ZSTD_PIECE)
    except zstandard.ZstdError:
        raise Hidden("is compressed by zstd and cannot be unpacked") from None
    if begun:
        raise Hidden("is compressed by zstd and cut off")


def _inflated(data: bytes, bits: int) -> bytes | None:
    """Return what was deflated; None if these bytes only begin as if they were."""
    unpacker = zlib.decompressobj(bits)
    try:
        plain = unpacker.decompress(data, UNPACKED_MAX + 1)
    except zlib.error:
        return None
    if len(plain) > UNPACKED_MAX:
        raise Hidden(f"unpacks to more than {UNPACKED_MAX} bytes")
    if not unpacker.eof or unpacker.unused_data:
        if len(plain) < len(data) // 8:
            return None
        raise Hidden("is compressed and cut off, or more follows it")
    return plain


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
