"""What must come of a merge, from plain dictionaries, and databases and palaces to merge."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import palatine
from palatine.layouts.merging import Table
from palatine.ops.restoring import Restored
from palatine.ops.snapshot import Done
from palatine.restore.merge.database import DatabaseMerge, Job
from palatine.restore.merge.report import Report, Winner
from palatine.restore.merge.tables import Manner

State = dict[str, Any]
Write = Callable[[sqlite3.Connection], object]


def model(ours: State, theirs: State, base: State, prefer: str = "") -> tuple[State, set[str]]:
    """Return what a merge leaves, and the keys of its conflicts: the slow and obvious way."""
    merged, conflicts = {}, set()
    for key in ours.keys() | theirs.keys() | base.keys():
        mine, its, old = ours.get(key), theirs.get(key), base.get(key)
        if mine == its or its == old:
            taken = mine
        elif mine == old:
            taken = its
        else:
            conflicts.add(key)
            taken = its if prefer == "theirs" else mine
        if taken is not None:
            merged[key] = taken
    return merged, conflicts


def write(path: Path, *steps: str | Write) -> None:
    """Write to a database: scripts, or functions of a connection; at rest afterwards."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for step in steps:
            db.executescript(step) if isinstance(step, str) else step(db)


def rows(path: Path, query: str) -> list[Any]:
    """Return what a query finds in a sound database; rows of one column as plain values."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = db.execute(query).fetchall()
    return [one[0] if len(one) == 1 else one for one in found]


class Databases:
    """Three databases of one schema, for a merge without a palace around them."""

    def __init__(self, root: Path, schema: str = "") -> None:
        self.root = root
        self.ours, self.theirs, self.base = (
            root / f"{name}.db" for name in ("ours", "theirs", "base")
        )
        for path in (self.ours, self.theirs, self.base):
            path.unlink(missing_ok=True)
            write(path, schema)

    def both(self, *steps: str | Write) -> None:
        """Write the same to all three: what there was when the two went apart."""
        for path in (self.ours, self.theirs, self.base):
            write(path, *steps)

    def merge(
        self, known: Mapping[str, Table] | None = None, prefer: Winner = "", base: bool = True
    ) -> Report:
        """Merge theirs into ours."""
        report = Report()
        job = Job(b"a.db", self.ours, self.theirs, self.base if base else None, known or {})
        merge = DatabaseMerge(job, Manner(prefer, "me"), report)
        try:
            assert merge.begin()
            merge.merge()
            merge.commit()
        finally:
            merge.close()
        return report


def whys(report: Report) -> list[tuple[str, str]]:
    """Return table (or path) and reason of each conflict."""
    return [(one.table or one.path.decode(), one.why) for one in report.conflicts]


def counts(report: Report, table: str) -> tuple[int, int, int, int, int]:
    """Return how many rows of a table were added, kept, updated, removed, in conflict."""
    (one,) = (one for one in report.counts if table in (one.table, one.path.decode()))
    return (one.added, one.kept, one.updated, one.removed, one.conflicting)


class Pair:
    """Two palaces, ours and theirs, in one repository; theirs is called `theirs` there."""

    def __init__(self, root: Path, ours: Path, theirs: Path) -> None:
        self.ours, self.theirs = ours, theirs
        self.repository, self.cache = root / "repository", root / "cache"
        palatine.init(self.repository)

    def open(self) -> palatine.Repository:
        """Open the repository."""
        return palatine.open_repository(self.repository, cache=self.cache)

    def snapshot(self, **options: Any) -> Done:
        """Snapshot theirs."""
        with self.open() as repository:
            return repository.snapshot(self.theirs, palace="theirs", **options)

    def relate(self) -> None:
        """Make theirs, which is not there yet, a copy of ours that knows where it comes from."""
        with self.open() as repository:
            repository.snapshot(self.ours, palace="ours")
            repository.restore("ours", self.theirs)
            repository.snapshot(self.theirs, palace="theirs")
            repository.restore("ours", self.theirs, merge=True)

    def merge(self, revision: str = "theirs", **options: Any) -> Restored:
        """Snapshot theirs, and merge it into ours."""
        self.snapshot()
        with self.open() as repository:
            return repository.restore(revision, self.ours, merge=True, **options)


def report_of(done: Restored) -> Report:
    """Return what a merge did."""
    assert done.merged is not None
    return done.merged


def insert(table: str, values: Iterable[tuple[Any, ...]]) -> Write:
    """Return what adds rows to a table."""

    def step(db: sqlite3.Connection) -> None:
        for row in values:
            db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)

    return step
