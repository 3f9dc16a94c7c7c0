"""Writing a tree into a directory that nobody else uses: files by workers, directories last."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from palatine import fsio
from palatine.errors import Exists, PathNotFound
from palatine.events import Reporter
from palatine.ids import ObjectId
from palatine.model.tree import Entry, EntryKind, Owner, Part, Piece
from palatine.restore.direct import WORTH, open_direct, write_direct
from palatine.restore.metadata import Metadata
from palatine.restore.select import Selection
from palatine.store.trees import Item, Source, chunk, extents, file_bytes, find, items, leaves
from palatine.workers import Workers

IN_FLIGHT = 32 << 20
"""Plain bytes under way at once."""

AT_LEAST = 256 << 10
"""What a piece of work counts for at least: each holds a descriptor, and those are few."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Written:
    """Counts of what was written; `size` in bytes as a reader sees them."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    size: int = 0


@dataclass
class _Node:
    """A directory to be finished when everything in it is there."""

    entry: Entry
    owner: Owner
    below: list[_Node] = field(default_factory=list)


class _Handle:
    """A descriptor of a directory, closed when the last one who needs it lets go.

    After an error work is dropped undone, and with it whoever would have let go.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 1
        self._lock = threading.Lock()

    def hold(self) -> _Handle:
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._close()


class DirectoryWriter:
    """Restores one tree into one empty directory."""

    def __init__(
        self, source: Source, selection: Selection, threads: int, reporter: Reporter
    ) -> None:
        self._source = source
        self._selection = selection
        self._reporter = reporter
        self._metadata = Metadata(reporter)
        self._workers = Workers(threads, IN_FLIGHT)
        self._links: list[Item] = []
        self._tree: ObjectId | None = None
        self._lock = threading.Lock()
        self.written = Written()

    def write(self, target: str, root: Entry, owner: Owner) -> None:
        """Write everything below `root` into the directory `target`, its own metadata last."""
        top = _Node(root, owner)
        self._tree = root.tree
        try:
            self._write_all(_Handle(os.open(target, _DIRECTORY)), top)
            self._workers.wait()
        finally:
            self._workers.close()
        with fsio.opened(target, _DIRECTORY) as fd:
            for item in self._links:
                self._link(fd, item)
            _finish(fd, top, self._metadata)

    def _write_all(self, top: _Handle, node: _Node) -> None:
        stack: list[tuple[_Handle, bytes, _Node, bytes]] = [(top, b"", node, b"")]
        try:
            while stack:
                parent, name, at, path = stack.pop()
                handle = parent
                if name:
                    try:
                        handle = _Handle(os.open(name, _DIRECTORY, dir_fd=parent.fd))
                    finally:
                        parent.release()
                try:
                    stack += self._directory(handle, at, path)
                finally:
                    handle.release()
        finally:
            for parent, *_ in stack:
                parent.release()

    def _directory(
        self, handle: _Handle, node: _Node, path: bytes
    ) -> list[tuple[_Handle, bytes, _Node, bytes]]:
        deeper = []
        for _, piece in leaves(self._source, node.entry.tree):
            pooled: list[Item] = []
            for item in items(piece, path):
                if not self._selection.wants(item):
                    continue
                entry = item.entry
                if entry.kind == EntryKind.DIRECTORY:
                    self._make_directory(handle, entry.name)
                    below = _Node(entry, item.owner)
                    node.below.append(below)
                    deeper.append((handle.hold(), entry.name, below, item.path + b"/"))
                elif entry.kind == EntryKind.SYMLINK:
                    self._symlink(handle, item)
                elif entry.link:
                    self._links.append(item)
                elif entry.size <= 0 or entry.pooled:
                    pooled.append(item)
                else:
                    self._large(handle, item)
            if pooled:
                self._pooled(handle, piece, pooled)
        return deeper

    def _make_directory(self, handle: _Handle, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=handle.fd)
        except FileExistsError:
            raise _folded(name) from None
        self.written.directories += 1

    def _symlink(self, handle: _Handle, item: Item) -> None:
        entry = item.entry
        try:
            os.symlink(entry.target, entry.name, dir_fd=handle.fd)
        except FileExistsError:
            raise _folded(entry.name) from None
        self._metadata.put_symlink(entry.name, handle.fd, entry, item.owner)
        self.written.symlinks += 1

    def _pooled(self, handle: _Handle, piece: Piece, wanted: list[Item]) -> None:
        handle.hold()

        def work() -> None:
            try:
                pool = chunk(self._source, piece.pool[0]) if piece.pool else b""
                for item in wanted:
                    fd = self._create(handle.fd, item.entry)
                    try:
                        end = item.offset + item.entry.size
                        _write_at(fd, pool[item.offset : end], 0)
                        self._metadata.put(fd, item.entry, item.owner)
                    finally:
                        os.close(fd)
                self._count(len(wanted), sum(item.entry.size for item in wanted))
            finally:
                handle.release()

        self._workers.submit(max(AT_LEAST, sum(part.size for part in piece.pool)), work)

    def _large(self, handle: _Handle, item: Item) -> None:
        file = _OpenFile(self, self._create(handle.fd, item.entry), item)
        try:
            os.ftruncate(file.fd, item.entry.size)
            for offset, part in extents(self._source, item.entry):
                file.begin()
                self._workers.submit(max(AT_LEAST, part.size), _ChunkWork(file, offset, part))
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
        with _below(root, item.path) as (directory, name):
            if self._is_same_file(item):
                with contextlib.suppress(OSError), _below(root, item.entry.link) as first:
                    fsio.hard_link(first[1], first[0], name, directory)
                    self._count(1, item.entry.size)
                    return
            self._copy(directory, item)

    def _is_same_file(self, item: Item) -> bool:
        """Whether the file's first name was captured with the same bytes, mode and time.

        They differ when the file was rewritten between the reading of its two names.
        """
        assert self._tree is not None
        try:
            first = find(self._source, self._tree, item.entry.link)
        except PathNotFound:
            return False
        # all but the names, which differ; owners are numbered by piece and compared themselves
        mine, its = (
            msgspec.structs.replace(one.entry, name=b"", owner=0, link=b"") for one in (first, item)
        )
        if mine != its or first.owner != item.owner:
            return False
        return not item.entry.pooled or self._pooled_equal(first, item)

    def _pooled_equal(self, first: Item, second: Item) -> bool:
        mine, its = (b"".join(file_bytes(self._source, one)) for one in (first, second))
        return mine == its

    def _copy(self, directory: int, item: Item) -> None:
        fd = self._create(directory, item.entry)
        try:
            at = 0
            for data in file_bytes(self._source, item):
                _write_at(fd, data, at)
                at += len(data)
            self._metadata.put(fd, item.entry, item.owner)
        finally:
            os.close(fd)
        self._count(1, item.entry.size)


class _OpenFile:
    """A large file whose chunks several workers write; the last one to end finishes it."""

    def __init__(self, writer: DirectoryWriter, fd: int, item: Item) -> None:
        self.fd = fd
        self._direct = open_direct(fd) if item.entry.size >= WORTH else -1
        self._writer = writer
        self._item = item
        self._left = 1
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self._left += 1

    def end(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            try:
                self._writer._metadata.put(self.fd, self._item.entry, self._item.owner)
                fsio.begin_writeback(self.fd)
            finally:
                self._close()
            self._writer._count(1, 0)

    def _close(self) -> None:
        for fd in (self.fd, self._direct):
            if fd >= 0:
                os.close(fd)
        self.fd = self._direct = -1

    def __del__(self) -> None:
        self._close()  # after an error chunks are dropped undone

    def write(self, offset: int, part: Part) -> None:
        data = chunk(self._writer._source, part)
        done = write_direct(self._direct, data, offset)
        # One at a time: the kernel lets one write to a file, and has the others spin meanwhile,
        # which took a quarter of a restore's processor time
        if done < len(data):
            with self._turn:
                _write_at(self.fd, memoryview(data)[done:], offset + done)
        self._writer._count(0, len(data))


@dataclass(frozen=True)
class _ChunkWork:
    file: _OpenFile
    offset: int
    part: Part

    def __call__(self) -> None:
        try:
            self.file.write(self.offset, self.part)
        finally:
            self.file.end()


@contextlib.contextmanager
def _below(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """Open the directory a path leads to, never through a symlink; give it and the last name."""
    *parents, name = path.split(b"/")
    fd = os.open(b".", _DIRECTORY, dir_fd=root)
    try:
        for parent in parents:
            inner = os.open(parent, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd, name
    finally:
        os.close(fd)


def _finish(top: int, node: _Node, metadata: Metadata) -> None:
    """Set the metadata of directories, each after those below it."""
    stack: list[tuple[int, _Node, Iterator[_Node]]] = [(top, node, iter(node.below))]
    while stack:
        fd, at, below = stack[-1]
        child = next(below, None)
        if child is not None:
            inner = os.open(child.entry.name, _DIRECTORY, dir_fd=fd)
            stack.append((inner, child, iter(child.below)))
            continue
        stack.pop()
        metadata.put(fd, at.entry, at.owner, created=False)
        if stack:
            os.close(fd)


def _write_at(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(data)
    while len(view):
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _folded(name: bytes) -> Exists:
    return Exists(
        f"{os.fsdecode(name)!r} and another name of the snapshot are one to this file system",
        "restore to a file system that tells capitals from small letters",
    )
