"""What the tests of live palaces share: notes to write, and what they are in a database."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from palatine.capture.signatures import TICK_NS
from palatine.sqlite.database import Database
from palatine.sqlite.locked import LockedDatabase
from palatine.testing.sqlite_service import Service

TABLE = "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT, pad BLOB)"
WAL = ("journal_mode = WAL", "wal_autocheckpoint = 0")


def add(text: str, times: int = 1, size: int = 1000) -> str:
    """Return a statement that adds notes."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times}) "
        f"INSERT INTO note(text, pad) SELECT '{text}', randomblob({size}) FROM n"
    )


def service(path: Path, *pragmas: str) -> Service:
    """Return a service with an empty table of notes, in WAL mode unless told otherwise."""
    made = Service(path, *(pragmas or WAL))
    made.run(TABLE)
    return made


def notes(path: Path) -> list[str]:
    """Return the notes of an image, which must be whole."""
    uri = f"{path.absolute().as_uri()}?immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [text for (text,) in db.execute("SELECT text FROM note ORDER BY id")]


def let_settle() -> None:
    """Wait until what was written is older than a tick, so that its times vouch for it."""
    time.sleep(2 * TICK_NS / 1e9)


def once_before(
    monkeypatch: pytest.MonkeyPatch, method: str, number: int, meddle: Callable[[], None]
) -> None:
    """Let something happen before the call of a database's method with this number, from 1."""
    original = getattr(LockedDatabase, method)
    calls = 0

    def meddling(self: Database, *rest: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            meddle()
        return original(self, *rest)

    monkeypatch.setattr(LockedDatabase, method, meddling)
