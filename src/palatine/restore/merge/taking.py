"""Writing to one table of ours: rows of theirs are added, put in the place of ours, or ours go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from palatine.restore.merge.obstacles import Given, Locator, Obstacle, Obstacles, Origin
from palatine.restore.merge.owned import OwnedRows
from palatine.restore.merge.queries import Queries, both, cell
from palatine.restore.merge.report import Why
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import OURS, THEIRS, Subject


class Taker:
    """Writes to one table. `name` is what the palace calls itself."""

    def __init__(
        self,
        db: sqlite3.Connection,
        subject: Subject,
        owned: Sequence[OwnedRows],
        obstacles: Obstacles,
        name: str | None,
    ) -> None:
        self._db = db
        self._subject = subject
        self._owned = owned
        self._obstacles = obstacles
        self._name = name
        self._said: tuple[Origin, str] | None = None
        self._table = f"main.{quoted(subject.ours.name)}"
        queries = Queries(subject, owned)
        self._ours = queries.table(OURS)
        self._here = both(f"{one} = :o{n}" for n, one in enumerate(queries.locators(OURS)))
        self.theirs = Origin(
            queries.table(THEIRS),
            both(f"{one} = :t{n}" for n, one in enumerate(queries.locators(THEIRS))),
            {
                column: queries.carried(THEIRS, column, OURS)
                for column in subject.shapes[THEIRS].columns
            },
        )

    @property
    def plain(self) -> bool:
        """Whether nothing but the table's own constraints can be in the way of a new row."""
        return not (self._subject.references or self._owned or self._subject.known.only_one)

    def insert_sql(self, origin: Origin) -> str:
        """Return what adds an origin's rows, without a condition; see `given`."""
        if self._said is None or self._said[0] is not origin:
            self._said = (origin, self._insert_sql(origin))
        return self._said[1]

    def _insert_sql(self, origin: Origin) -> str:
        values = dict(self._new_values(origin)) or {self._subject.ours.locator[0]: "NULL"}
        columns = ", ".join(quoted(column) for column in values)
        return (
            f"INSERT INTO {self._table}({columns})"
            f" SELECT {', '.join(values.values())} FROM {origin.table}"
        )

    def given(self, found_by: Given) -> dict[str, object]:
        """Return all parameters of a query."""
        return {"name": self._name, **found_by}

    def insert(self, origin: Origin, found_by: Given) -> Obstacle | None:
        """Add one row; return what was in the way instead."""
        given = self.given(found_by)
        obstacle = self._obstacles.to_putting(origin, given, None)
        if obstacle is not None:
            return obstacle
        try:
            cursor = self._db.execute(f"{self.insert_sql(origin)} WHERE {origin.where}", given)
        except sqlite3.IntegrityError as error:
            return _refused(error)
        if cursor.rowcount != 1:
            return Obstacle(Why.CONSTRAINT, "a trigger here passes it over")
        self._take_owned(given, {"o0": cursor.lastrowid})
        return None

    def update(self, found_by: Given, mine: Locator) -> Obstacle | None:
        """Make our row what theirs is; return what was in the way instead."""
        given, at = self.given(found_by), placed(mine)
        obstacle = self._obstacles.to_putting(self.theirs, given, at)
        if obstacle is not None:
            return obstacle
        sets = {column: self.theirs.cells[column] for column in self._subject.values}
        try:
            self._set({**sets, **self._greatest()}, given, at)
        except sqlite3.IntegrityError as error:
            return _refused(error)
        self._take_owned(given, at)
        return None

    def grow(self, found_by: Given, mine: Locator) -> None:
        """Raise what only grows to theirs."""
        self._set(self._greatest(), self.given(found_by), placed(mine))

    def delete(self, mine: Locator) -> Obstacle | None:
        """Remove one of our rows; return what was in the way instead."""
        at = placed(mine)
        obstacle = self._obstacles.to_removing(at)
        if obstacle is not None:
            return obstacle
        for owned, number in self._numbers(OURS, self._ours, self._here, at):
            owned.drop(number)
        try:
            self._db.execute(f"DELETE FROM {self._table} AS o WHERE {self._here}", at)
        except sqlite3.IntegrityError as error:
            return _refused(error)
        return None

    def in_the_way(self, origin: Origin, found_by: Given, mine: Locator) -> list[Locator]:
        """Return our rows, other than `mine`, that have what must be unique."""
        cells = dict(self._new_values(origin))
        rows = self._obstacles.in_the_way(cells, origin, self.given(found_by))
        return [row for row in rows if row != mine]

    def retire(self, origin: Origin, found_by: Given, mine: Locator) -> int:
        """End our rows that hold although only theirs shall; return how many."""
        only = self._subject.known.only_one
        assert only is not None
        given = self.given(found_by)
        rows = self._obstacles.holding(origin, given, placed(mine) or None)
        for row in rows:
            self._set({only.ends: origin.cells[only.begins]}, given, placed(row), origin)
        return len(rows)

    def _new_values(self, origin: Origin) -> Iterator[tuple[str, str]]:
        """Yield the columns of a new row, and what they get."""
        known, ours = self._subject.known, self._subject.ours
        for column, one in ours.columns.items():
            if one.generated or (column == ours.number and column in known.local):
                continue
            if column in known.named and self._name is not None:
                yield column, ":name"
            elif known.local.get(column) is not None:
                yield column, f"({known.local[column]})"
            elif column in origin.cells:
                yield column, origin.cells[column]

    def _greatest(self) -> dict[str, str]:
        return {
            column: f"CASE WHEN {Queries.ahead(column)} THEN {cell(THEIRS, column)}"
            f" ELSE {cell(OURS, column)} END"
            for column in sorted(self._subject.known.greatest)
        }

    def _set(
        self, sets: Mapping[str, str], given: Given, at: Given, origin: Origin | None = None
    ) -> None:
        if not sets:
            return
        columns = ", ".join(quoted(column) for column in sets)
        origin = origin or self.theirs
        values = f"SELECT {', '.join(sets.values())} FROM {origin.table} WHERE {origin.where}"
        self._db.execute(
            f"UPDATE {self._table} AS o SET ({columns}) = ({values}) WHERE {self._here}",
            {**given, **at},
        )

    def _take_owned(self, given: Given, at: Given) -> None:
        if not self._owned:
            return
        mine = self._numbers(OURS, self._ours, self._here, at)
        its = self._numbers(THEIRS, self.theirs.table, self.theirs.where, given)
        for (owned, number), (_, their_number) in zip(mine, its, strict=True):
            owned.take(number, their_number)

    def _numbers(
        self, side: str, table: str, where: str, at: Given
    ) -> Iterator[tuple[OwnedRows, object]]:
        """Yield for each owned table what its rows call a row."""
        for owned in self._owned:
            sql = f"SELECT {cell(side, owned.number)} FROM {table} WHERE {where}"
            yield owned, self._db.execute(sql, at).fetchone()[0]


def placed(mine: Locator) -> dict[str, object]:
    """Return the parameters that find a row of ours."""
    return {f"o{n}": value for n, value in enumerate(mine)}


def _refused(error: sqlite3.IntegrityError) -> Obstacle:
    words = str(error)
    if error.sqlite_errorname in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        same = words.removeprefix("UNIQUE constraint failed: ")
        return Obstacle(Why.UNIQUE, f"another row here has the same {same}")
    return Obstacle(Why.CONSTRAINT, words)
