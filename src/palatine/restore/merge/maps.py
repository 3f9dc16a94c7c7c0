"""What a number (or another local value) of one side is on the others, by the row it belongs to.

Rows without a key are one another's by what they hold, in the order in which they stand.
"""

from __future__ import annotations

import sqlite3

from palatine.restore.merge.queries import ALIAS, Queries, both, cell, map_table
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import BASE, OURS, THEIRS, Subject


def make_map(db: sqlite3.Connection, subject: Subject, queries: Queries, column: str) -> None:
    """Make, or make anew, the map of a column of a table, as its rows are now."""
    table = map_table(subject.name, column)
    pairs = _Pairs(subject, queries, column)
    db.execute(f"DROP TABLE IF EXISTS {table}")
    db.execute(f"CREATE TEMP TABLE {table[5:]}(main, theirs, base)")
    db.execute(f"INSERT INTO {table} {pairs.from_theirs()}")
    if subject.has_base:
        db.execute(f"INSERT INTO {table} {pairs.from_base()}")
    for side in (OURS, THEIRS, BASE):
        index = quoted(f"{side} in map of {subject.name}.{column}")
        db.execute(f"CREATE INDEX temp.{index} ON {table[5:]}({side})")


class _Pairs:
    """The queries that pair the rows of the sides."""

    def __init__(self, subject: Subject, queries: Queries, column: str) -> None:
        self._subject = subject
        self._queries = queries
        self._column = column

    def from_theirs(self) -> str:
        found = [cell(OURS, self._column), cell(THEIRS, self._column), "NULL"]
        joins = self._joined(THEIRS, OURS)
        if self._subject.has_base:
            found[2] = cell(BASE, self._column)
            joins += self._joined(THEIRS, BASE)
        return f"SELECT {', '.join(found)} FROM {self._rows(THEIRS)}{joins}"

    def from_base(self) -> str:
        return (
            f"SELECT {cell(OURS, self._column)}, NULL, {cell(BASE, self._column)}"
            f" FROM {self._rows(BASE)}{self._joined(BASE, OURS)}{self._joined(BASE, THEIRS)}"
            f" WHERE {cell(THEIRS, self._column)} IS NULL"
        )

    def _joined(self, side: str, to: str) -> str:
        if self._subject.key:
            return f" LEFT JOIN {self._rows(to)} ON {self._queries.match(side, to)}"
        names = [*(f"c{n}" for n in range(len(self._subject.values))), "nth"]
        on = both(f"{ALIAS[to]}.{name} IS {ALIAS[side]}.{name}" for name in names)
        return f" LEFT JOIN {self._rows(to)} ON {on}"

    def _rows(self, side: str) -> str:
        """Return a side's rows under its alias; without a key, how many equal ones come before."""
        if self._subject.key:
            return self._queries.table(side)
        shape = self._subject.shapes[side]
        values = [
            f"{self._queries.carried(side, column, OURS)} COLLATE BINARY"
            if column in shape.columns else "NULL"
            for column in self._subject.values
        ]  # fmt: skip
        named = ", ".join(f"{value} AS c{n}" for n, value in enumerate(values))
        equal = f"PARTITION BY {', '.join(values)} " if values else ""
        nth = f"row_number() OVER ({equal}ORDER BY {self._queries.locators(side)[0]}) AS nth"
        rows = ", ".join(filter(None, (cell(side, self._column), named, nth)))
        return f"(SELECT {rows} FROM {self._queries.table(side)}) AS {ALIAS[side]}"
