"""Rows that nothing tells apart but all they hold: how many equal ones there are is what counts.

Events without an id of their own, rows whose key a side has twice, or lacks. Where both sides
changed how many there are, the greater number stays: an event that both know is one event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from palatine.restore.merge.obstacles import Obstacle, Origin
from palatine.restore.merge.queries import cell
from palatine.restore.merge.subjects import BASE, OURS, THEIRS
from palatine.restore.merge.verdicts import counted
from palatine.restore.merge.work import Bench, Work, shown

_SIDES = (OURS, THEIRS, BASE)


class _Group(NamedTuple):
    """Equal rows: how many there are on each side, and the rowids of ours."""

    number: int
    ours: int
    theirs: int
    base: int
    places: str | None

    @property
    def wanted(self) -> int:
        """Return how many there shall be."""
        return counted(self.ours, self.theirs, self.base)

    @property
    def surplus(self) -> list[int]:
        """Return the rowids of ours that are too many."""
        places = sorted(map(int, (self.places or "").split(",")) if self.places else ())
        return places[self.wanted :]


class Bag(Work):
    """The rows of a table that have no key; `loose`: of one whose other rows have one."""

    def __init__(self, bench: Bench, loose: bool) -> None:
        super().__init__(bench)
        self._queries = bench.queries
        self._loose = loose
        self._added: dict[int, int] = {}
        self._columns = [*self._subject.content, *sorted(self._subject.known.greatest)]
        self._names = [f"c{n}" for n in range(len(self._columns))]
        self._origin = Origin(
            f"{self._queries.bag} AS t",
            "t.number = :t0",
            {column: f"t.{name}" for column, name in zip(self._columns, self._names, strict=True)},
        )

    def compare(self) -> None:
        """Work out what is to be done."""
        names = ", ".join(self._names)
        # without declared types, so that every value stays what it is
        self._db.execute(
            f"CREATE TEMP TABLE {self._queries.bag[5:]}"
            f"(number INTEGER PRIMARY KEY, {names}, main, theirs, base, places)"
        )
        sides = [side for side in _SIDES if side in self._subject.shapes]
        rows = " UNION ALL ".join(self._rows(side) for side in sides)
        same = ", ".join(f"{name} COLLATE BINARY" for name in self._names)
        self._db.execute(
            f"INSERT INTO {self._queries.bag}({names}, main, theirs, base, places)"
            f" SELECT {names}, sum(main), sum(theirs), sum(base), group_concat(place)"
            f" FROM ({rows}) GROUP BY {same}"
            " HAVING sum(theirs) <> sum(base) AND sum(main) <> sum(theirs)"
        )

    def put(self) -> None:
        """Add what is wanted more often than it is here."""
        for group in self._groups():
            self._attempt(group)

    def remove(self) -> None:
        """Remove what is here more often than it is wanted, the newest first."""
        for group in self._groups():
            for place in group.surplus:
                obstacle = self._taker.delete((place,))
                if obstacle is None:
                    self._counts.remove(1)
                else:
                    self._tell(self._key(group.number), *obstacle, won=False, here=True)

    def _retry(self, number: int) -> None:
        for group in self._groups(number):
            self._attempt(group)

    def _force(self, number: int, obstacle: Obstacle) -> None:
        for group in self._groups(number):
            found_by = {"t0": number}
            won = self._prefer == "theirs" and self._make_way(obstacle, self._origin, found_by, ())
            if won:
                self._attempt(group)
                won = self._waiting.pop(number, None) is None
            self._tell(self._key(number), *obstacle, won=won, here=False)

    def _attempt(self, group: _Group) -> None:
        number = group.number
        while self._added.get(number, 0) < group.wanted - group.ours:
            obstacle = self._taker.insert(self._origin, {"t0": number})
            if obstacle is not None:
                self._waiting[number] = obstacle
                return
            self._counts.added += 1
            if group.wanted - group.ours == 1:
                return  # nearly always: nothing to remember
            self._added[number] = self._added.get(number, 0) + 1

    def _groups(self, number: int | None = None) -> Iterator[_Group]:
        sql = f"SELECT number, main, theirs, base, places FROM {self._queries.bag}"
        where = "" if number is None else f" WHERE number = {number}"
        for row in self._db.execute(f"{sql}{where} ORDER BY number"):
            yield _Group(*row)

    def _key(self, number: int) -> str:
        values = ", ".join(f"quote(t.{name})" for name in self._names)
        sql = f"SELECT {values} FROM {self._origin.table} WHERE {self._origin.where}"
        return shown(self._columns, self._db.execute(sql, {"t0": number}).fetchone())

    def _rows(self, side: str) -> str:
        """Return the query for a side's rows, each counted once."""
        shape = self._subject.shapes[side]
        cells = [
            self._queries.carried(side, column, OURS) if column in shape.columns else "NULL"
            for column in self._columns
        ]
        columns = [f"{one} AS {name}" for one, name in zip(cells, self._names, strict=True)]
        columns += [f"{int(side == one)} AS {one}" for one in _SIDES]
        columns.append(f"{cell(side, shape.locator[0]) if side == OURS else 'NULL'} AS place")
        where = f" WHERE NOT ({self._queries.keyed(side)})" if self._loose else ""
        return f"SELECT {', '.join(columns)} FROM {self._queries.table(side)}{where}"
