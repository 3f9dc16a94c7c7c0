"""The process that writes to the demo's database all the time, and the handle on it."""

from __future__ import annotations

import select
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from palatine.testing.text import Prose, hex_id, stamp
from palatine.testing.vectors import Vectors

_SEED = 11
_PAUSE_SECONDS = 0.02
"""Between two commits: about fifty in a second, as many as a busy agent's recall makes."""


class Died(Exception):
    """The writing process is gone."""


class Writer:
    """A process of its own that remembers, changes, recalls and forgets, one commit each time."""

    def __init__(self, database: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "palatine.testing.demo_writer", str(database)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def process(self) -> int:
        """The process's number."""
        return self._child.pid

    def commits(self) -> int:
        """Return how many commits there have been."""
        return self._ask("count")

    def close(self) -> None:
        """End it as a program ends that is told to."""
        self._child.communicate(timeout=30)

    def _ask(self, word: str) -> int:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(word + "\n")
            self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise Died("the process that writes to the database has died")
        return int(answer)


class _Mind:
    """What an agent does to its memory: mostly it recalls, sometimes it learns or forgets."""

    def __init__(self) -> None:
        self._prose, self._vectors, self._rng = Prose(_SEED), Vectors(_SEED), Random(_SEED)

    def act(self, db: sqlite3.Connection) -> None:
        """Do one thing to one row, and keep the ledger of it in the same transaction."""
        memories = recalls = 0
        action = self._rng.random()
        if action < 0.2:
            self._learn(db)
            memories = 1
        else:
            (last,) = db.execute("SELECT max(rowid) FROM memories").fetchone()
            row = (self._rng.randint(1, last),)
            found = db.execute("SELECT access_count FROM memories WHERE rowid = ?", row).fetchone()
            if found and action < 0.25:
                db.execute("DELETE FROM memories WHERE rowid = ?", row)
                memories, recalls = -1, -found[0]
            elif found:
                db.execute(
                    "UPDATE memories SET access_count = access_count + 1 WHERE rowid = ?", row
                )
                recalls = 1
        db.execute(
            "UPDATE ledger SET commits = commits + 1, memories = memories + ?,"
            " recalls = recalls + ?", (memories, recalls),
        )  # fmt: skip

    def _learn(self, db: sqlite3.Connection) -> None:
        note, now = self._prose.note(self._rng, 900), stamp(1, 0)
        db.execute(
            "INSERT INTO memories(id, tier, namespace, title, content, priority, created_at,"
            " updated_at, embedding) VALUES (?, 'short', 'a', ?, ?, 5, ?, ?, ?)",
            (hex_id(self._rng), note.title, note.body, now, now, self._vectors.draw(self._rng)),
        )


def check(database: Path) -> tuple[int, str]:
    """Return how many commits a restored database holds, and what is wrong with it, if anything.

    Each commit changed memories and ledger together: a state that no commit made shows here.
    """
    try:
        with closing(sqlite3.connect(database)) as db:
            (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                return 0, f"SQLite says: {verdict}"
            commits, *told = db.execute("SELECT commits, memories, recalls FROM ledger").fetchone()
            found = db.execute("SELECT count(*), sum(access_count) FROM memories").fetchone()
    except sqlite3.DatabaseError as error:
        return 0, f"SQLite says: {error}"
    return commits, "" if found == tuple(told) else f"the ledger says {told}, there are {found}"


def main() -> None:
    """Write until stdin ends; between commits obey `count`."""
    mind = _Mind()
    commits = 0
    with closing(sqlite3.connect(Path(sys.argv[1]), timeout=30)) as db:
        with db:
            db.execute("CREATE TABLE ledger(commits, memories, recalls)")
            db.execute("INSERT INTO ledger SELECT 0, count(*), sum(access_count) FROM memories")
        word = ""
        while word in ("", "count"):
            with db:
                mind.act(db)
            commits += 1
            word = _heard(_PAUSE_SECONDS)
            if word == "count":
                _answer(commits)


def _heard(seconds: float) -> str:
    """Return the next word from stdin, an empty one if none comes in time, `end` at its end."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return (sys.stdin.readline().strip() or "end") if ready else ""


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
