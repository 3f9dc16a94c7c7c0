"""Reading databases' images in blocks, and storing them as files are stored.

Under a pin nothing is compressed or stored: a block whose object is there already is known by its
id, the others are kept aside (`spool.py`) until the pin is gone. Of those that would need a file to
be kept in only the ids are kept, and the blocks are read once more: writing 250 MB aside takes a
third of the whole capture. What has another id by then was checkpointed meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from palatine.capture.files import FileContent, read_xattrs
from palatine.capture.holding import Held
from palatine.capture.instant import Instant
from palatine.capture.lists import ListBuilder, OldExtents
from palatine.capture.outcomes import Target
from palatine.capture.sink import Sink
from palatine.capture.spool import Block, Spool
from palatine.errors import PathNotFound
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.tree import POOLED_MAX, Entry, EntryKind, Part
from palatine.sqlite.database import State
from palatine.sqlite.image import Image
from palatine.store.trees import find


class Moved(Exception):
    """What was read under a pin is no longer to be had without it."""


class Images:
    """Reads images of databases, in blocks of a size in bytes, and puts them into a sink."""

    def __init__(self, sink: Sink, reporter: Reporter, block: int) -> None:
        self._sink = sink
        self._reporter = reporter
        self._block_size = block

    def read_pinned(self, one: Instant, spool: Spool) -> list[Block] | None:
        """Read a pinned database; None when its WAL is not as it should be, or it moved.

        What the spool does not keep is read again by `store`, which raises Moved when it cannot.
        """
        image = one.held.database.pinned_image(one.header)
        if image is None:
            return None
        old = OldExtents(self._sink, self._old_entry(one.held.target))
        blocks = []
        at = 0
        while data := image.read(at, self._block_size):
            blocks.append(self._block(image, at, data, old.at(at), spool))
            at += len(data)
        if one.held.state == State.REST and not _at_rest(one.held):
            return None
        return blocks

    def store_resting(self, one: Held, spool: Spool) -> FileContent:
        """Read and store a database that nobody is at work on.

        Raises sqlite3.Error when its journal cannot be rolled back.
        """
        with contextlib.ExitStack() as stack:
            return self.store(one, self._streamed(_resting_image(one, stack)), spool)

    def store(self, one: Held, blocks: Iterable[Block], spool: Spool) -> FileContent:
        """Put a database's blocks; return what goes into its entry. Raises Moved."""
        database = one.database
        status, xattrs = os.fstat(database.main), read_xattrs(database.main)
        entry = self._old_entry(one.target)
        lists, old = ListBuilder(self._sink, entry), OldExtents(self._sink, entry)
        at = 0
        for block in blocks:
            if not at and block.size <= POOLED_MAX:
                small = bytes(spool.load(block))
                return FileContent(status, block.size, small, 0, (), (), xattrs, torn=False)
            lists.add(Part(self._put(block, old.at(at), spool), block.size))
            self._reporter.advance(block.size)
            at += block.size
        level, parts = lists.finish()
        return FileContent(status, at, b"", level, parts, (), xattrs, torn=False)

    def _block(
        self,
        image: Image,
        at: int,
        data: bytes | bytearray,
        predecessor: ObjectId | None,
        spool: Spool,
    ) -> Block:
        """Keep a block's bytes, or its id, unless it is the one that stood there before."""
        wanted = spool.takes(data)
        if len(data) <= POOLED_MAX or (wanted and predecessor is None):
            return spool.keep(data)
        block_id = self._sink.name(Kind.CHUNK, data)
        if block_id == predecessor and self._sink.present(block_id):
            return Block(len(data), id=block_id)
        return spool.keep(data) if wanted else Block(len(data), id=block_id, at=at, image=image)

    def _put(self, block: Block, predecessor: ObjectId | None, spool: Spool) -> ObjectId:
        if block.id is not None and block.image is None:
            return block.id
        block_id = self._sink.put(Kind.CHUNK, spool.load(block), predecessor)
        if block.id not in (None, block_id):
            raise Moved
        return block_id

    def _streamed(self, image: Image) -> Iterator[Block]:
        at = 0
        while data := image.read(at, self._block_size):
            yield Block(len(data), data=data)
            at += len(data)

    def _old_entry(self, target: Target) -> Entry | None:
        if target.root.old is None:
            return None
        try:
            entry = find(self._sink, target.root.old, target.path).entry
        except PathNotFound:
            return None
        return entry if entry.kind == EntryKind.FILE else None


def _at_rest(one: Held) -> bool:
    """Whether nobody has come to a locked database at rest since it was opened here.

    Its lock does not keep anybody away. Who comes makes a WAL, which no longer goes while the lock
    is there; what the WAL holds may be older than the instant, and get into the main file.
    """
    return one.database.same_files() and one.database.state() == State.REST


def _resting_image(one: Held, stack: contextlib.ExitStack) -> Image:
    database = one.database
    if one.state == State.CRASHED_WAL:
        return database.abandoned_image()
    if one.state == State.HOT_JOURNAL:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palatine-")))
        copy = os.open(database.recovered_copy(scratch), os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, copy)
        return Image(copy, os.fstat(copy).st_size)
    return Image(database.main, os.fstat(database.main).st_size)
