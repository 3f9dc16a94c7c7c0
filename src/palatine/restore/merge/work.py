"""What all ways of merging a table's rows have in common: a bench to work at, and waiting rows.

A row waits when something is in its way that may yet go. In the end it is forced, where theirs is
preferred and that can be done, or it is a conflict.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from palatine.restore.merge.obstacles import SHOWN, Given, Locator, Obstacle, Origin
from palatine.restore.merge.queries import Queries
from palatine.restore.merge.report import Conflict, Conflicts, Counts, Why, Winner
from palatine.restore.merge.subjects import Subject
from palatine.restore.merge.taking import Taker


@dataclass(frozen=True)
class Bench:
    """One table, what compares it and writes to it, and where conflicts and counts go."""

    db: sqlite3.Connection
    subject: Subject
    queries: Queries
    taker: Taker
    counts: Counts
    conflicts: Conflicts
    prefer: Winner


class Work(ABC):
    """Rows of one table to be merged: first `put`, then `remove`, `retry`, and last `settle`."""

    def __init__(self, bench: Bench) -> None:
        self._db = bench.db
        self._subject = bench.subject
        self._taker = bench.taker
        self._counts = bench.counts
        self._conflicts = bench.conflicts
        self._prefer = bench.prefer
        self._waiting: dict[int, Obstacle] = {}

    @abstractmethod
    def put(self) -> None:
        """Take what theirs added and changed, as far as nothing is in the way."""

    @abstractmethod
    def remove(self) -> None:
        """Remove what theirs removed."""

    def retry(self) -> bool:
        """Try again what something was in the way of; return whether anything went through."""
        waiting, self._waiting = self._waiting, {}
        for number in waiting:
            self._retry(number)
        return len(self._waiting) < len(waiting)

    def settle(self) -> None:
        """Decide about what still waits."""
        waiting, self._waiting = self._waiting, {}
        for number, obstacle in waiting.items():
            self._force(number, obstacle)

    @abstractmethod
    def _retry(self, number: int) -> None: ...

    @abstractmethod
    def _force(self, number: int, obstacle: Obstacle) -> None: ...

    def _make_way(self, obstacle: Obstacle, origin: Origin, found_by: Given, mine: Locator) -> bool:
        """Move away what is in the way of a row of theirs; return whether that could be done."""
        if obstacle.why == Why.ONLY_ONE:
            self._counts.update(self._taker.retire(origin, found_by, mine))
            return True
        if obstacle.why != Why.UNIQUE:
            return False
        rows = self._taker.in_the_way(origin, found_by, mine)
        for row in rows:
            if self._taker.delete(row) is not None:
                return False
            self._counts.remove(1)
        return bool(rows)

    def _tell(
        self, key: str, why: Why, words: str = "", won: bool = False, here: bool = False
    ) -> None:
        """Note a conflict; `here`: it is about a row of ours, which stays unless theirs won."""
        winner: Winner = "theirs" if won else "ours" if self._prefer == "ours" else ""
        self._counts.conflicting += 1
        self._counts.kept -= here and not won
        table = self._subject.ours.name
        self._conflicts.add(Conflict(self._counts.path, table, key, why, words, winner))


def shown(columns: Sequence[str], values: Sequence[object]) -> str:
    """Return which row is meant, in words."""
    told = (str(value) for value in values)
    short = (one if len(one) <= SHOWN else one[:SHOWN] + "…" for one in told)
    return " ".join(f"{column}={value}" for column, value in zip(columns, short, strict=False))
