"""Where files are cut: at fixed places when they are rewritten in place, else where content says.

Fixed cuts keep a block's number, so its previous version is its delta base; FastCDC 2020 (Xia et
al., "The Design of Fast Content-Defined Chunking", IEEE TPDS 2020) finds the same cuts again after
bytes were inserted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from palatine.ids import Buffer

HEAD_SIZE = 16
"""Bytes of a file's beginning that tell how it is written."""

SQLITE_MAGIC = b"SQLite format 3\0"
_MAGICS = (SQLITE_MAGIC, b"redb\x1a\x0a\xa9\x0d\x0a", b"usearch")
_SUFFIXES = (b".usearch", b".redb", b".db", b".sqlite", b".sqlite3", b"-wal")
_NAMES = {b"data_level0.bin", b"link_lists.bin", b"length.bin", b"header.bin"}
_WINDOW = 8 << 20
"""Bytes held while cutting by content: a multiple of the largest chunk."""


def is_rewritten_in_place(name: bytes, head: bytes) -> bool:
    """Whether a file of this name and first bytes keeps its blocks in their places.

    SQLite, redb, usearch and HNSW files do.
    """
    return head.startswith(_MAGICS) or name.endswith(_SUFFIXES) or name in _NAMES


def cut_fixed(read: Callable[[int], bytes], start: int, size: int) -> Iterator[bytes]:
    """Yield a file's bytes from offset `start` on, cut at multiples of `size` in the file.

    `read(n)` returns the next n bytes, fewer only at the end.
    """
    want = size - start % size
    while data := read(want):
        yield data
        if len(data) < want:
            return
        want = size


def cut_by_content(
    read: Callable[[int], bytes], minimum: int, average: int, maximum: int
) -> Iterator[Buffer]:
    """Yield a file's bytes cut by FastCDC; sizes in bytes, `read` as for `cut_fixed`."""
    from pyfastcdc import FastCDC  # 10 ms to import, and most commands cut nothing

    cutter = FastCDC(avg_size=average, min_size=minimum, max_size=maximum)
    held = b""
    while True:
        fresh = read(_WINDOW - len(held))
        buffer = held + fresh if held else fresh
        at_end = len(buffer) < _WINDOW
        view = memoryview(buffer)
        done = 0
        for chunk in cutter.cut_buf(buffer):
            # a cut further from the end than the largest chunk cannot be the window's own
            if not at_end and chunk.offset + maximum > len(buffer):
                break
            yield view[chunk.offset : chunk.offset + chunk.length]
            done = chunk.offset + chunk.length
        if at_end:
            return
        held = buffer[done:]
