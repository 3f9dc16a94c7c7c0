"""Databases in which every row names its generation, and a service that uses them without a pause.

What a service reads is one generation with everything in it, plus what it wrote itself since that
generation came: whatever is put under it. `python -m palatine.testing.generations SEED DATABASE…`
says "ready", works until its standard input ends, and then says as JSON what it met.
"""

from __future__ import annotations

import contextlib
import json
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

BALANCE = 100

_SCHEMA = """
CREATE TABLE generation(name TEXT NOT NULL, rows INT NOT NULL);
CREATE TABLE account(
  id INTEGER PRIMARY KEY, generation TEXT NOT NULL, balance INT NOT NULL, pad BLOB);
CREATE TABLE note(id TEXT PRIMARY KEY, generation TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE note_fts USING fts5(text, content=note, content_rowid=rowid);
CREATE TRIGGER note_ai AFTER INSERT ON note BEGIN
  INSERT INTO note_fts(rowid, text) VALUES (new.rowid, new.text); END;
CREATE TRIGGER note_ad AFTER DELETE ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, text) VALUES ('delete', old.rowid, old.text); END;
CREATE TABLE written(number INTEGER PRIMARY KEY, generation TEXT NOT NULL);
"""


def make(path: Path, name: str, rows: int, *pragmas: str, pad: int = 300) -> None:
    """Make a database of a generation; pragmas ("page_size = 8192") come before all else."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in pragmas:
            db.execute(f"PRAGMA {pragma}").fetchone()
        db.executescript(_SCHEMA)
        fill(db, name, rows, pad)


def fill(db: sqlite3.Connection, name: str, rows: int, pad: int = 300) -> None:
    """Make a database's content that of another generation, nothing written to it since."""
    random = Random(name)
    db.execute("BEGIN IMMEDIATE")
    for table in ("generation", "account", "note", "written"):
        db.execute(f"DELETE FROM {table}")
    db.execute("INSERT INTO generation VALUES(?, ?)", (name, rows))
    accounts = ((n, name, BALANCE, random.randbytes(pad)) for n in range(rows))
    db.executemany("INSERT INTO account VALUES(?, ?, ?, ?)", accounts)
    notes = ((f"note-{n}", name, f"{name} remembers {n}") for n in range(rows // 2))
    db.executemany("INSERT INTO note VALUES(?, ?, ?)", notes)
    db.execute("COMMIT")


def what_is_wrong(db: sqlite3.Connection) -> tuple[str, str, list[int]]:
    """Read all in one transaction; return what is wrong (or nothing), generation, own writes."""
    db.execute("BEGIN")
    try:
        (name, rows), *more = db.execute("SELECT name, rows FROM generation").fetchall()
        found = db.execute(
            "SELECT count(*), sum(balance), min(generation), max(generation) FROM account"
        ).fetchone()
        notes = db.execute("SELECT count(*), min(generation), max(generation) FROM note").fetchone()
        (matching,) = db.execute(
            "SELECT count(*) FROM note_fts WHERE note_fts MATCH ?", (name,)
        ).fetchone()
        own = db.execute("SELECT number, generation FROM written ORDER BY number").fetchall()
    finally:
        db.execute("COMMIT")
    wanted = [
        ((rows, BALANCE * rows, name, name), found),
        ((rows // 2, name, name), notes),
        (rows // 2, matching),
        ([], more),
        ({name} if own else set(), {generation for _, generation in own}),
    ]
    said = "; ".join(f"{its} instead of {mine}" for mine, its in wanted if mine != its)
    return said, name, [number for number, _ in own]


def check(path: Path) -> tuple[str, str]:
    """Return what is wrong with a database that is there (or nothing), and its generation."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
        db.execute("INSERT INTO note_fts(note_fts) VALUES('integrity-check')")
        said, name, _ = what_is_wrong(db)
    return (said if verdict == "ok" else str(verdict)), name


@dataclass
class Met:
    """What a service met: `wrong` must stay empty; `busy` counts "database is locked".

    `mixed` counts readings of all databases that were not of one generation, `mixed_seconds` is how
    long such lasted at most; `changes` how often the generation changed under it.
    """

    wrong: list[str] = field(default_factory=list)
    busy: int = 0
    reads: int = 0
    writes: int = 0
    changes: int = 0
    mixed: int = 0
    mixed_seconds: float = 0.0
    longest_write_seconds: float = 0.0


class _Used:
    """One database of a service: a connection that reads and one that writes, both kept open."""

    def __init__(self, path: Path, met: Met) -> None:
        self._met = met
        self.name = path.name
        self._reader = sqlite3.connect(path, timeout=5, isolation_level=None)
        self._writer = sqlite3.connect(path, timeout=5, isolation_level=None)
        self._number = 0  # of the last write
        self._first = 0  # of the own writes that were seen last
        self._generation = ""

    def read(self) -> str:
        """Look at everything; return the generation."""
        said, generation, own = what_is_wrong(self._reader)
        if own and own != list(range(own[0], self._number + 1)):
            said += f"own writes {own[:2]}…{own[-2:]}, the last was {self._number}"
        first = own[0] if own else self._number + 1
        if first < self._first:
            said += f"writes from {first} on are back, which were gone up to {self._first}"
        if said:
            self._met.wrong.append(f"{self.name}: {said}")
        self._met.changes += bool(self._generation) and generation != self._generation
        self._first, self._generation = first, generation
        self._met.reads += 1
        return generation

    def write(self, random: Random) -> None:
        """Move money about and leave a mark, in the generation that is there."""
        db, began = self._writer, time.monotonic()
        db.execute("BEGIN IMMEDIATE")
        try:
            (name, rows) = db.execute("SELECT name, rows FROM generation").fetchone()
            amount = random.randrange(BALANCE)
            for change in (amount, -amount):
                db.execute(
                    "UPDATE account SET balance = balance + ? WHERE id = ?",
                    (change, random.randrange(rows)),
                )
            note = f"note-{random.randrange(rows // 2)}"
            db.execute("DELETE FROM note WHERE id = ?", (note,))
            db.execute("INSERT INTO note VALUES(?, ?, ?)", (note, name, f"{name} again {amount}"))
            db.execute("INSERT INTO written VALUES(?, ?)", (self._number + 1, name))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._number += 1
        self._met.writes += 1
        took = time.monotonic() - began
        self._met.longest_write_seconds = max(self._met.longest_write_seconds, took)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _Turns:
    """Reading all databases one after the other: how long they are of two generations."""

    def __init__(self, met: Met) -> None:
        self._met = met
        self._since: float | None = None

    def saw(self, generations: set[str]) -> None:
        now = time.monotonic()
        if len(generations) == 1:
            self._since = None
            return
        self._met.mixed += 1
        self._since = now if self._since is None else self._since
        self._met.mixed_seconds = max(self._met.mixed_seconds, now - self._since)


def _main(seed: str, *databases: str) -> None:
    met, random = Met(), Random(int(seed))
    used = [_Used(Path(one), met) for one in databases]
    turns = _Turns(met)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            for one in used:
                one.write(random)
            turns.saw({one.read() for one in used})
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                met.busy += 1
            else:
                met.wrong.append(repr(error))
        except sqlite3.Error as error:
            met.wrong.append(repr(error))
        if len(met.wrong) > 20:
            break
    for one in used:
        one.close()
    print(json.dumps(asdict(met)), flush=True)


@contextlib.contextmanager
def serving(*databases: Path, seed: int = 0) -> Iterator[Met]:
    """Have a service use databases; what it met is filled in when it has closed them."""
    met = Met()
    command = [sys.executable, "-m", __name__, str(seed), *map(str, databases)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the service did not begin")
        yield met
        output, _ = process.communicate(timeout=60)
        if process.returncode:
            raise RuntimeError(f"the service ended with {process.returncode}")
    said: dict[str, Any] = json.loads(output)
    for name, value in said.items():
        setattr(met, name, value)


if __name__ == "__main__":
    _main(*sys.argv[1:])
