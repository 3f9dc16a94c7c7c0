"""What archives of single databases need of SQLite. All paths are copies of ours."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

from palatine.chunking import SQLITE_MAGIC

SIDECARS = ("-wal", "-journal", "-shm")
_FTS5 = re.compile(r"\s*create\s+virtual\s+table\b.*\busing\s+fts5\s*\(", re.I | re.S)
_VIRTUAL = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND rootpage = 0"


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite's databases do; encrypted ones do not."""
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def copy_whole(source: Path, copy: Path) -> None:
    """Copy a database with what its sidecars hold of it."""
    for suffix in ("", "-wal", "-journal"):
        beside = Path(f"{source}{suffix}")
        if beside.is_file() and not beside.is_symlink():
            shutil.copyfile(beside, f"{copy}{suffix}")


def make_single(path: Path) -> None:
    """Have a database be one file, in rollback mode; pages and row numbers stay.

    Raises sqlite3.Error for one that SQLite cannot read.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        (mode,) = db.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode != "delete":
            raise sqlite3.OperationalError(f"it stays in journal mode {mode}")
    if any(Path(f"{path}{suffix}").exists() for suffix in SIDECARS):
        raise sqlite3.OperationalError("it keeps sidecars")


def unsound(path: Path) -> str:
    """Return what SQLite finds wrong with a database, nothing for a sound one."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found)


def stale_full_text(path: Path, rebuild: bool) -> list[str]:
    """Return the full-text indexes (FTS5) that do not match their tables; rebuild them if asked.

    Without `rebuild` the file stays as it is, byte for byte. Raises sqlite3.Error.
    """
    found = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for name, sql in db.execute(_VIRTUAL).fetchall():
            if not _FTS5.match(sql or ""):
                continue
            table = '"' + name.replace('"', '""') + '"'
            db.execute("BEGIN")
            try:
                # rank 1: compare with the content table too (SQLite, FTS5, 6.4)
                db.execute(f"INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)")
            except sqlite3.OperationalError as error:
                if "no such module" not in str(error) and "no such tokenizer" not in str(error):
                    raise
            except sqlite3.DatabaseError:
                found.append(str(name))
            finally:
                db.execute("ROLLBACK")
        for name in found if rebuild else ():
            table = '"' + name.replace('"', '""') + '"'
            db.execute(f"INSERT INTO {table}({table}) VALUES ('rebuild')")
    return found
