"""The chunks of a large file: gathered into lists, and those it had in the parent snapshot."""

from __future__ import annotations

from palatine.capture.sink import Sink
from palatine.errors import Damaged
from palatine.ids import Kind, ObjectId
from palatine.model.encoding import encode
from palatine.model.filelist import INLINE_MAX, FileList, ends_list, pieces
from palatine.model.tree import Entry, Part
from palatine.store.trees import extents


class ListBuilder:
    """Gathers a file's chunks into lists, a level at a time, never all chunks at once."""

    def __init__(self, sink: Sink, old: Entry | None) -> None:
        self._sink = sink
        self._old = iter(old.parts if old is not None and old.level == 1 else ())
        self._run: list[Part] = []
        self._lists: list[Part] = []

    def add(self, part: Part) -> None:
        """Append a chunk."""
        self._run.append(part)
        if ends_list(len(self._run), part.id):
            self._put(1, tuple(self._run), self._lists)
            self._run = []

    def finish(self) -> tuple[int, tuple[Part, ...]]:
        """Return the level and the parts that go into the file's entry."""
        if not self._lists and len(self._run) <= INLINE_MAX:
            return 0, tuple(self._run)
        if self._run:
            self._put(1, tuple(self._run), self._lists)
        level, parts = 1, self._lists
        while len(parts) > INLINE_MAX:
            level += 1
            above: list[Part] = []
            for run in pieces(parts):
                self._put(level, run, above)
            parts = above
        return level, tuple(parts)

    def _put(self, level: int, parts: tuple[Part, ...], target: list[Part]) -> None:
        predecessor = next(self._old, None) if level == 1 else None
        data = encode(FileList(level, parts))
        object_id = self._sink.put(Kind.LIST, data, predecessor.id if predecessor else None)
        target.append(Part(object_id, sum(part.size for part in parts)))


class OldExtents:
    """The chunks of a file as the parent snapshot has it, asked for in rising order of offsets."""

    def __init__(self, sink: Sink, old: Entry | None) -> None:
        self._extents = extents(sink, old) if old is not None else iter(())
        self._now = self._next()

    def at(self, offset: int) -> ObjectId | None:
        """Return the id of the chunk that covered an offset."""
        while self._now is not None and self._now[0] + self._now[1].size <= offset:
            self._now = self._next()
        if self._now is None or self._now[0] > offset:
            return None
        return self._now[1].id

    def _next(self) -> tuple[int, Part] | None:
        try:
            return next(self._extents, None)
        except Damaged:
            return None  # a lost list costs only the hints
