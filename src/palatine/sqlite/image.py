"""A database as of one commit: the main file with the last committed frame of each page over it."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

HEADER_SIZE = 100
_PAGE_SIZE = struct.Struct(">H")


def page_size_of(head: bytes) -> int:
    """Return the page size that a main file's header states, or 0 when it is not a valid one."""
    if len(head) < 18:
        return 0
    (size,) = _PAGE_SIZE.unpack_from(head, 16)
    size = 65536 if size == 1 else size
    return size if 512 <= size <= 65536 and size & (size - 1) == 0 else 0


@dataclass(frozen=True)
class Image:
    """Bytes to read while a pin holds, or while nobody writes; offsets and sizes in bytes.

    `frames` maps page numbers (from 1) to where in the WAL their content lies.
    """

    main: int
    size: int
    page_size: int = 0
    wal: int = -1
    frames: dict[int, int] = field(default_factory=dict)

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Return bytes of the image; fewer only at its end."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if not self.frames:
            return _read_full(self.main, length, offset)
        return self._overlaid(self._newer(offset, length), offset, length)

    def _newer(self, offset: int, length: int) -> list[int]:
        first, last = offset // self.page_size + 1, (offset + length - 1) // self.page_size + 1
        return [page for page in range(first, last + 1) if page in self.frames]

    def _overlaid(self, newer: list[int], offset: int, length: int) -> bytearray:
        """Read everything into the buffer that is returned: each copy of 1 MiB costs as much again.

        The main file may not have grown to its size yet: the rest is zeros then.
        """
        whole, size = bytearray(length), self.page_size
        with memoryview(whole) as view:
            at = 0
            while at < length and (done := os.preadv(self.main, [view[at:]], offset + at)):
                at += done
            for page in newer:
                start = (page - 1) * size - offset
                skip = max(0, -start)
                os.preadv(self.wal, [view[start + skip : start + size]], self.frames[page] + skip)
        return whole


def _read_full(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
