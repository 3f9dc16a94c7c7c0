"""What uses palaces while something is measured: tables in databases, and agents at work."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

from palatine.testing.files import live_memdir
from palatine.testing.text import Prose

ROW_BYTES = 2_000
BUSY_SECONDS = 5
"""How long the services wait for a lock."""
_PAGE = 4096
_IN_PLACE = 1_000_000
"""Bytes from which on a file that is no database is changed in place."""


def fill(path: Path, size: int, random: Random) -> None:
    """Add a table of `size` bytes of rows to a database; it is made if it is not there."""
    with contextlib.closing(connect(path)) as db:
        db.execute("CREATE TABLE pad(id INTEGER PRIMARY KEY, body TEXT)")
        db.execute("BEGIN")
        for number in range(size // ROW_BYTES):
            db.execute("INSERT INTO pad VALUES(?, ?)", (number, _body(random)))
        db.execute("COMMIT")


def connect(path: Path) -> sqlite3.Connection:
    """Open a database as a service does."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    return db


class Table:
    """The table `pad` of a database that a service keeps open."""

    def __init__(self, path: Path, random: Random, synchronous: str = "NORMAL") -> None:
        self._db, self._random = connect(path), random
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        (self._rows,) = self._db.execute("SELECT count(*) FROM pad").fetchone()

    def change(self) -> int:
        """Commit one changed row; return how many errors of a busy database that met."""
        row = _body(self._random), self._random.randrange(self._rows)
        try:
            self._db.execute("UPDATE pad SET body = ? WHERE id = ?", row)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return 1
        return 0

    def close(self) -> None:
        """Close it, as a service that ends does."""
        self._db.close()


class Agent:
    """Writes to everything a palace consists of, as busy as an agent is; reports busy errors.

    Mostly commits to its databases; pages of other large files are written in place, a small file
    is written anew now and then, and notes in git are committed.
    """

    pause = 0.02

    def __init__(self, seed: str, *places: str) -> None:
        self._random, self._prose = Random(int(seed)), Prose(int(seed))
        self._palace = Path(places[0])
        files = [file for place in places for file in _files(Path(place))]
        tables = [file for file in files if _is_filled(file)]
        self._tables = [Table(file, self._random) for file in tables]
        self._large = [one for one in files if one not in tables and _is_large(one)]
        self._steps = self._busy = 0

    def step(self) -> None:
        """Change one thing."""
        self._steps += 1
        if self._steps % 50 == 0 and (self._palace / ".git").exists():
            live_memdir(self._palace, self._random, self._prose, self._steps, 0.0)
        elif self._steps % 25 == 0 and self._palace.is_dir():
            cache = self._palace / f"{self._palace.name}.cache.json"
            beside = cache.with_suffix(".tmp")
            beside.write_text(json.dumps([_body(self._random) for _ in range(4)]))
            beside.rename(cache)
        elif self._tables and (not self._large or self._random.random() < 0.7):
            self._busy += self._random.choice(self._tables).change()
        elif self._large:
            self._write_page(self._random.choice(self._large))

    def report(self) -> int:
        """Return the number of busy errors."""
        found, self._busy = self._busy, 0
        return found

    def close(self) -> None:
        """Close the databases."""
        for table in self._tables:
            table.close()

    def _write_page(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(self._random.randrange(path.stat().st_size // _PAGE) * _PAGE)
            file.write(_body(self._random).encode())


def _body(random: Random) -> str:
    """A row's content: it compresses to half."""
    return random.randbytes(ROW_BYTES // 2).hex()


def _files(place: Path) -> Iterator[Path]:
    found = sorted(place.rglob("*")) if place.is_dir() else [place]
    return (one for one in found if one.is_file() and not one.is_symlink())


def _is_large(path: Path) -> bool:
    return path.stat().st_size >= _IN_PLACE and not path.name.endswith(("-wal", "-shm"))


def _is_filled(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0" and _is_large(path)
