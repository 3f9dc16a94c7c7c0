"""Deltas: one object as its difference to another, its base.

    base id 32 | ordinal u64 | length u32 | granule u32 | bitmap | zstd frame

With a granule, data and base are compared page by page; the bitmap (least significant bit first)
marks the pages that differ, and the zstd frame holds those pages, compressed with the base's pages
in their places as raw dictionary. A granule of 0 takes the whole base as dictionary: for trees and
chunks cut by content, where bytes move. Measured on 816 changed blocks of 1 MiB: 4.3 MB and
3,150 MB/s by pages, 4.4 MB and 590 MB/s by the whole base.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from palatine.codec.compress import compress_onto, decompress_onto
from palatine.errors import Malformed
from palatine.ids import Buffer

PAGE = 4096
"""The granule written, bytes: SQLite's usual page, and what a write to a file dirties."""

LENGTH_MAX = 16 << 20
_HEAD = struct.Struct("<32sQII")
_GRANULES = {0} | {1 << n for n in range(9, 17)}


class Head(NamedTuple):
    """What a delta says of itself: sizes in bytes."""

    base: bytes
    ordinal: int
    length: int
    granule: int


def read_head(payload: Buffer) -> Head:
    """Return the head of a delta; raises Malformed for impossible values."""
    if len(payload) < _HEAD.size:
        raise Malformed("a delta is shorter than its head")
    head = Head(*_HEAD.unpack_from(payload))
    if head.length > LENGTH_MAX or head.granule not in _GRANULES:
        raise Malformed("a delta has an impossible head")
    return head


def encode(data: Buffer, base: Buffer, base_id: bytes, ordinal: int) -> bytes:
    """Return `data` as a delta onto `base`, by pages where at least half of them are equal."""
    changed = changed_pages(data, base, PAGE)
    count = -(-len(data) // PAGE)
    if 2 * len(changed) > count:
        head = _HEAD.pack(base_id, ordinal, len(data), 0)
        return head + compress_onto(data, base)
    bitmap = bytearray(-(-count // 8))
    for page in changed:
        bitmap[page >> 3] |= 1 << (page & 7)
    new, old = _gather(data, changed, PAGE), _gather(base, changed, PAGE)
    head = _HEAD.pack(base_id, ordinal, len(data), PAGE)
    return b"".join((head, bitmap, compress_onto(new, old) if new else b""))


def apply(payload: Buffer, base: bytearray) -> None:
    """Turn `base` into the object that the delta describes, in place.

    Raises Malformed for a delta that does not follow the format; a wrong base is not noticed.
    """
    head = read_head(payload)
    view = memoryview(payload)
    if head.granule == 0:
        base[:] = decompress_onto(view[_HEAD.size :], base, head.length)
        return
    count = -(-head.length // head.granule)
    start = _HEAD.size + -(-count // 8)
    if len(view) < start:
        raise Malformed("a delta is shorter than its bitmap")
    pages = list(_marked(bytes(view[_HEAD.size : start]), count))
    size = sum(min(head.granule, head.length - page * head.granule) for page in pages)
    if not size and len(view) > start:
        raise Malformed("a delta goes on after its end")
    old = _gather(base, pages, head.granule)
    new = decompress_onto(view[start:], old, size) if size else b""
    if head.length <= len(base):
        del base[head.length :]
    else:
        base.extend(bytes(head.length - len(base)))
    _scatter(new, pages, head.granule, base)


def changed_pages(data: Buffer, base: Buffer, granule: int) -> list[int]:
    """Return the numbers of the pages of `data` that are not equal in `base`."""
    whole = min(len(data), len(base)) // granule
    layout = struct.Struct(f"{granule}s" * whole)
    pairs = zip(layout.unpack_from(data), layout.unpack_from(base), strict=True)
    changed = [page for page, (new, old) in enumerate(pairs) if new != old]
    rest = range(whole, -(-len(data) // granule))
    if len(rest) == 1 and data[whole * granule :] == base[whole * granule : len(data)]:
        return changed
    return changed + list(rest)


def _gather(data: Buffer, pages: list[int], granule: int) -> bytes:
    view = memoryview(data)
    runs = _runs(pages)
    return b"".join([view[first * granule : last * granule] for first, last in runs])


def _scatter(new: bytes, pages: list[int], granule: int, target: bytearray) -> None:
    at = 0
    view = memoryview(target)
    for first, last in _runs(pages):
        place = view[first * granule : last * granule]
        place[:] = new[at : at + len(place)]
        at += len(place)
    view.release()


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for page in pages:
        if page != last:
            if last > first:
                yield first, last
            first = page
        last = page + 1
    if last > first:
        yield first, last


def _marked(bitmap: bytes, count: int) -> Iterator[int]:
    bits = int.from_bytes(bitmap, "little")
    if bits >> count:
        raise Malformed("a delta marks pages beyond its end")
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
