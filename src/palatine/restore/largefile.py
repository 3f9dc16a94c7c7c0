"""Large files: several workers write their chunks, the last one to end finishes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from palatine import fsio
from palatine.model.tree import Part
from palatine.restore.direct import WORTH, open_direct, write_direct
from palatine.store.trees import Item, Source, chunk


class LargeFile:
    """A large file whose chunks several workers write; the last one to end finishes it.

    `finish` sets what it shall bear, and `count` is told of files and bytes that were written.
    """

    def __init__(
        self,
        fd: int,
        source: Source,
        item: Item,
        finish: Callable[[int], None],
        count: Callable[[int, int], None],
        past_cache: bool = True,
    ) -> None:
        self.fd = fd
        self._direct = open_direct(fd) if past_cache and item.entry.size >= WORTH else -1
        self._source = source
        self._finish = finish
        self._count = count
        self._left = 1
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def begin(self) -> None:
        """Have one more worker end before it is finished."""
        with self._lock:
            self._left += 1

    def end(self) -> None:
        """Say that a worker ended, well or not."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            try:
                self._finish(self.fd)
                fsio.begin_writeback(self.fd)
            finally:
                self._close()
            self._count(1, 0)

    def _close(self) -> None:
        for fd in (self.fd, self._direct):
            if fd >= 0:
                os.close(fd)
        self.fd = self._direct = -1

    def __del__(self) -> None:
        self._close()  # after an error chunks are dropped undone

    def write(self, offset: int, part: Part) -> None:
        """Write one chunk."""
        data = chunk(self._source, part)
        done = write_direct(self._direct, data, offset)
        # One at a time: the kernel lets one write to a file, and has the others spin meanwhile,
        # which took a quarter of a restore's processor time
        if done < len(data):
            with self._turn:
                write_at(self.fd, memoryview(data)[done:], offset + done)
        self._count(0, len(data))


@dataclass(frozen=True)
class ChunkWork:
    """One chunk of a large file, for a worker."""

    file: LargeFile
    offset: int
    part: Part

    def __call__(self) -> None:
        """Do it."""
        try:
            self.file.write(self.offset, self.part)
        finally:
            self.file.end()


def write_at(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at an offset."""
    view = memoryview(data)
    while len(view):
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done
