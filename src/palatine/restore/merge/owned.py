"""Rows of another table that are part of a row: compared, taken and removed with it.

So two versions of one drawer never become a mixture of both. A full-text table without an index
over its link is looked through once, into a temporary table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from palatine.layouts.merging import Owned
from palatine.restore.merge.schema import Shape, quoted
from palatine.restore.merge.subjects import BASE, OURS, THEIRS


class OwnedRows:
    """The owned rows of one table, on all sides."""

    def __init__(self, db: sqlite3.Connection, owned: Owned, shapes: Mapping[str, Shape]) -> None:
        self.number = owned.number
        self._db = db
        self._owned = owned
        self._shapes = shapes
        ours, theirs = shapes[OURS], shapes[THEIRS]
        self._columns = sorted(
            column for column, one in ours.columns.items()
            if column in theirs.columns and not one.generated
            and column not in (owned.column, ours.number)
        )  # fmt: skip
        self._looked_up = {side: self._look_up(side) for side in shapes}

    def value(self, side: str, alias: str) -> str:
        """Return all that belongs to a row, as one value; NULL for nothing."""
        if side not in self._shapes:
            return "NULL"
        columns = [
            column for column in self._columns
            if BASE not in self._shapes or column in self._shapes[BASE].columns
        ]  # fmt: skip
        told = " || ',' || ".join(_told(f"w.{quoted(column)}") for column in columns) or "''"
        rows = f"SELECT {told} AS row {self._of(side, f'{alias}.{quoted(self._owned.number)}')}"
        return f"(SELECT group_concat(row, ';') FROM ({rows} ORDER BY row))"

    def take(self, mine: object, its: object) -> None:
        """Give our row what belongs to theirs; both are told by their numbers."""
        self.drop(mine)
        columns = ", ".join(quoted(one) for one in (self._owned.column, *self._columns))
        values = ", ".join((":mine", *(f"w.{quoted(one)}" for one in self._columns)))
        self._db.execute(
            f"INSERT INTO {self._table(OURS)}({columns})"
            f" SELECT {values} {self._of(THEIRS, ':its')}",
            {"mine": mine, "its": its},
        )

    def drop(self, mine: object) -> None:
        """Remove what belongs to our row."""
        where = f"{quoted(self._owned.column)} = :mine"
        if lookup := self._looked_up[OURS]:
            where = f"rowid IN (SELECT at FROM temp.{lookup} WHERE link = :mine)"
        self._db.execute(f"DELETE FROM {self._table(OURS)} WHERE {where}", {"mine": mine})

    def _of(self, side: str, number: str) -> str:
        """Return FROM and WHERE for what belongs to a number."""
        table = f"FROM {self._table(side)} AS w"
        if lookup := self._looked_up[side]:
            return f"{table} JOIN temp.{lookup} AS l ON w.rowid = l.at WHERE l.link = {number}"
        return f"{table} WHERE w.{quoted(self._owned.column)} = {number}"

    def _table(self, side: str) -> str:
        return f"{side}.{quoted(self._shapes[side].name)}"

    def _look_up(self, side: str) -> str:
        """Make what finds rows by their link, where the table itself cannot; return its name."""
        shape, link = self._shapes[side], self._owned.column
        leading = {"rowid", *(unique[0] for unique in shape.unique)}
        if link in leading:
            return ""
        name = quoted(f"links of {shape.name} in {side}")
        self._db.execute(f"CREATE TEMP TABLE {name}(link, at INTEGER PRIMARY KEY)")
        found = f"SELECT {quoted(link)}, {shape.locator[0]} FROM {self._table(side)}"
        self._db.execute(f"INSERT INTO temp.{name} {found}")
        index = quoted(f"index of links of {shape.name} in {side}")
        self._db.execute(f"CREATE INDEX temp.{index} ON {name}(link)")
        return name


def _told(cell: str) -> str:
    # quote() alone ends a text at its first NUL
    return f"CASE typeof({cell}) WHEN 'text' THEN 't' || hex({cell}) ELSE quote({cell}) END"
