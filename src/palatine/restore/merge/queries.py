"""The SQL that compares one table of three databases.

The sides are attached to one connection: `main` is ours, `theirs`, and perhaps `base`. Values are
compared with IS, byte by byte (COLLATE BINARY), column by column by name: nothing is positional.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palatine.restore.merge.owned import OwnedRows
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import BASE, OURS, THEIRS, Subject

ALIAS = {OURS: "o", THEIRS: "t", BASE: "b"}
NOT_HERE = "x'00'"
"""What a number becomes whose row is not on the other side: no number, and not NULL either."""


class Queries:
    """The queries of one table; sides go by their aliases in them."""

    def __init__(self, subject: Subject, owned: Sequence[OwnedRows]) -> None:
        self._subject = subject
        self._owned = owned
        self.todo = f"temp.{quoted(f'todo of {subject.name}')}"
        self.bag = f"temp.{quoted(f'bag of {subject.name}')}"
        self.twice = f"temp.{quoted(f'twice in {subject.name}')}"

    def table(self, side: str) -> str:
        """Return a side's table under its alias."""
        return f"{side}.{quoted(self._subject.shapes[side].name)} AS {ALIAS[side]}"

    def locators(self, side: str) -> list[str]:
        """Return the columns that find a side's row again."""
        return [cell(side, column) for column in self._subject.shapes[side].locator]

    def carried(self, side: str, column: str, to: str) -> str:
        """Return a column's value as another side would say it."""
        here = cell(side, column)
        reference = self._subject.mapped.get(column)
        if reference is None or side == to:
            return here
        table = map_table(reference.table, reference.column)
        found = f"(SELECT m.{to} FROM {table} AS m WHERE m.{side} = {here})"
        return f"(CASE WHEN {here} IS NULL THEN NULL ELSE coalesce({found}, {NOT_HERE}) END)"

    def match(self, side: str, to: str) -> str:
        """Return the condition that two sides' rows are one row, by its key."""
        return both(
            f"{cell(to, column)} = {self.carried(side, column, to)}" for column in self._subject.key
        )

    def there(self, side: str) -> str:
        """Return the condition that an outer join found a row of a side."""
        if side not in self._subject.shapes:
            return "0"
        return f"{self.locators(side)[0]} IS NOT NULL"

    def same(self, side: str, to: str) -> str:
        """Return the condition that two sides' rows hold the same, as far as both have columns."""
        shapes = self._subject.shapes
        columns = (
            f"({cell(to, column)} COLLATE BINARY) IS {self.carried(side, column, to)}"
            for column in self._subject.values
            if column in shapes[side].columns and column in shapes[to].columns
        )
        parts = (
            f"{one.value(to, ALIAS[to])} IS {one.value(side, ALIAS[side])}" for one in self._owned
        )
        return both((*columns, *parts))

    def unchanged(self, there: bool) -> str:
        """Return the condition that our row is still the base's.

        Of a column that the base lacks nothing is known: ours may have been set here. Then it must
        be theirs, or, with no row of theirs `there`, what a new row gets.
        """
        ours, base = self._subject.ours, self._subject.shapes[BASE]
        unknown = [column for column in self._subject.values if column not in base.columns]
        if there:
            expected = [self.carried(THEIRS, column, OURS) for column in unknown]
        else:
            expected = [f"({ours.columns[column].default or 'NULL'})" for column in unknown]
        known = [
            f"{cell(OURS, column)} IS {value}"
            for column, value in zip(unknown, expected, strict=True)
        ]
        return both((self.same(BASE, OURS), *known))

    def grown(self) -> str:
        """Return the condition that theirs is ahead where only the greatest value counts."""
        ahead = [self.ahead(column) for column in sorted(self._subject.known.greatest)]
        return f"({self.there(OURS)} AND ({' OR '.join(ahead)}))" if ahead else "0"

    @staticmethod
    def ahead(column: str) -> str:
        """Return the condition that theirs is greater in a column."""
        mine, its = cell(OURS, column), cell(THEIRS, column)
        return f"({its} > {mine} OR ({mine} IS NULL AND {its} IS NOT NULL))"

    def keyed(self, side: str) -> str:
        """Return the condition that a row can be told by its key: all of it is there, and once."""
        key = self._subject.key
        whole = [f"{cell(side, column)} IS NOT NULL" for column in key]
        twice = both(f"{self.carried(side, column, OURS)} = d.{quoted(column)}" for column in key)
        return both((*whole, f"NOT EXISTS (SELECT 1 FROM {self.twice} AS d WHERE {twice})"))


def cell(side: str, column: str) -> str:
    """Return a column of a side."""
    return f"{ALIAS[side]}.{quoted(column)}"


def both(conditions: Iterable[str]) -> str:
    """Return the condition that all of some hold."""
    return " AND ".join(conditions) or "1"


def map_table(table: str, column: str) -> str:
    """Return the temporary table that says what a value of one side is on the others."""
    return f"temp.{quoted(f'map of {table}.{column}')}"
