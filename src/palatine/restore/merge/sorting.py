"""Which files a merge takes, of one place: three trees compared, path by path.

Databases and lists that both sides have are left to who knows their content. An index is never
merged, a git repository neither, and what is one palace's alone stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass, field
from typing import NamedTuple

from palatine.errors import PathNotFound
from palatine.layouts.base import Layout
from palatine.layouts.merging import Treatment
from palatine.model.tree import EntryKind
from palatine.restore.ledger import Ledger, Role
from palatine.restore.livesteps import database_name
from palatine.restore.merge.gitrefs import refs
from palatine.restore.merge.report import Conflict, Report, Why, Winner
from palatine.restore.merge.verdicts import Verdict, decided
from palatine.restore.plan import begins_as_database
from palatine.restore.task import Place, Root
from palatine.sqlite.sidecars import SUFFIXES
from palatine.store.differences import Remembering, Side, pairs, same_content
from palatine.store.trees import Item, Source, find

LISTED_MAX = 64 << 20
"""Bytes of the largest JSON file that is merged item by item."""
_GIT = b".git"
_LISTED = (Treatment.MERGE, Treatment.NAMES)


class Triple(NamedTuple):
    """One path on all sides; None: it is not there."""

    ours: Item | None
    theirs: Item | None
    base: Item | None

    @property
    def either(self) -> Item:
        """The entry on the side that has it, ours if both do."""
        item = self.ours or self.theirs
        assert item is not None
        return item

    @property
    def path(self) -> bytes:
        """The path from the place's root."""
        return self.either.path

    @property
    def kinds(self) -> set[EntryKind]:
        """What kinds of entries the two sides have."""
        return {one.entry.kind for one in self[:2] if one is not None}


class Listed(NamedTuple):
    """A JSON file to merge item by item; `names`: its objects name by name, too."""

    path: bytes
    names: bool


@dataclass
class Found:
    """What is to be done besides what the ledger says.

    Databases and lists that are merged by their content, directories and files that go (the ledger
    has none of them), and indexes that only theirs has.
    """

    databases: list[bytes] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    emptied: list[bytes] = field(default_factory=list)
    indexes: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Sides:
    """A place, and the base that both sides of it come from, if there is one.

    `missing` are paths that theirs should have and lacks; they begin as the report has them.
    """

    source: Source
    place: Place
    base: Root | None
    layout: Layout
    missing: Set[bytes] = frozenset()

    def ours(self, path: bytes) -> Item | None:
        """Return what is here at a path."""
        return self._find(self.place.present, path)

    def theirs(self, path: bytes) -> Item | None:
        """Return what the snapshot has at a path."""
        return self._find(self.place.wanted, path)

    def old(self, path: bytes) -> Item | None:
        """Return what the base has at a path."""
        return self._find(self.base, path)

    def _find(self, root: Root | None, path: bytes) -> Item | None:
        if root is None:
            return None
        try:
            return find(self.source, root.entry.tree, path)
        except PathNotFound:
            return None


class Sorter:
    """Goes through one place; what is taken whole goes into a ledger, the rest into `found`."""

    def __init__(self, sides: Sides, prefer: Winner, report: Report, ledger: Ledger) -> None:
        self._sides = sides
        self._source = Remembering(sides.source)
        self._place = sides.place
        self._prefer = prefer
        self._report = report
        self._ledger = ledger
        self._passed = b"/"  # everything below is decided
        self._whole = b"/"  # everything below is taken whole, whatever it is
        self._new = b"/"  # everything below is new, and told of as one
        self.found = Found()

    def sort(self) -> None:
        """Decide about everything that differs between ours and theirs."""
        roots = self._place.present, self._place.wanted
        ours, theirs = (Side(self._source, root.entry.tree if root else None) for root in roots)
        for mine, its in pairs(ours, theirs, self._place.selection.wants):
            path = (mine or its).path  # type: ignore[union-attr]
            if not path.startswith(self._passed):
                self._decide(Triple(mine, its, self._sides.old(path)))

    def _decide(self, triple: Triple) -> None:
        path = triple.path
        if path.rpartition(b"/")[2] == _GIT and not path.startswith(self._whole):
            self._decide_git(triple)
            return
        treatment = self._treatment(path)
        if treatment == Treatment.OWN or self._is_sidecar(path):
            self._pass(path)
        elif treatment == Treatment.INDEX and not self._both_databases(triple):
            if triple.ours is None and self._sides.layout.index_of(self._place.prefix + path):
                self.found.indexes.append(path)
            self._pass(path)
        elif EntryKind.DIRECTORY in triple.kinds:
            self._decide_directory(triple)
        else:
            self._decide_file(triple, treatment)

    def _decide_directory(self, triple: Triple) -> None:
        path = triple.path
        if len(triple.kinds) > 1:
            self._conflict(path, Why.KIND)
            self._pass(path)
        elif triple.ours is None and triple.base is None:
            self._take(path, EntryKind.DIRECTORY)
            if not path.startswith(self._new):
                self._report.added.append(self._place.prefix + path + b"/")
                self._new = path + b"/"
        elif triple.theirs is None and triple.base is not None:
            self.found.emptied.append(path)

    def _decide_file(self, triple: Triple, treatment: Treatment) -> None:
        ours, theirs, base = triple
        if self._same(ours, theirs):
            return
        verdict = decided(self._same(theirs, base), self._same(ours, base))
        if verdict == Verdict.KEEP or (theirs is None and self._is_missing(triple.path)):
            return
        path, whole = triple.path, treatment == Treatment.WHOLE
        databases = [one is not None and self._is_database(one) for one in triple[:2]]
        if self._both_databases(triple) and not whole:
            self.found.databases.append(path)
        elif ours is not None and any(databases) and not whole:
            self._conflict(path, Why.DATABASE, _NOT_MERGED[theirs is not None, all(databases)])
        elif verdict == Verdict.CONFLICT and treatment in _LISTED and _may_be_listed(triple):
            self.found.listed.append(Listed(path, treatment == Treatment.NAMES))
        elif verdict == Verdict.TAKE or self._wins(path, _why(triple)):
            self._put(triple, databases[1])

    def _decide_git(self, triple: Triple) -> None:
        """Take a repository that is new here whole; of two only tell that they differ."""
        ours, theirs, base = triple
        path = triple.path
        if ours is None and base is None:
            self._whole = path + b"/"
            if triple.kinds == {EntryKind.DIRECTORY}:
                self._decide_directory(triple)
            else:
                self._put(triple, database=False)
            return
        self._pass(path)
        said = [one and refs(self._source, one) for one in triple]
        if said[0] == said[1] or decided(said[1] == said[2], False) == Verdict.KEEP:
            return
        self._conflict(path, Why.GIT, "" if ours and theirs else _why(triple).value)

    def _put(self, triple: Triple, database: bool) -> None:
        path, theirs = triple.path, triple.theirs
        told = self._place.prefix + path
        if theirs is None:
            self.found.removed.append(path)
            self._report.removed.append(told)
            return
        self._take(path, theirs.entry.kind, database)
        self._report.size += theirs.entry.size
        self._report.files += 1
        if triple.ours is not None:
            self._report.updated.append(told)
        elif not path.startswith(self._new):
            self._report.added.append(told)

    def _take(self, path: bytes, kind: EntryKind, database: bool = False) -> None:
        """Have a path put here, with the directories to it that are not here."""
        parent = path.rpartition(b"/")[0]
        if parent and not path.startswith(self._new) and self._sides.ours(parent) is None:
            self._take(parent, EntryKind.DIRECTORY)
        for suffix in SUFFIXES if database else ():
            if self._sides.theirs(path + suffix) is not None:
                self._ledger.stage(path + suffix, Role.IMAGE)
        self._ledger.stage(path, Role.PUT, kind, database)

    def _wins(self, path: bytes, why: Why) -> bool:
        """Tell of a conflict that can be decided either way; return whether theirs is taken."""
        won = self._prefer
        self._report.conflicts.add(Conflict(self._place.prefix + path, "", "", why.value, "", won))
        return won == "theirs"

    def _conflict(self, path: bytes, why: Why, words: str = "") -> None:
        """Tell of a conflict in which theirs cannot be taken."""
        won: Winner = "ours" if self._prefer == "ours" else ""
        told = self._place.prefix + path
        self._report.conflicts.add(Conflict(told, "", "", why.value, words, won))

    def _treatment(self, path: bytes) -> Treatment:
        if path.startswith(self._whole):
            return Treatment.WHOLE
        treatment = self._sides.layout.merge_file(self._place.prefix + path)
        if treatment == Treatment.WHOLE:
            self._whole = path + b"/"
        return treatment

    def _is_missing(self, path: bytes) -> bool:
        """Whether theirs lacks a path only because it could not be captured."""
        whole = self._place.prefix + path
        return any(whole == one or whole.startswith(one + b"/") for one in self._sides.missing)

    def _pass(self, path: bytes) -> None:
        self._passed = path + b"/"

    def _is_sidecar(self, path: bytes) -> bool:
        base = database_name(path)
        found = (self._sides.ours(base), self._sides.theirs(base)) if base is not None else ()
        return any(one is not None and self._is_database(one) for one in found)

    def _is_database(self, item: Item) -> bool:
        """Whether an entry is a database, be it one that only its own key opens."""
        roots = self._place.present, self._place.wanted
        known = any(root is not None and item.path in root.databases for root in roots)
        return (known and item.entry.size > 0) or begins_as_database(self._source, item)

    def _both_databases(self, triple: Triple) -> bool:
        """Whether both sides have a database whose rows can be read."""
        return all(one is not None and begins_as_database(self._source, one) for one in triple[:2])

    def _same(self, one: Item | None, other: Item | None) -> bool:
        if one is None or other is None:
            return one is other
        return same_content(self._source, one, self._source, other)


_NOT_MERGED = {
    (True, True): "it is encrypted: its rows cannot be compared",
    (True, False): "it is a database on one side only",
    (False, False): "it was removed there, and a merge removes no database",
}
"""Why a database is left alone, by whether theirs has the path, and both have a database there."""


def _may_be_listed(triple: Triple) -> bool:
    """Whether the name says that both sides have JSON, and of a size to be read at once."""
    both = triple.ours is not None and triple.theirs is not None
    small = all(one is None or one.entry.size <= LISTED_MAX for one in triple)
    return both and small and os.fsdecode(triple.path).lower().endswith(".json")


def _why(triple: Triple) -> Why:
    if triple.theirs is None:
        return Why.REMOVED_THERE
    return Why.REMOVED_HERE if triple.ours is None else Why.BOTH
