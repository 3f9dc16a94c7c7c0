"""A native bundle into objects: the same trees that capture made of the same files.

Files are cut as capture cuts them (capture/files.py, capture/images.py) and entries put into the
same pieces, so that a bundle's trees have the ids of the snapshot that was exported, in any
repository with its digest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from palatine.bundle.native.content import Content
from palatine.bundle.native.manifest import Head
from palatine.bundle.native.matching import Arrived
from palatine.bundle.native.record import Record, owner_of
from palatine.capture.lists import ListBuilder
from palatine.capture.pieces import Counts, DirectoryBuilder
from palatine.capture.signatures import UNKNOWN, Signatures
from palatine.capture.sink import Sink
from palatine.chunking import HEAD_SIZE, cut_by_content, cut_fixed, is_rewritten_in_place
from palatine.errors import Malformed
from palatine.events import Reporter
from palatine.ids import Buffer, Kind, ObjectId
from palatine.model.config import Chunking
from palatine.model.snapshot import Snapshot
from palatine.model.tree import POOLED_MAX, Entry, EntryKind, Owner, Part, check_owner, decode_tree


class Root(NamedTuple):
    """The root of a palace or of an outside part, and its owner."""

    owner: Owner
    entry: Entry


class Intake:
    """Puts a bundle's entries into a sink."""

    def __init__(self, sink: Sink, chunking: Chunking, reporter: Reporter) -> None:
        self._sink = _Checked(sink)
        self._chunking = chunking
        self._reporter = reporter
        self._open: list[_Directory] = []
        self._roots: list[Root] = []
        self._firsts = _Firsts()
        self._counts = Counts()

    def take(self, head: Head, entries: Iterable[Arrived]) -> Snapshot:
        """Return a bundle's snapshot with its trees, as it would be in this repository.

        Everything it refers to was put; all of the bundle was read and compared. Raises Damaged,
        Malformed, Refused, and what the sink raises.
        """
        record = head.snapshot
        self._owner = owner_of(record.owner)
        try:
            for one in entries:
                while self._open and not one.path.startswith(self._open[-1].path + b"/"):
                    self._close_directory()
                self._add(one)
            while self._open:
                self._close_directory()
        finally:
            self._firsts.close()
        self._check_counts(record)
        palace, *outside = self._roots
        if palace.owner != self._owner:
            raise Malformed("the bundle's manifest gives the palace two owners")
        return record.snapshot(palace.entry, outside)

    def _add(self, one: Arrived) -> None:
        owner, entry = one.listed.owned_by(self._owner), _checked(one)
        if owner is not self._owner:
            check_owner(owner, "the bundle's manifest")
        if entry.kind == EntryKind.DIRECTORY:
            self._open.append(_Directory(self._sink, one.path, entry, owner))
            return
        small = b""
        if entry.kind == EntryKind.FILE:
            relative = self._relative(entry.link)
            if one.content is None:
                first, small = self._firsts.get(entry.link)
                entry = msgspec.structs.replace(
                    entry, level=first.level, parts=first.parts, link=relative
                )
            else:
                entry, small = self._file(entry, one.content)
                if one.wanted:
                    self._firsts.put(one.path, entry, small)
                entry = msgspec.structs.replace(entry, link=relative)
        self._open[-1].builder.add(entry, owner, UNKNOWN, small)

    def _file(self, entry: Entry, content: Content) -> tuple[Entry, bytes]:
        """Put a file's content; return its entry with it, or the bytes that go into a pool."""
        if entry.size <= POOLED_MAX and not entry.holes:
            small = content.whole()
            self._reporter.advance(entry.size)
            return entry, small
        in_place = is_rewritten_in_place(entry.name, content.head(HEAD_SIZE))
        lists = ListBuilder(self._sink, None)
        for start, read in content.extents():
            cut = self._chunking
            pieces: Iterator[Buffer] = (
                cut_fixed(read, start, cut.fixed)
                if in_place
                else cut_by_content(read, cut.minimum, cut.average, cut.maximum)
            )
            for data in pieces:
                lists.add(Part(self._sink.put(Kind.CHUNK, data), len(data)))
                self._reporter.advance(len(data))
        level, parts = lists.finish()
        return msgspec.structs.replace(entry, level=level, parts=parts), b""

    def _relative(self, link: bytes) -> bytes:
        """Return the path of a file's first name from its root, of its path in the archive."""
        if not link:
            return b""
        root = self._open[0].path + b"/"
        if not link.startswith(root):
            raise Malformed(f"a file in the bundle is linked with one elsewhere: {link[:200]!r}")
        return link.removeprefix(root)

    def _close_directory(self) -> None:
        done = self._open.pop()
        tree = done.builder.finish()
        counts = done.below.plus(done.builder.counts)
        if not self._open:
            entry = msgspec.structs.replace(done.entry, name=b"", parts=(Part(tree, 0),))
            self._roots.append(Root(done.owner, entry))
            self._counts = self._counts.plus(counts)
            return
        entry = msgspec.structs.replace(done.entry, parts=(Part(tree, 0),))
        above = self._open[-1]
        above.builder.add(entry, done.owner, UNKNOWN)
        above.below = above.below.plus(counts).plus(Counts(directories=1))

    def _check_counts(self, record: Record) -> None:
        said = record.stats
        if self._counts != (said.files, said.directories, said.symlinks, said.size):
            raise Malformed("the bundle's manifest counts other files than it lists")


class _Directory:
    """A directory that is being filled."""

    def __init__(self, sink: Sink, path: bytes, entry: Entry, owner: Owner) -> None:
        self.path = path
        self.entry = entry
        self.owner = owner
        self.builder = DirectoryBuilder(sink, Signatures(None), path, {})
        self.below = Counts()


class _Checked:
    """A sink that takes no tree which a reader would refuse."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.name = sink.name
        self.present = sink.present
        self.get = sink.get

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        if kind == Kind.TREE:
            decode_tree(data, self._sink.name(kind, data))
        return self._sink.put(kind, data, predecessor)


class _Firsts:
    """The files that have further names, in a scratch file of SQLite's own."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA cache_size=-8000")
        self._db.execute("CREATE TABLE first (path BLOB PRIMARY KEY, entry BLOB, small BLOB)")
        self._decoder = msgspec.msgpack.Decoder(Entry)

    def put(self, path: bytes, entry: Entry, small: bytes) -> None:
        row = path, msgspec.msgpack.encode(entry), small
        self._db.execute("INSERT INTO first VALUES (?, ?, ?)", row)

    def get(self, path: bytes) -> tuple[Entry, bytes]:
        query = "SELECT entry, small FROM first WHERE path = ?"
        found = self._db.execute(query, (path,)).fetchone()
        if found is None:
            raise Malformed(f"the bundle has a link to {path[:200]!r}, which is not there")
        return self._decoder.decode(found[0]), found[1]

    def close(self) -> None:
        self._db.close()


def _checked(one: Arrived) -> Entry:
    """Return an arrived entry as trees have it; raises Malformed for what no tree can hold."""
    entry = one.listed.entry()
    try:
        msgspec.msgpack.encode(entry)
    except (OverflowError, UnicodeEncodeError):
        raise Malformed(
            f"the bundle's manifest holds a number out of range, of {one.path[:200]!r}"
        ) from None
    return entry
