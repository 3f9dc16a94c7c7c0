"""Writing a tree into a directory that nobody else uses: files by workers, directories last."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass

from palatine import fsio
from palatine.errors import Exists
from palatine.events import Reporter
from palatine.model.tree import Entry, EntryKind, Owner, Piece
from palatine.restore.arrangement import Arrangement, Overlay, Trees
from palatine.restore.handles import DIRECTORY, Handle, below
from palatine.restore.largefile import ChunkWork, LargeFile, write_at
from palatine.restore.metadata import Metadata
from palatine.restore.nodes import Filling, Node, finish
from palatine.restore.reuse import Old
from palatine.restore.select import Selection
from palatine.store.trees import (
    Item,
    Source,
    chunk,
    expectation,
    extents,
    file_bytes,
    is_same_file,
)
from palatine.workers import Workers

IN_FLIGHT = 32 << 20
"""Plain bytes under way at once."""

AT_LEAST = 256 << 10
"""What a piece of work counts for at least: each holds a descriptor, and those are few."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Written:
    """Counts of what was written; `size` in bytes as a reader sees them.

    `kept` are files that were taken over from an old palace.
    """

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    size: int = 0
    kept: int = 0


class DirectoryWriter:
    """Restores one tree into one empty directory; of `old`, a palace, it takes over what stays."""

    def __init__(
        self,
        source: Source,
        selection: Selection,
        threads: int,
        reporter: Reporter,
        old: Old | None = None,
    ) -> None:
        self._source = source
        self._expect = expectation(source)
        self._selection = selection
        self._reporter = reporter
        self._metadata = Metadata(reporter)
        self._workers = Workers(threads, IN_FLIGHT)
        self._old = old
        self._arrangement = Arrangement(source, Trees(None, None), selection)
        self._links: list[Item] = []
        self._lock = threading.Lock()
        self.written = Written()
        self.past_cache = True
        """Whether large files go past the page cache: not where they are read again at once."""

    def write(self, target: str, root: Entry, owner: Owner) -> None:
        """Write everything below `root` into the directory `target`, its own metadata last."""
        top = Node(root, owner)
        kind = Arrangement if self._old is None else Overlay
        trees = Trees(self._old.tree if self._old else None, root.tree)
        self._arrangement = kind(self._source, trees, self._selection)
        try:
            old = self._old.top.hold() if self._old else None
            self._write_all(Filling(Handle(os.open(target, DIRECTORY)), old, top, trees, b""))
            self._workers.wait()
        finally:
            self._workers.close()
        with fsio.opened(target, DIRECTORY) as fd:
            for item in self._links:
                self._link(fd, item)
            finish(fd, top, self._metadata)

    def _write_all(self, top: Filling) -> None:
        stack = [top]
        try:
            while stack:
                directory = stack.pop().opened()
                try:
                    stack += self._directory(directory)
                finally:
                    directory.release()
        finally:
            for waiting in stack:
                waiting.release()

    def _directory(self, directory: Filling) -> list[Filling]:
        deeper = []
        for piece, found in self._arrangement.groups(directory.trees, directory.path):
            pooled: list[Item] = []
            for item, there, trees in found:
                entry = item.entry
                if entry.kind == EntryKind.DIRECTORY:
                    self._make_directory(directory.handle, entry.name)
                    node = Node(entry, item.owner)
                    directory.node.below.append(node)
                    deeper.append(directory.below(node, trees))
                elif entry.kind == EntryKind.SYMLINK:
                    self._symlink(directory.handle, item)
                elif entry.link:
                    self._links.append(item)
                elif self._take_over(directory, item, there):
                    self.written.kept += 1
                elif entry.size <= 0 or entry.pooled:
                    pooled.append(item)
                else:
                    self._large(directory, item, there)
            if pooled:
                self._pooled(directory.handle, piece, pooled)
        return deeper

    def _take_over(self, directory: Filling, item: Item, there: Item | None) -> bool:
        old = self._old
        return old is not None and old.link(directory.old, directory.handle.fd, item, there)

    def _make_directory(self, handle: Handle, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=handle.fd)
        except FileExistsError:
            raise _folded(name) from None
        self.written.directories += 1

    def _symlink(self, handle: Handle, item: Item) -> None:
        entry = item.entry
        try:
            os.symlink(entry.target, entry.name, dir_fd=handle.fd)
        except FileExistsError:
            raise _folded(entry.name) from None
        self._metadata.put_symlink(entry.name, handle.fd, entry, item.owner)
        self.written.symlinks += 1

    def _pooled(self, handle: Handle, piece: Piece, wanted: list[Item]) -> None:
        handle.hold()

        def work() -> None:
            try:
                pool = chunk(self._source, piece.pool[0]) if piece.pool else b""
                for item in wanted:
                    fd = self._create(handle.fd, item.entry)
                    try:
                        end = item.offset + item.entry.size
                        write_at(fd, pool[item.offset : end], 0)
                        self._metadata.put(fd, item.entry, item.owner)
                    finally:
                        os.close(fd)
                self._count(len(wanted), sum(item.entry.size for item in wanted))
            finally:
                handle.release()

        self._expect([part.id for part in piece.pool])
        self._workers.submit(max(AT_LEAST, sum(part.size for part in piece.pool)), work)

    def _large(self, directory: Filling, item: Item, there: Item | None) -> None:
        file = LargeFile(
            self._create(directory.handle.fd, item.entry), self._source, item,
            lambda fd: self._metadata.put(fd, item.entry, item.owner), self._count,
            self.past_cache,
        )  # fmt: skip
        try:
            parts = extents(self._source, item.entry)
            if self._old is not None and self._old.clone(directory.old, file.fd, item, there):
                parts = self._old.differing(item, there)
            os.ftruncate(file.fd, item.entry.size)
            for offset, part in parts:
                self._expect([part.id])
                file.begin()
                self._workers.submit(max(AT_LEAST, part.size), ChunkWork(file, offset, part))
        finally:
            file.end()

    def _create(self, directory: int, entry: Entry) -> int:
        try:
            mode = self._metadata.creation_mode(entry)
            return os.open(entry.name, _CREATE, mode, dir_fd=directory)
        except FileExistsError:
            raise _folded(entry.name) from None

    def _count(self, files: int, size: int) -> None:
        with self._lock:
            self.written.files += files
            self.written.size += size
        self._reporter.advance(size)

    def _link(self, root: int, item: Item) -> None:
        """Give a file its second name, or its own bytes when the first was not restored."""
        with below(root, item.path) as (directory, name):
            if self._is_same_file(item):
                with contextlib.suppress(OSError), below(root, item.entry.link) as first:
                    with self._shared(first, item.entry.link):
                        fsio.hard_link(first[1], first[0], name, directory)
                    self._count(1, item.entry.size)
                    return
            self._copy(directory, item)

    def _shared(
        self, first: tuple[int, bytes], path: bytes
    ) -> contextlib.AbstractContextManager[None]:
        if self._old is None:
            return contextlib.nullcontext()
        return self._old.relinked(*first, path)

    def _is_same_file(self, item: Item) -> bool:
        """Whether the file's first name was captured as it was."""
        first = self._arrangement.find(item.entry.link)
        return first is not None and is_same_file(self._source, first, item)

    def _copy(self, directory: int, item: Item) -> None:
        fd = self._create(directory, item.entry)
        try:
            at = 0
            for data in file_bytes(self._source, item):
                write_at(fd, data, at)
                at += len(data)
            self._metadata.put(fd, item.entry, item.owner)
        finally:
            os.close(fd)
        self._count(1, item.entry.size)


def _folded(name: bytes) -> Exists:
    return Exists(
        f"{os.fsdecode(name)!r} and another name of the snapshot are one to this file system",
        "restore to a file system that tells capitals from small letters",
    )
