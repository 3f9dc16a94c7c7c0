"""Secrets in an SQLite database: rows, schema, full text; and then a copy without the old pages.

The work is done on a copy. What replaces the database was written anew by VACUUM INTO: no free
page, no write-ahead log, no index over what was. Row numbers stay: full text depends on them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from palatine.redact import fulltext
from palatine.redact.blobs import Hidden
from palatine.redact.scrub import Scrubber, Tally
from palatine.redact.tables import Rows, Table, quoted, read_table, text_of

_JOURNALS = ("-wal", "-journal")
_WRITE_VERSION = 18
"""Two bytes of the header: 2 in WAL mode (https://www.sqlite.org/fileformat2.html, 1.3.3)."""
_HEADER = 100
_COUNTERS = ((24, 28), (40, 44), (92, 100))
_BLOCK = 1 << 20
_STATISTICS = ("sqlite_stat3", "sqlite_stat4")
"""Hold samples of what is indexed."""
_CHECK_FAILED = "CHECK constraint failed"
"""What the schema asked of a secret its placeholder may not be: that is told, and no damage."""


class Outcome:
    """What was done to a database: `notes` say what was changed beside its secrets."""

    def __init__(self, copy: Path) -> None:
        """`copy` is what replaces the database, unless that is `unchanged`."""
        self.copy = copy
        self.unchanged = False
        self.notes: list[str] = []
        self.emptied: Counter[tuple[str, str]] = Counter()


def scrub_database(scrubber: Scrubber, path: Path, scratch: Path, tally: Tally) -> Outcome:
    """Make a copy of a database without secrets in an empty directory; raises Hidden if it cannot.

    The database itself is not touched. The directory then holds secrets: remove it.
    """
    old, new = scratch / "old", Outcome(scratch / "new")
    shutil.copyfile(path, old)
    for suffix in _JOURNALS:
        beside = Path(f"{path}{suffix}")
        if beside.is_file():
            shutil.copyfile(beside, f"{old}{suffix}")
    with path.open("rb") as file:
        versions = os.pread(file.fileno(), 2, _WRITE_VERSION)
    try:
        _scrub(scrubber, old, new, tally)
        _check(scrubber, old, new)
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise Hidden(f"is a database that cannot be processed: {error}") from error
    with new.copy.open("r+b") as file:
        os.pwrite(file.fileno(), versions, _WRITE_VERSION)
    journals = any(Path(f"{path}{suffix}").exists() for suffix in _JOURNALS)
    new.unchanged = not journals and _are_equal(path, new.copy)
    return new


def _are_equal(one: Path, other: Path) -> bool:
    """Whether two databases are the same but for counters of changes and the library's version."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        heads = (bytearray(left.read(_HEADER)), bytearray(right.read(_HEADER)))
        for head in heads:
            for start, end in _COUNTERS:
                head[start:end] = bytes(end - start)
        if heads[0] != heads[1]:
            return False
        while block := left.read(_BLOCK):
            if block != right.read(_BLOCK):
                return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.text_factory = text_of
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("PRAGMA recursive_triggers = OFF")
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("PRAGMA synchronous = OFF")
        yield db


def _scrub(scrubber: Scrubber, path: Path, outcome: Outcome, tally: Tally) -> None:
    with _opened(path) as db:
        db.execute("PRAGMA journal_mode = DELETE").fetchone()
        schema = _scrubbed_schema(scrubber, db, tally)
        _take_off_triggers(db)
    # Opened anew: a connection goes by the schema it has read
    with _opened(path) as db:
        virtual = _virtual(db)
        rows = Rows(db, scrubber)
        db.execute("BEGIN")
        rows.scrub(_tables(db), tally)
        for name in _existing(db, _STATISTICS):
            db.execute(f"DELETE FROM {quoted(name)}")
        db.execute("COMMIT")
        outcome.emptied = rows.emptied
        for name, sql in virtual:
            if note := fulltext.rebuild(db, name, sql):
                outcome.notes.append(note)
        db.execute("REINDEX")
        _put_schema(db, schema)
    with _opened(path) as db:
        db.execute("VACUUM INTO ?", (str(outcome.copy),))


Schema = list[tuple[Any, ...]]


def _scrubbed_schema(scrubber: Scrubber, db: sqlite3.Connection, tally: Tally) -> Schema:
    """Return the rows of the schema that are triggers or hold secrets, without these."""
    sql = "SELECT rowid, type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid"
    found = []
    for number, kind, name, table, root, text in db.execute(sql).fetchall():
        if scrubber.scrub(name, Counter(), structured=False) != name:
            raise Hidden("is a database with a secret for the name of a table")
        scrubbed = text and scrubber.scrub(text, tally, structured=False)
        if kind == "trigger" or scrubbed != text:
            found.append((number, kind, name, table, root, scrubbed))
    return found


def _take_off_triggers(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA writable_schema = ON")
    db.execute("DELETE FROM sqlite_schema WHERE type = 'trigger'")
    db.execute("PRAGMA writable_schema = OFF")


def _put_schema(db: sqlite3.Connection, rows: Schema) -> None:
    db.execute("PRAGMA writable_schema = ON")
    insert = "INSERT INTO sqlite_schema(rowid, type, name, tbl_name, rootpage, sql) VALUES"
    for row in rows:
        if row[1] == "trigger":
            db.execute(f"{insert}(?, ?, ?, ?, ?, ?)", row)
        else:
            db.execute("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", (row[5], row[0]))
    db.execute("PRAGMA writable_schema = OFF")


def _virtual(db: sqlite3.Connection) -> list[tuple[str, str]]:
    sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage = 0 ORDER BY name"
    return db.execute(sql).fetchall()


def _tables(db: sqlite3.Connection) -> list[Table]:
    """Return the tables that hold rows of their own, those behind virtual tables included."""
    skipped = fulltext.index_tables(_virtual(db))
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name"
    names = [row[0] for row in db.execute(sql).fetchall()]
    return [
        read_table(db, one) for one in names if one not in skipped and not one.startswith("sqlite_")
    ]


def _existing(db: sqlite3.Connection, names: tuple[str, ...]) -> list[str]:
    present = {row[0] for row in db.execute("SELECT name FROM sqlite_schema").fetchall()}
    return [one for one in names if one in present]


def _check(scrubber: Scrubber, old: Path, outcome: Outcome) -> None:
    """Look at the copy with fresh eyes: sound, nothing to be found, every row in its place."""
    with _opened(old) as before, _opened(outcome.copy) as after:
        after.execute("PRAGMA ignore_check_constraints = OFF")
        verdicts = [row[0] for row in after.execute("PRAGMA quick_check(20)").fetchall()]
        outcome.notes += [one for one in verdicts if one.startswith(_CHECK_FAILED)]
        if any(one != "ok" and one not in outcome.notes for one in verdicts):
            raise sqlite3.DatabaseError(verdicts[0])
        tables = _tables(after)
        if [one.name for one in tables] != [one.name for one in _tables(before)]:
            raise sqlite3.DatabaseError("tables are missing from the copy")
        for table in tables:
            key = ", ".join(table.key)
            sql = f"SELECT {key} FROM {quoted(table.name)} ORDER BY {key}"
            pairs = zip_longest(before.execute(sql), after.execute(sql))
            if any(one != other for one, other in pairs):
                raise sqlite3.DatabaseError(f"the rows of {table.name!r} came out otherwise")
        left = Counter[str]()
        rows = Rows(after, scrubber)
        after.execute("BEGIN")
        rows.scrub(tables, left)
        after.execute("ROLLBACK")
        if left or rows.emptied:
            raise sqlite3.DatabaseError("secrets are found again after they were replaced")
