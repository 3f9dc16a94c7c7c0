"""What putting a tree in the place of another one changes: a step for each path that differs.

Two trees are compared, so a place need not be read twice, and nothing here asks where objects come
from: a repository, a scratch, later a bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from palatine.chunking import SQLITE_MAGIC
from palatine.model.tree import Entry, EntryKind
from palatine.store.differences import (
    Remembering,
    Side,
    pairs,
    pooled_bytes,
    same_content,
    same_facts,
)
from palatine.store.trees import Item, NotKept, Source, chunk, extents


class Deed(StrEnum):
    """What happens to a path."""

    KEEP = "keep"
    """It is as it shall be."""
    WRITE = "write"
    """It is there with other bytes (a symlink: with another target)."""
    ADD = "add"
    REMOVE = "remove"
    META = "meta"
    """The same bytes, but another mode, owner, time or attribute."""


@dataclass(frozen=True)
class Step:
    """What happens to one path (bytes, from the place's root).

    `size` is how many bytes will be written. `wanted` is None for what is removed, `present` for
    what is added. `named` says that a snapshot knows the path as a database.
    """

    path: bytes
    deed: Deed
    kind: EntryKind
    size: int
    wanted: Item | None
    present: Item | None
    source: Source
    named: bool = False

    @cached_property
    def database(self) -> bool:
        """Whether the path is an SQLite database, now or afterwards; may read its first chunk."""
        if self.kind != EntryKind.FILE:
            return False
        sides = [item for item in (self.wanted, self.present) if item is not None]
        return self.named or any(begins_as_database(self.source, item) for item in sides)


def compare(  # noqa: PLR0913 - the first five say what, the last two how much to tell of it
    source: Source,
    present: Entry | None,
    wanted: Entry | None,
    wants: Callable[[Item], bool] | None,
    keep_others: bool,
    databases: Set[bytes] = frozenset(),
    all_steps: bool = False,
) -> Iterator[Step]:
    """Yield what turns the directory `present` into `wanted` (roots; None: nothing is there).

    In walk order, a directory before what is in it: who removes goes the other way. A path that is
    of another kind on each side is a REMOVE and an ADD, whatever else is kept. `wants` chooses
    paths (see `Selection.wants`). With `keep_others` what the wanted side lacks is kept, otherwise
    removed. `databases` are paths that snapshots know as such. Equal subtrees are passed over and
    no KEEP is told, unless `all_steps` asks for it. Nothing is said of the two roots themselves.
    """
    held = Remembering(source)
    sides = [Side(held, root.tree if root is not None else None) for root in (present, wanted)]
    leaving = b"/"  # the directory that gives way to something else: all below it goes
    for mine, its in pairs(sides[0], sides[1], wants, all_steps):
        if mine is not None and its is not None and mine.entry.kind != its.entry.kind:
            leaving = mine.path + b"/"
            yield _step(held, mine, None, databases)
            yield _step(held, None, its, databases)
        elif its is not None or not keep_others or mine.path.startswith(leaving):  # type: ignore[union-attr]
            yield _step(held, mine, its, databases)


def begins_as_database(source: Source, item: Item) -> bool:
    """Whether a file's bytes begin as an SQLite database does; False where they are not kept."""
    entry = item.entry
    if entry.kind != EntryKind.FILE or entry.size < len(SQLITE_MAGIC):
        return False
    if entry.pooled:
        return pooled_bytes(source, item).startswith(SQLITE_MAGIC)
    try:
        offset, part = next(extents(source, entry), (-1, None))
        if part is None or offset:
            return False  # it begins with a hole
        return chunk(source, part)[: len(SQLITE_MAGIC)] == SQLITE_MAGIC
    except NotKept:
        return False


def _step(source: Source, mine: Item | None, its: Item | None, databases: Set[bytes]) -> Step:
    item = its or mine
    assert item is not None
    deed = _deed(source, mine, its)
    size = item.entry.size if deed in (Deed.WRITE, Deed.ADD) else 0
    named = item.path in databases
    return Step(item.path, deed, item.entry.kind, size, its, mine, source, named)


def _deed(source: Source, mine: Item | None, its: Item | None) -> Deed:
    if mine is None:
        return Deed.ADD
    if its is None:
        return Deed.REMOVE
    if not same_content(source, mine, source, its):
        return Deed.WRITE
    return Deed.KEEP if same_facts(mine, its) else Deed.META
