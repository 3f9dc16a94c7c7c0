"""What a live restore does at a place: what differs, with databases as SQLite sees them.

A database whose content is equal is left alone although its header differs, and so are its times: a
service sets them. Its sidecars are never files of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from palatine.errors import PathNotFound
from palatine.events import Reporter
from palatine.model.tree import EntryKind
from palatine.restore.plan import Deed, Step, begins_as_database
from palatine.restore.task import Place, Root
from palatine.sqlite.fitting import masked
from palatine.sqlite.sidecars import SUFFIXES
from palatine.store.differences import pooled_bytes
from palatine.store.trees import Item, NotKept, Source, chunk, chunks, find


class LiveSteps:
    """The steps of one place."""

    def __init__(self, source: Source, place: Place, reporter: Reporter) -> None:
        self._source = source
        self._place = place
        self._reporter = reporter
        self._written: set[bytes] = set()

    def steps(self, delete: bool) -> Iterator[Step]:
        """Yield what differs, in walk order; `delete` also what the wanted side lacks."""
        self._written.clear()
        for step in self._place.steps(self._source, keep_others=not delete):
            base = database_name(step.path) if step.kind == EntryKind.FILE else None
            if base is not None and self._is_database(base):
                yield from self._sidecar(step, base)
            elif step.deed in (Deed.WRITE, Deed.META) and step.database:
                yield from self._database(step)
            else:
                yield step
            self._written.add(step.path)

    def wanted(self, path: bytes) -> Item | None:
        """Return the wanted entry at a path, or None."""
        return self._item(self._place.wanted, path)

    def _database(self, step: Step) -> Iterator[Step]:
        mine, its = step.present, step.wanted
        assert mine is not None
        assert its is not None
        if step.deed == Deed.WRITE and not _equal_but_for_header(self._source, mine, its):
            yield step
        elif database_facts(mine) != database_facts(its):
            yield replace(step, deed=Deed.META, size=0)

    def _sidecar(self, step: Step, base: bytes) -> Iterator[Step]:
        """Have the database itself written whose WAL differs, as SQLite would read both."""
        if step.wanted is None:
            return  # it goes with what takes its database's place
        wanted, present = self.wanted(base), self._item(self._place.present, base)
        if wanted is None:
            self._reporter.notice(
                f"{step.path.decode(errors='replace')} was left out: it is not the WAL of the"
                " database that is there"
            )
        elif base not in self._written:
            deed = Deed.WRITE if present is not None else Deed.ADD
            yield replace(
                step, path=base, deed=deed, size=wanted.entry.size, wanted=wanted, present=present
            )

    def _is_database(self, path: bytes) -> bool:
        roots = [one for one in (self._place.wanted, self._place.present) if one is not None]
        found = [self._item(root, path) for root in roots]
        return any(path in root.databases for root in roots) or any(
            item is not None and begins_as_database(self._source, item) for item in found
        )

    def _item(self, root: Root | None, path: bytes) -> Item | None:
        if root is None:
            return None
        try:
            return find(self._source, root.entry.tree, path)
        except PathNotFound:
            return None


def database_name(path: bytes) -> bytes | None:
    """Return the path of the database that a file of this name would be a sidecar of, or None."""
    for suffix in SUFFIXES:
        base = path.removesuffix(suffix)
        if base != path and not base.endswith(b"/") and base:
            return base
    return None


def database_facts(item: Item) -> object:
    """Return what is restored of a database besides its content."""
    return item.entry.mode, item.owner, item.entry.xattrs


def _equal_but_for_header(source: Source, mine: Item, its: Item) -> bool:
    """Whether two files are databases of equal content; see `masked`."""
    a, b = mine.entry, its.entry
    if a.size != b.size or a.holes or b.holes:
        return False
    if not (begins_as_database(source, mine) and begins_as_database(source, its)):
        return False
    if a.pooled:
        return masked(pooled_bytes(source, mine)) == masked(pooled_bytes(source, its))
    parts = itertools.zip_longest(chunks(source, a), chunks(source, b))
    first, second = next(parts)
    if first is None or second is None or first.size != second.size:
        return False
    try:
        equal = masked(chunk(source, first)) == masked(chunk(source, second))
    except NotKept:
        return False  # a dry run keeps no chunks of what is there
    return equal and all(one == other for one, other in parts)
