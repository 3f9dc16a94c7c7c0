"""Reading one regular file: its holes, its bytes cut into chunks, and whether it held still."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from palatine.capture.lists import ListBuilder, OldExtents
from palatine.capture.signatures import signature
from palatine.capture.sink import Sink
from palatine.chunking import (
    HEAD_SIZE,
    SQLITE_MAGIC,
    cut_by_content,
    cut_fixed,
    is_rewritten_in_place,
)
from palatine.events import Reporter
from palatine.ids import Buffer, Kind
from palatine.model.config import Chunking
from palatine.model.tree import POOLED_MAX, Entry, Part
from palatine.sqlite.custody import opened

ATTEMPTS = 3
"""How often a file that changes while it is read is read from the start."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class Changed(Exception):
    """The name does not stand for a regular file any more."""


class IsDatabase(Exception):
    """The file is a database: somebody may be writing to it, and it is not to be read like this."""


class FileContent(NamedTuple):
    """What was read of a file: `small` for a pool, or `parts` at a `level` with `holes`.

    `status` is the file's stat after it was read; `torn` says that it never held still.
    """

    status: os.stat_result
    size: int
    small: bytes
    level: int
    parts: tuple[Part, ...]
    holes: tuple[tuple[int, int], ...]
    xattrs: tuple[tuple[bytes, bytes], ...]
    torn: bool


class FileReader:
    """Reads files into a sink."""

    def __init__(
        self,
        sink: Sink,
        chunking: Chunking,
        reporter: Reporter,
        apart: bool,
    ) -> None:
        """`apart`: databases are read by somebody else, and this one raises IsDatabase."""
        self._apart = apart
        self._sink = sink
        self._chunking = chunking
        self._reporter = reporter

    def read(
        self, directory: int, name: bytes, before: os.stat_result, old: Entry | None
    ) -> FileContent:
        """Read a file whose stat was `before`; `old` is its entry in the parent snapshot.

        Raises OSError when it cannot be read, Changed when it is no regular file any more,
        IsDatabase.
        """
        with opened(name, _FLAGS, directory) as fd:
            for attempt in range(1, ATTEMPTS + 1):
                content = self._read_once(fd, name, before, old)
                if not content.torn or attempt == ATTEMPTS:
                    return content
                before = content.status
        raise AssertionError("unreachable")

    def _read_once(
        self, fd: int, name: bytes, before: os.stat_result, old: Entry | None
    ) -> FileContent:
        if before.st_size <= POOLED_MAX:
            small = _read_all(fd)
            if len(small) <= POOLED_MAX:
                self._keep_apart(small)
                content = FileContent(before, len(small), small, 0, (), (), (), torn=False)
                return _finished(fd, content)
        head = os.pread(fd, HEAD_SIZE, 0)
        self._keep_apart(head)
        run = _Run(self, fd, is_rewritten_in_place(name, head), old)
        size, holes = run.read_through()
        level, parts = run.parts()
        return _finished(fd, FileContent(before, size, b"", level, parts, holes, (), torn=False))

    def _keep_apart(self, head: bytes) -> None:
        if self._apart and head.startswith(SQLITE_MAGIC):
            raise IsDatabase


def _finished(fd: int, content: FileContent) -> FileContent:
    """Look once more at a file whose stat was `content.status` before it was read."""
    after = os.fstat(fd)
    if not stat.S_ISREG(after.st_mode):
        raise Changed
    torn = signature(after) != signature(content.status) or content.size != after.st_size
    return content._replace(status=after, xattrs=read_xattrs(fd), torn=torn)


class _Run:
    """One reading of a large file."""

    def __init__(self, reader: FileReader, fd: int, in_place: bool, old: Entry | None) -> None:
        self._sink = reader._sink
        self._chunking = reader._chunking
        self._reporter = reader._reporter
        self._fd = fd
        self._in_place = in_place
        self._lists = ListBuilder(self._sink, old)
        self._old = OldExtents(self._sink, old)

    def read_through(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Read all data extents; return the file's size and its holes."""
        size = os.fstat(self._fd).st_size
        holes = []
        at = 0
        for start, end in _data_extents(self._fd, size):
            if start > at:
                holes.append((at, start - at))
            at = self._read_extent(start, end)
        if at < size and not _reads_short(self._fd, at):
            holes.append((at, size - at))
            at = size
        return at, tuple(holes)

    def parts(self) -> tuple[int, tuple[Part, ...]]:
        return self._lists.finish()

    def _read_extent(self, start: int, end: int) -> int:
        at = start
        for data in self._cut(_reader(self._fd, start, end), start):
            predecessor = self._old.at(at + (0 if self._in_place else len(data) // 2))
            self._lists.add(Part(self._sink.put(Kind.CHUNK, data, predecessor), len(data)))
            self._reporter.advance(len(data))
            at += len(data)
        return at

    def _cut(self, read: Callable[[int], bytes], start: int) -> Iterator[Buffer]:
        cut = self._chunking
        if self._in_place:
            return cut_fixed(read, start, cut.fixed)
        return cut_by_content(read, cut.minimum, cut.average, cut.maximum)


def read_xattrs(path: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return a file's extended attributes, sorted; those we may not read are left out."""
    if not hasattr(os, "listxattr"):
        return ()
    try:
        names = os.listxattr(path)
    except OSError:
        return ()
    found = []
    for name in sorted(names):
        try:
            found.append((os.fsencode(name), os.getxattr(path, name)))
        except OSError:
            continue
    return tuple(sorted(found))


def _read_all(fd: int) -> bytes:
    """Return a file's bytes from its start, or the first POOLED_MAX + 1 and more of them."""
    data = os.pread(fd, POOLED_MAX + 1, 0)
    while 0 < len(data) <= POOLED_MAX:
        more = os.pread(fd, POOLED_MAX + 1 - len(data), len(data))
        if not more:
            break
        data += more
    return data


def _reader(fd: int, start: int, end: int) -> Callable[[int], bytes]:
    at = start

    def read(size: int) -> bytes:
        nonlocal at
        data = os.pread(fd, min(size, end - at), at)
        while data and len(data) < min(size, end - at):
            more = os.pread(fd, min(size, end - at) - len(data), at + len(data))
            if not more:
                break
            data += more
        at += len(data)
        return data

    return read


def _reads_short(fd: int, at: int) -> bool:
    """Whether a file ends at `at` now, although its size was larger."""
    return os.fstat(fd).st_size <= at


def _data_extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where a file's data lies; one extent where the file system cannot tell."""
    status = os.fstat(fd)
    if status.st_blocks * 512 >= size or not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            yield at, size
            return
        at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        if start < at:
            yield start, at
