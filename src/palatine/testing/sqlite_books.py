"""Databases whose content says whether it is one committed state: accounts and transfers.

`accounts` has a constant sum, whatever is committed. A pair of databases records numbered
transfers, each committed to the first and then to the second: the second never shows one that the
first lacks. The answers come from SQLite itself.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

ACCOUNTS = 200
SUM = 100 * ACCOUNTS
KEPT = 100
"""Transfers that are kept: the last ones, without a gap."""
PATIENCE_SECONDS = 30


def connect(path: Path, mode: str = "") -> sqlite3.Connection:
    """Return a connection in autocommit; `mode` is the journal mode to set."""
    connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    if mode:
        connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
    return connection


def make_accounts(path: Path, mode: str, page_size: int, auto_vacuum: int = 0) -> None:
    """Make a database of accounts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {page_size}")
        db.execute(f"PRAGMA auto_vacuum = {auto_vacuum}")
        db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        db.execute("BEGIN")
        db.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INT, pad BLOB)")
        rows = ((number, 100, bytes(300)) for number in range(ACCOUNTS))
        db.executemany("INSERT INTO account VALUES(?, ?, ?)", rows)
        db.execute("COMMIT")


def make_transfers(path: Path, mode: str, page_size: int) -> None:
    """Make one database of a pair."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {page_size}")
        db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        db.execute("CREATE TABLE transfer(slot INTEGER PRIMARY KEY, number INT, pad BLOB)")


def check_accounts(path: Path) -> str:
    """Return what is wrong with an image, or nothing."""
    return _asked(path, _check_sum)


def check_pair(first: Path, second: Path) -> str:
    """Return what is wrong with the images of a pair, or nothing."""
    for path in (first, second):
        if wrong := _asked(path, _check_numbers):
            return f"{path.name}: {wrong}"
    ahead, behind = newest(second), newest(first)
    return f"{second.name} shows {ahead}, {first.name} only {behind}" if ahead > behind else ""


def newest(path: Path) -> int:
    """Return the number of the last transfer in an image."""
    with closing(_image(path)) as db:
        (number,) = db.execute("SELECT coalesce(max(number), 0) FROM transfer").fetchone()
        return int(number)


def _asked(path: Path, question: object) -> str:
    assert callable(question)
    try:
        with closing(_image(path)) as db:
            (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
            return str(verdict) if verdict != "ok" else str(question(db))
    except sqlite3.DatabaseError as error:
        return str(error)


def _check_sum(db: sqlite3.Connection) -> str:
    found = db.execute("SELECT sum(balance), count(*) FROM account").fetchone()
    return "" if found == (SUM, ACCOUNTS) else f"sum and count are {found}"


def _check_numbers(db: sqlite3.Connection) -> str:
    numbers = [number for (number,) in db.execute("SELECT number FROM transfer ORDER BY number")]
    last = numbers[-1] if numbers else 0
    expected = list(range(max(1, last - KEPT + 1), last + 1))
    return "" if numbers == expected else f"the transfers are {numbers[:3]}…{numbers[-3:]}"


def _image(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
