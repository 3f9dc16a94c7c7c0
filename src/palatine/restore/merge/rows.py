"""The rows of one table, told apart by a key: what theirs changed and ours did not is taken.

What there is to do is worked out in SQL, into a temporary table on disk, and then done row by row
(new rows of a simple table: in one statement).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from palatine.restore.merge.obstacles import Locator, Obstacle
from palatine.restore.merge.queries import both, cell
from palatine.restore.merge.report import Why
from palatine.restore.merge.schema import quoted
from palatine.restore.merge.subjects import BASE, OURS, THEIRS
from palatine.restore.merge.work import Bench, Work, shown


class Todo(NamedTuple):
    """A row to do something about: where it is on the sides that have it (empty: it is not there).

    `clean`: ours is what it was in the base. `settled`: only what grows has grown.
    """

    number: int
    ours: Locator
    theirs: Locator
    clean: bool
    settled: bool

    @property
    def why(self) -> Why:
        """Return what it is where it is not clean."""
        if not self.theirs:
            return Why.REMOVED_THERE
        return Why.BOTH if self.ours else Why.REMOVED_HERE


class Rows(Work):
    """The rows of a table that have a key of their own."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._queries = bench.queries
        self._locators = [(side, n, name) for side in (OURS, THEIRS)
                          for n, name in enumerate(self._subject.shapes[side].locator)]  # fmt: skip

    def compare(self) -> bool:
        """Work out what is to be done; return whether there are rows without a key of their own."""
        names = [f"{side}{n}" for side, n, _ in self._locators]
        self._db.execute(
            f"CREATE TEMP TABLE {self._queries.todo[5:]}"
            f"(number INTEGER PRIMARY KEY, {', '.join(names)}, clean, settled)"
        )
        loose = self._find_twice()
        into = f"INSERT INTO {self._queries.todo}({', '.join(names)}, clean, settled)"
        self._db.execute(f"{into} {self._from_theirs()}")
        if self._subject.has_base:
            self._db.execute(f"{into} {self._from_base()}")
        return loose

    def put(self) -> None:
        """Take what theirs added and changed, as far as nothing is in the way."""
        fresh = f"(d.{OURS}0 IS NULL AND d.clean AND NOT d.settled)"
        wanted = f"d.{THEIRS}0 IS NOT NULL"
        if self._taker.plain and self._insert_all(f"{wanted} AND {fresh}"):
            wanted += f" AND NOT {fresh}"
        for todo in self._todo(wanted):
            self._attempt(todo.number, todo)

    def remove(self) -> None:
        """Remove what theirs removed."""
        for todo in self._todo(f"d.{THEIRS}0 IS NULL"):
            if not todo.clean and self._prefer != "theirs":
                self._conflict(todo, todo.why)
                continue
            if not todo.clean:
                key = self._key(OURS, todo.ours)
            obstacle = self._taker.delete(todo.ours)
            if obstacle is not None:
                self._conflict(todo, obstacle.why, obstacle.words)
                continue
            if not todo.clean:
                self._tell(key, todo.why, won=True, here=True)
            self._counts.remove(1)

    def _retry(self, number: int) -> None:
        for todo in self._todo(f"d.number = {number}"):
            self._attempt(number, todo)

    def _force(self, number: int, obstacle: Obstacle) -> None:
        for todo in self._todo(f"d.number = {number}"):
            found_by = _theirs(todo)
            won = self._prefer == "theirs" and self._make_way(
                obstacle, self._taker.theirs, found_by, todo.ours
            )
            if won:
                self._waiting.pop(number, None)
                self._attempt(number, todo, again=True)
                won = number not in self._waiting
            self._conflict(todo, obstacle.why, obstacle.words, won)

    def _attempt(self, number: int, todo: Todo, again: bool = False) -> None:
        found_by = _theirs(todo)
        if todo.settled:
            self._taker.grow(found_by, todo.ours)
            self._counts.update(1)
            return
        if not todo.clean and self._prefer != "theirs":
            self._conflict(todo, todo.why)
            return
        if todo.ours:
            obstacle = self._taker.update(found_by, todo.ours)
        else:
            obstacle = self._taker.insert(self._taker.theirs, found_by)
        if obstacle is not None:
            self._waiting[number] = obstacle
            return
        if todo.ours:
            self._counts.update(1)
        else:
            self._counts.added += 1
        if not todo.clean and not again:
            self._conflict(todo, todo.why, won=True)

    def _insert_all(self, condition: str) -> bool:
        """Add all new rows in one statement, or none of them; return which."""
        on = both(
            f"{cell(THEIRS, name)} = d.{side}{n}" for side, n, name in self._locators
            if side == THEIRS
        )  # fmt: skip
        sql = (
            f"{self._taker.insert_sql(self._taker.theirs)} JOIN {self._queries.todo} AS d ON {on}"
            f" WHERE {condition} ORDER BY d.number"
        )
        ((wanted,),) = self._db.execute(
            f"SELECT count(*) FROM {self._queries.todo} AS d WHERE {condition}"
        )
        self._db.execute("SAVEPOINT all_rows")
        try:
            added = self._db.execute(sql, self._taker.given({})).rowcount
        except sqlite3.IntegrityError:
            added = -1
        if added != wanted:  # one of them is refused: row by row it will be seen which
            self._db.execute("ROLLBACK TO all_rows")
        self._db.execute("RELEASE all_rows")
        if added != wanted:
            return False
        self._counts.added += added
        return True

    def _todo(self, condition: str) -> Iterator[Todo]:
        mine = len(self._subject.ours.locator)
        names = ", ".join(f"d.{side}{n}" for side, n, _ in self._locators)
        todo = f"SELECT d.number, d.clean, d.settled, {names} FROM {self._queries.todo} AS d"
        rows = self._db.execute(f"{todo} WHERE {condition} ORDER BY d.number")
        for number, clean, settled, *found in rows:
            ours, theirs = tuple(found[:mine]), tuple(found[mine:])
            yield Todo(
                number, ours if ours[0] is not None else (),
                theirs if theirs[0] is not None else (), bool(clean), bool(settled),
            )  # fmt: skip

    def _conflict(self, todo: Todo, why: Why, words: str = "", won: bool = False) -> None:
        side, at = (THEIRS, todo.theirs) if todo.theirs else (OURS, todo.ours)
        self._tell(self._key(side, at), why, words, won, bool(todo.ours))

    def _key(self, side: str, at: Locator) -> str:
        values = ", ".join(f"quote({cell(side, column)})" for column in self._subject.key)
        where = both(f"{one} = ?" for one in self._queries.locators(side))
        row = self._db.execute(
            f"SELECT {values} FROM {self._queries.table(side)} WHERE {where}", at
        ).fetchone()
        return shown(self._subject.key, row or ())

    def _from_theirs(self) -> str:
        """Return the query for rows that theirs has: new, changed, or ahead in what only grows."""
        queries, has_base = self._queries, self._subject.has_base
        mine, base = queries.there(OURS), queries.there(BASE)
        settled = f"({mine} AND {queries.same(THEIRS, OURS)})"
        clean = f"NOT ({mine})"
        joins = f" LEFT JOIN {queries.table(OURS)} ON {queries.match(THEIRS, OURS)}"
        if has_base:
            settled = f"({settled} OR ({base} AND {queries.same(THEIRS, BASE)}))"
            clean = f"CASE WHEN {base} THEN {mine} AND {queries.unchanged(True)} ELSE {clean} END"
            joins += f" LEFT JOIN {queries.table(BASE)} ON {queries.match(THEIRS, BASE)}"
        found = ", ".join((*queries.locators(OURS), *queries.locators(THEIRS)))
        return (
            f"SELECT {found}, {clean}, {settled} FROM {queries.table(THEIRS)}{joins}"
            f" WHERE {queries.keyed(THEIRS)} AND (NOT {settled} OR {queries.grown()})"
        )

    def _from_base(self) -> str:
        """Return the query for rows that theirs removed and ours has."""
        queries = self._queries
        nothing = ", ".join("NULL" for _ in queries.locators(THEIRS))
        return (
            f"SELECT {', '.join(queries.locators(OURS))}, {nothing}, {queries.unchanged(False)}, 0"
            f" FROM {queries.table(BASE)}"
            f" JOIN {queries.table(OURS)} ON {queries.match(BASE, OURS)}"
            f" LEFT JOIN {queries.table(THEIRS)} ON {queries.match(BASE, THEIRS)}"
            f" WHERE NOT ({queries.there(THEIRS)}) AND {queries.keyed(BASE)}"
        )

    def _find_twice(self) -> bool:
        """Note the keys that a side has twice; return whether any row has no key of its own."""
        key = self._subject.key
        columns = ", ".join(cell(OURS, column) for column in key)
        self._db.execute(
            f"CREATE TEMP TABLE {self._queries.twice[5:]} AS"
            f" SELECT {columns} FROM {self._queries.table(OURS)} WHERE 0"
        )
        loose = False
        for side, shape in self._subject.shapes.items():
            here = ", ".join(self._queries.carried(side, column, OURS) for column in key)
            keyed = both(f"{cell(side, column)} IS NOT NULL" for column in key)
            table = self._queries.table(side)
            if not shape.is_unique(key):
                each = ", ".join(str(n + 1) for n in range(len(key)))
                self._db.execute(
                    f"INSERT INTO {self._queries.twice} SELECT {here} FROM {table} WHERE {keyed}"
                    f" GROUP BY {each} HAVING count(*) > 1"
                )
            nothing = f"SELECT 1 FROM {table} WHERE NOT ({keyed}) LIMIT 1"
            loose = loose or self._db.execute(nothing).fetchone() is not None
        index = quoted(f"index of {self._queries.twice}")
        names = ", ".join(quoted(column) for column in key)
        self._db.execute(f"CREATE INDEX temp.{index} ON {self._queries.twice[5:]}({names})")
        found = self._db.execute(f"SELECT 1 FROM {self._queries.twice} LIMIT 1").fetchone()
        return loose or found is not None


def _theirs(todo: Todo) -> dict[str, object]:
    return {f"t{n}": value for n, value in enumerate(todo.theirs)}
