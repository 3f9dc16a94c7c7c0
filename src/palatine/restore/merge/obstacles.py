"""What may be in the way of a row that is to be added, changed or removed here.

No row is put where it breaks what the tables promise: that what a row speaks of is here, that what
is unique is unique, that only one of some rows holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from palatine.restore.merge.queries import NOT_HERE, Queries, both, cell
from palatine.restore.merge.report import Why
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import OURS, Subject

SHOWN = 60
"""Characters of a value that is shown."""
Locator = tuple[Any, ...]
"""What finds a row again: its rowid or its primary key."""
Given = Mapping[str, object]
"""Named parameters of a query: `t0`… find the row of an origin, `o0`… ours, `name` the palace."""


class Obstacle(NamedTuple):
    """Why a row was not taken, or not removed."""

    why: Why
    words: str


class Referrer(NamedTuple):
    """A column of a table that speaks of another table's column."""

    subject: Subject
    column: str
    to: str


@dataclass(frozen=True)
class Origin:
    """Where a new row comes from: a table under the alias `t`, and the condition that finds it.

    `cells` are its columns as SQL expressions, as they are said here.
    """

    table: str
    where: str
    cells: Mapping[str, str]


class Obstacles:
    """Looks at one table of ours, at those it speaks of, and at those that speak of it."""

    def __init__(
        self,
        db: sqlite3.Connection,
        subject: Subject,
        queries: Queries,
        referrers: Sequence[Referrer],
    ) -> None:
        self._db = db
        self._subject = subject
        self._referrers = referrers
        self._ours = queries.table(OURS)
        self._locators = ", ".join(queries.locators(OURS))
        self._here = both(f"{one} = :o{n}" for n, one in enumerate(queries.locators(OURS)))

    def to_putting(self, origin: Origin, given: Given, mine: Given | None) -> Obstacle | None:
        """Return what is in the way of an origin's row: a new one, or in the place of `mine`."""
        for column, to in self._subject.references.items():
            value = origin.cells.get(column)
            if value is None:
                continue
            row = self._db.execute(
                f"SELECT quote({value}) FROM {origin.table} WHERE {origin.where}"
                f" AND {value} IS NOT NULL AND {self._absent(column, value, origin)}",
                given,
            ).fetchone()
            if row is not None:
                said = "" if column in self._subject.mapped else f", {row[0][:SHOWN]},"
                words = f"its {column}{said} is of a row that {to.table!r} does not have here"
                return Obstacle(Why.REFERS, words)
        only = self._subject.known.only_one
        if only is not None and self.holding(origin, given, mine):
            words = f"another row of the same {' and '.join(only.columns)} holds here"
            return Obstacle(Why.ONLY_ONE, words)
        return None

    def to_removing(self, mine: Given) -> Obstacle | None:
        """Return what is in the way of removing a row of ours: what speaks of it and stays."""
        for one in self._referrers:
            child = one.subject.ours
            value = f"(SELECT {cell(OURS, one.to)} FROM {self._ours} WHERE {self._here})"
            itself = ""
            if one.subject.name == self._subject.name:
                locator = both(f"c.{quoted(name)} = :o{n}" for n, name in enumerate(child.locator))
                itself = f" AND NOT ({locator})"
            found = self._db.execute(
                f"SELECT 1 FROM main.{quoted(child.name)} AS c"
                f" WHERE c.{quoted(one.column)} = {value}{itself} LIMIT 1",
                mine,
            ).fetchone()
            if found is not None:
                return Obstacle(Why.REFERRED, f"rows of {child.name!r} here speak of it")
        return None

    def in_the_way(self, cells: Mapping[str, str], origin: Origin, given: Given) -> list[Locator]:
        """Return our rows that have what must be unique; `cells` are all of the new row."""
        found: dict[Locator, None] = {}
        for unique in self._subject.ours.unique:
            if any(column not in cells for column in unique):
                continue
            same = both(f"{cell(OURS, column)} = {cells[column]}" for column in unique)
            rows = self._db.execute(
                f"SELECT {self._locators} FROM {self._ours}, {origin.table}"
                f" WHERE {origin.where} AND {same}",
                given,
            )
            found.update(dict.fromkeys(rows))
        return list(found)

    def holding(self, origin: Origin, given: Given, mine: Given | None) -> list[Locator]:
        """Return our rows, but `mine`, that hold, where the new row does and only one may."""
        only = self._subject.known.only_one
        if only is None or only.ends not in origin.cells:
            return []
        same = both(f"{cell(OURS, column)} IS {origin.cells[column]}" for column in only.columns)
        other = f" AND NOT ({self._here})" if mine else ""
        return self._db.execute(
            f"SELECT {self._locators} FROM {origin.table}, {self._ours} WHERE {origin.where}"
            f" AND {origin.cells[only.ends]} IS NULL AND {cell(OURS, only.ends)} IS NULL"
            f" AND {same}{other}",
            {**given, **(mine or {})},
        ).fetchall()

    def _absent(self, column: str, value: str, origin: Origin) -> str:
        """Return the condition that what a column speaks of is not here."""
        if column in self._subject.mapped:
            return f"{value} = {NOT_HERE}"
        to = self._subject.references[column]
        found = f"SELECT 1 FROM main.{quoted(to.table)} AS p WHERE p.{quoted(to.column)} = {value}"
        itself = ""
        if to.table == self._subject.name and to.column in origin.cells:
            itself = f" AND {value} IS NOT {origin.cells[to.column]}"
        return f"NOT EXISTS ({found}){itself}"
