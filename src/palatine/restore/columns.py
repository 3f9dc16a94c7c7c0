"""Another name in a column of a database that nobody uses, in whatever tables have that column.

In one transaction, without a sidecar left, and full text follows. A database that does not hold the
old name is not touched: its bytes stay what they were.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from palatine.sqlite.sidecars import SUFFIXES

_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+(\w+)", re.IGNORECASE | re.DOTALL)
_FULL_TEXT = re.compile(r"fts[345]\Z", re.IGNORECASE)
_EXTERNAL = re.compile(r"\bcontent\s*=", re.IGNORECASE)


class Seen(NamedTuple):
    """What stands in a column of a database: how many rows of tables bear each name that occurs.

    `opaque` is a table with that column into which only its own module can look, if there is one.
    """

    rows: dict[str, int]
    opaque: str | None


class _Table(NamedTuple):
    name: str
    full_text: bool
    external: bool
    """Its content is another table's: it has an index of its own, and no column to write to."""

    @property
    def quoted(self) -> str:
        return _quoted(self.name)


@contextlib.contextmanager
def looked_at(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody uses, to be read: nothing is left beside it."""
    with contextlib.closing(_connect(database, "immutable=1")) as db:
        yield db


def look(db: sqlite3.Connection, column: str, names: Iterable[str]) -> Seen:
    """Return which of the names occur in a column; raises sqlite3.Error."""
    tables = [one for one in _tables(db, column) if not one.external]
    rows = {}
    for name in names:
        counts = [_count(db, one, column, name) for one in tables]
        if any(counts):
            own = zip(tables, counts, strict=True)
            rows[name] = sum(count for one, count in own if not one.full_text)
    return Seen(rows, _opaque(db, column))


def rename(database: Path, column: str, old: str, new: str) -> None:
    """Put a new name wherever the old one stands in a column; raises sqlite3.Error."""
    name = _quoted(column)
    with contextlib.closing(_connect(database, "mode=rw")) as db:
        # Then the wal-index is memory: no -shm, which not every file system can have
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        db.execute("BEGIN IMMEDIATE")
        for one in sorted(_tables(db, column), key=lambda table: table.full_text):
            if one.external:
                db.execute(f"INSERT INTO {one.quoted}({one.quoted}) VALUES('rebuild')")
            else:
                sql = f"UPDATE {one.quoted} SET {name} = ? WHERE {name} = ?"
                db.execute(sql, (new, old))
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    for suffix in SUFFIXES:
        if os.path.lexists(os.fsencode(database) + suffix):
            raise sqlite3.DatabaseError(f"{os.fsdecode(suffix)!r} was left beside it")


def _connect(database: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(database.absolute()))}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def _tables(db: sqlite3.Connection, column: str) -> list[_Table]:
    """Return the tables that have the column as one to write to, and full text over such."""
    found = []
    for name, sql in _schema(db):
        module = _VIRTUAL.match(sql)
        full_text = module is not None and bool(_FULL_TEXT.match(module[1]))
        if module is not None and not full_text:
            continue
        facts = db.execute(f"PRAGMA table_xinfo({_quoted(name)})")
        if column in {row[1] for row in facts if row[6] == 0}:
            external = full_text and bool(_EXTERNAL.search(sql))
            found.append(_Table(name, full_text, external))
    return found


def _schema(db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    own = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%'"
    yield from db.execute(own + " ESCAPE '\\' ORDER BY name").fetchall()


def _count(db: sqlite3.Connection, table: _Table, column: str, name: str) -> int:
    sql = f"SELECT count(*) FROM {table.quoted} WHERE {_quoted(column)} = ?"
    (count,) = db.execute(sql, (name,)).fetchone()
    return int(count)


def _opaque(db: sqlite3.Connection, column: str) -> str | None:
    for name, sql in _schema(db):
        module = _VIRTUAL.match(sql)
        known = module is None or bool(_FULL_TEXT.match(module[1]))
        if not known and re.search(rf"\b{re.escape(column)}\b", sql):
            return name
    return None


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
