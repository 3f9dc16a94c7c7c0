"""Write-ahead logs: the wal-index header, frames, and which frame holds a page's last commit.

Formats: https://www.sqlite.org/fileformat2.html section 4 and https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

WAL_HEADER = struct.Struct(">8I")
FRAME_HEADER = struct.Struct(">6I")
_MAGIC = 0x377F0682
_BIG_ENDIAN = 1
"""The bit of the magic number that says how checksums read their words."""

INDEX_HEADER_SIZE = 48
_INDEX_HEADER = struct.Struct("=IIIBBHII2I2I2I")
_INDEX_VERSION = 3007000
_BACKFILL = struct.Struct("=I")
_BLOCK = 1 << 20


class IndexHeader(NamedTuple):
    """What the wal-index says: frames valid and backfilled, pages, bytes per page, salts as stored.

    `checksum` is that of the last frame: with the salts it names one state of the WAL.
    """

    max_frame: int
    backfilled: int
    pages: int
    page_size: int
    salts: bytes
    checksum: bytes

    @property
    def token(self) -> bytes:
        """Bytes that are equal only for an equal state of the WAL."""
        return self.salts + self.checksum + self.max_frame.to_bytes(4, "big")


class Frames(NamedTuple):
    """The committed frames of a WAL: for each page the offset of its last content in the file.

    `pages` is the database's size in pages after the last commit.
    """

    page_size: int
    pages: int
    offsets: dict[int, int]


def read_index_header(shm: int) -> IndexHeader | None:
    """Return the wal-index header of an open `-shm`, or None while it is being written or not set.

    The two copies must be equal; the caller reads again a little later when they are not.
    """
    data = os.pread(shm, 2 * INDEX_HEADER_SIZE + 4, 0)
    if len(data) < 2 * INDEX_HEADER_SIZE + 4:
        return None
    first, second = data[:INDEX_HEADER_SIZE], data[INDEX_HEADER_SIZE : 2 * INDEX_HEADER_SIZE]
    if first != second:
        return None
    version, _, _, is_init, _, page_size, frames, pages, *_ = _INDEX_HEADER.unpack(first)
    if version != _INDEX_VERSION or not is_init:
        return None
    (backfilled,) = _BACKFILL.unpack_from(data, 2 * INDEX_HEADER_SIZE)
    size = 65536 if page_size == 1 else page_size
    return IndexHeader(frames, backfilled, pages, size, first[32:40], first[24:32])


def committed_by_index(wal: int, header: IndexHeader) -> Frames | None:
    """Return the frames 1 to `max_frame` of a WAL that a pin holds still.

    None when they are not what the header says (salts, commit size, number): then the pin did not
    hold, or the WAL is damaged.
    """
    head = os.pread(wal, WAL_HEADER.size, 0)
    if len(head) < WAL_HEADER.size or head[16:24] != header.salts:
        return None
    size = FRAME_HEADER.size + header.page_size
    offsets: dict[int, int] = {}
    commit = 0
    at = WAL_HEADER.size + FRAME_HEADER.size
    for page, pages, salts in _frame_headers(wal, header):
        if salts != header.salts:
            return None
        commit = pages
        offsets[page] = at
        at += size
    end = WAL_HEADER.size + header.max_frame * size
    if commit != header.pages or os.fstat(wal).st_size < end:
        return None
    return Frames(header.page_size, header.pages, _within(offsets, header.pages))


def _frame_headers(wal: int, header: IndexHeader) -> Iterator[tuple[int, int, bytes]]:
    """Yield page, commit size and salts of the frames 1 to `max_frame`, fewer where it ends.

    Many whole frames at a time: a WAL of small pages has 100,000, and the pin holds meanwhile.
    """
    size = FRAME_HEADER.size + header.page_size
    frame = struct.Struct(f">II8s{size - 16}x")
    at, end = WAL_HEADER.size, WAL_HEADER.size + header.max_frame * size
    step = max(1, _BLOCK // size) * size
    while at < end:
        data = os.pread(wal, min(step, end - at), at)
        yield from frame.iter_unpack(data[: len(data) // size * size])
        if len(data) < min(step, end - at):
            return
        at += step


def committed_by_checksums(wal: int) -> Frames | None:
    """Return the frames up to the last commit of a WAL that nobody has open, by its checksums.

    None for a WAL that holds no commit: an empty one, or one whose header is not valid.
    """
    head = os.pread(wal, WAL_HEADER.size, 0)
    if len(head) < WAL_HEADER.size:
        return None
    magic, _, page_size, _, _, _, *stored = WAL_HEADER.unpack(head)
    if magic & ~_BIG_ENDIAN != _MAGIC or not _is_page_size(page_size):
        return None
    order = ">" if magic & _BIG_ENDIAN else "<"
    sums = _checksum(order, (0, 0), head[:24])
    if list(sums) != stored:
        return None
    return _chain(wal, head[16:24], order, page_size, sums)


def _chain(
    wal: int, salts: bytes, order: str, page_size: int, sums: tuple[int, int]
) -> Frames | None:
    offsets: dict[int, int] = {}
    pending: dict[int, int] = {}
    pages = 0
    at = WAL_HEADER.size
    while True:
        frame = os.pread(wal, FRAME_HEADER.size + page_size, at)
        if len(frame) < FRAME_HEADER.size + page_size or frame[8:16] != salts:
            break
        page, commit, _, _, *stored = FRAME_HEADER.unpack_from(frame)
        sums = _checksum(order, sums, frame[:8])
        sums = _checksum(order, sums, frame[FRAME_HEADER.size :])
        if list(sums) != stored or page == 0:
            break
        pending[page] = at + FRAME_HEADER.size
        if commit:
            offsets |= pending
            pending.clear()
            pages = commit
        at += FRAME_HEADER.size + page_size
    return Frames(page_size, pages, _within(offsets, pages)) if pages else None


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 65536 and size & (size - 1) == 0


def _within(offsets: dict[int, int], pages: int) -> dict[int, int]:
    return {page: at for page, at in offsets.items() if page <= pages}


def _checksum(order: str, sums: tuple[int, int], data: bytes) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
