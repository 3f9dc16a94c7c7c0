"""What a new palace takes over from the old one beside it: equal files as hard links, and of large
changed files the blocks that stayed, where the file system can share them.

A file is taken over only as long as it is what was captured. Linking moves its ctime: `before` and
`after` add up the stamps of what was linked (see `survey.moved`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Set

from palatine import fsio
from palatine.ids import ObjectId
from palatine.model.tree import EntryKind, Part
from palatine.restore.handles import DIRECTORY, Handle
from palatine.restore.survey import stamp
from palatine.sqlite.sidecars import SUFFIXES
from palatine.store.differences import Remembering, same_content, same_facts
from palatine.store.trees import Item, Source, extents

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PAGE_MIN = 512
"""Bytes in the smallest page of SQLite: what is no multiple of it is no database."""


class Old:
    """The palace that is about to be exchanged, as one thread looks into it."""

    def __init__(
        self, source: Source, top: Handle, tree: ObjectId, torn: Set[bytes] = frozenset()
    ) -> None:
        """Take over from the directory `top`, captured as `tree`, all but what is torn."""
        self.top = top
        self.tree = tree
        self.before = self.after = 0
        self.linked = 0
        self._source = Remembering(source)
        self._torn = torn
        self._clones = True

    def link(self, directory: Handle | None, new: int, item: Item, there: Item | None) -> bool:
        """Give the old file a second name in `new`, if it is the one wanted; return whether."""
        if directory is None or there is None or not self._is_wanted(item, there):
            return False
        name = item.entry.name
        with contextlib.suppress(OSError):  # too many links, or not ours to link
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            # other names of the file would be other places where its ctime moves
            if status.st_nlink > 1 or not self._is_as_captured(directory, status, there):
                return False
            fsio.hard_link(name, directory.fd, name, new)
            self.before += stamp(item.path, status)
            self.after += stamp(item.path, os.stat(name, dir_fd=new, follow_symlinks=False))
            self.linked += 1
            return True
        return False

    @contextlib.contextmanager
    def relinked(self, directory: int, name: bytes, path: bytes) -> Iterator[None]:
        """Give a file of the new palace (at `path`) one more name, in the block."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        yield
        if status.st_nlink > 1 and self._is_shared(path, status):
            now = os.stat(name, dir_fd=directory, follow_symlinks=False)
            self.after += stamp(path, now) - stamp(path, status)

    def clone(self, directory: Handle | None, fd: int, item: Item, there: Item | None) -> bool:
        """Have a new large file begin with all blocks of the old one; return whether it does."""
        if directory is None or there is None or not self._clones or there.path in self._torn:
            return False
        entries = (item.entry, there.entry)
        if any(not one.parts or one.holes or one.kind != EntryKind.FILE for one in entries):
            return False
        with (
            contextlib.suppress(OSError),
            fsio.opened(there.entry.name, _OPEN, directory.fd) as old,
        ):
            if self._is_as_captured(directory, os.fstat(old), there):
                self._clones = fsio.clone(old, fd)
                return self._clones
        return False

    def differing(self, item: Item, there: Item | None) -> Iterator[tuple[int, Part]]:
        """Yield the chunks of a file, with their offsets, that the old one has not in its place."""
        old = extents(self._source, there.entry) if there else iter(())
        held = next(old, None)
        for offset, part in extents(self._source, item.entry):
            while held is not None and held[0] < offset:
                held = next(old, None)
            if held != (offset, part):
                yield offset, part

    def _is_wanted(self, item: Item, there: Item) -> bool:
        """Whether the captured file is the one wanted: in bytes, metadata and as a hard link."""
        if EntryKind.FILE not in (item.entry.kind, there.entry.kind) or there.path in self._torn:
            return False
        if item is there:
            return True
        same = same_facts(item, there) and item.entry.link == there.entry.link
        return same and same_content(self._source, there, self._source, item)

    def _is_as_captured(self, directory: Handle, status: os.stat_result, there: Item) -> bool:
        """Whether a file is what was captured of it: not a database with commits elsewhere."""
        entry = there.entry
        found = (stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or found != (entry.mode, entry.size, entry.mtime_ns):
            return False
        if entry.size % _PAGE_MIN or not entry.size:
            return True
        return not any(_holds(directory.fd, entry.name + suffix) for suffix in SUFFIXES)

    def _is_shared(self, path: bytes, status: os.stat_result) -> bool:
        with contextlib.suppress(OSError):
            mine = os.stat(path, dir_fd=self.top.fd, follow_symlinks=False)
            return os.path.samestat(mine, status)
        return False


def open_old(directory: Handle, name: bytes) -> Handle | None:
    """Open a directory in an old one; None where it is none, or not ours to look into."""
    with contextlib.suppress(OSError):
        return Handle(os.open(name, DIRECTORY, dir_fd=directory.fd))
    return None


def _holds(directory: int, name: bytes) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size > 0
    return False
