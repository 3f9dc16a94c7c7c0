"""Lists: the chunks of a big file, as a tree of content-defined pieces.

A list of level 1 holds chunks, one of level n lists of level n-1. A list ends after the part whose
id says so, so a changed chunk rewrites one list of each level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palatine.errors import Malformed
from palatine.ids import ID_SIZE, Buffer, ObjectId
from palatine.model.encoding import Decoder, Stored
from palatine.model.tree import MAX_LEVEL, Part

INLINE_MAX = 16
"""A file of at most this many parts has them in its entry, without a list."""

LIST_MIN, LIST_MAX = 64, 1024
"""Parts in a list: at least, before an id may end it, and at most."""

CUT_MASK = 0xFF
"""An id ends a list when the low bits of its first byte are all zero: one id in 256."""


class FileList(Stored, frozen=True):
    """A run of a file: parts of the level below, 0 being chunks."""

    level: int
    parts: tuple[Part, ...]


_DECODER = Decoder(FileList)


def decode_list(data: Buffer, object_id: ObjectId) -> FileList:
    """Return a list from its bytes; raises Malformed, naming the object."""
    what = f"list {object_id.hex()}"
    value = _DECODER.decode(data, what)
    if not 1 <= value.level <= MAX_LEVEL or not value.parts or len(value.parts) > LIST_MAX:
        raise Malformed(f"{what} has a bad level or a bad number of parts")
    if any(len(part.id) != ID_SIZE or part.size <= 0 for part in value.parts):
        raise Malformed(f"{what} holds a bad part")
    return value


def ends_list(count: int, last: ObjectId) -> bool:
    """Whether a list of `count` parts ends after the part with the id `last`."""
    return count == LIST_MAX or (count >= LIST_MIN and not last[0] & CUT_MASK)


def pieces(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
    """Cut a run of parts into the runs that one list each holds."""
    run: list[Part] = []
    for part in parts:
        run.append(part)
        if ends_list(len(run), part.id):
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)
