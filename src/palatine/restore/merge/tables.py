"""All tables of one database, merged in an order in which nothing is in another one's way for long.

First what theirs added and changed, tables after those they speak of; then what theirs removed, the
other way round; then again what had something in its way. What is left is forced or a conflict.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from palatine.restore.merge.bags import Bag
from palatine.restore.merge.maps import make_map
from palatine.restore.merge.obstacles import Obstacles, Referrer
from palatine.restore.merge.owned import OwnedRows
from palatine.restore.merge.queries import Queries
from palatine.restore.merge.report import Conflict, Counts, Report, Why, Winner
from palatine.restore.merge.rows import Rows
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import Subject
from palatine.restore.merge.taking import Taker
from palatine.restore.merge.work import Bench, Work


@dataclass(frozen=True)
class Manner:
    """How conflicts are decided, and what the palace calls itself."""

    prefer: Winner = ""
    name: str | None = None


class Tables:
    """The tables of one database, on a connection with all sides attached."""

    def __init__(
        self,
        db: sqlite3.Connection,
        subjects: Sequence[Subject],
        manner: Manner,
        report: Report,
        path: bytes,
    ) -> None:
        self._db = db
        self._manner = manner
        self._report = report
        self._path = path
        self._tables = [self._table(one, subjects) for one in subjects]

    def merge(self) -> None:
        """Merge them all; nothing is committed."""
        for one in self._tables:
            one.put()
        for one in reversed(self._tables):
            one.remove()
        while sum(one.retry() for one in self._tables):
            pass
        for one in self._tables:
            one.settle()
            self._report.counts.append(one.counts)

    @property
    def changed(self) -> bool:
        """Whether any row is not what it was."""
        return any(one.counts.changed for one in self._tables)

    def done(self, table: str) -> list[str]:
        """Return the verbs of SQL that were used on a table."""
        found = next((one.counts for one in self._tables if one.subject.name == table), None)
        if found is None:
            return []
        verbs = {"INSERT": found.added, "UPDATE": found.updated, "DELETE": found.removed}
        return [verb for verb, count in verbs.items() if count]

    def _table(self, subject: Subject, subjects: Sequence[Subject]) -> _Table:
        owned = [OwnedRows(self._db, one, shapes) for one, shapes in subject.owned]
        queries = Queries(subject, owned)
        referrers = [
            Referrer(one, column, to.column)
            for one in subjects
            for column, to in one.references.items()
            if to.table == subject.name
        ]
        obstacles = Obstacles(self._db, subject, queries, referrers)
        taker = Taker(self._db, subject, owned, obstacles, self._manner.name)
        name = f"main.{quoted(subject.ours.name)}"
        ((kept,),) = self._db.execute(f"SELECT count(*) FROM {name}")
        counts = Counts(self._path, subject.ours.name, kept=kept)
        bench = Bench(
            self._db, subject, queries, taker, counts, self._report.conflicts, self._manner.prefer
        )
        mapped = {one.column for one in referrers if one.column in one.subject.mapped}
        columns = {one.to for one in referrers if one.column in mapped}
        return _Table(bench, sorted(columns))


class _Table:
    """One table: the rows that have a key, and those that have none."""

    def __init__(self, bench: Bench, mapped: Sequence[str]) -> None:
        self.subject = bench.subject
        self.counts = bench.counts
        self._bench = bench
        self._mapped = mapped
        self._works: list[Work] = []

    def put(self) -> None:
        """Compare the sides, and take what theirs added and changed."""
        loose = not self.subject.key
        if self.subject.key:
            rows = Rows(self._bench)
            self._works.append(rows)
            loose = rows.compare()
        if loose and self._whole_only():
            self._tell_loose()
        elif loose:
            bag = Bag(self._bench, loose=bool(self.subject.key))
            bag.compare()
            self._works.append(bag)
        for work in self._works:
            work.put()
        self._map()

    def remove(self) -> None:
        """Remove what theirs removed."""
        for work in self._works:
            work.remove()

    def retry(self) -> bool:
        """Try again what something was in the way of; return whether anything went through."""
        through = sum(work.retry() for work in self._works)
        if through:
            self._map()
        return bool(through)

    def settle(self) -> None:
        """Decide about what still waits, after the tables that it speaks of."""
        for work in self._works:
            work.retry()
            work.settle()
        self._map()

    def _map(self) -> None:
        for column in self._mapped:
            make_map(self._bench.db, self.subject, self._bench.queries, column)

    def _whole_only(self) -> bool:
        """Whether a row is more than its columns: parts of it lie elsewhere, or speak of it."""
        local = set(self.subject.known.local) - {self.subject.ours.number}
        return bool(self.subject.owned or local)

    def _tell_loose(self) -> None:
        words = "rows with the same key, or with none, cannot be told apart: they were left out"
        table = self.subject.ours.name
        won: Winner = "ours" if self._bench.prefer == "ours" else ""
        conflict = Conflict(self.counts.path, table, "", Why.CONSTRAINT, words, won)
        self._bench.conflicts.add(conflict)
