"""A database that counts as unchanged is asked once more: somebody may just have opened it."""

from __future__ import annotations

import sqlite3
import time

import pytest
from tests.support import Place

from palatine.capture.databases import DatabaseCapture

ROWS = "SELECT count(*) FROM t"


def test_commits_made_while_others_were_pinned_are_not_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.palace / "a.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t(a)")
    db.commit()
    db.close()
    time.sleep(0.1)  # a file younger than the clock's tick is never taken for unchanged
    place.snapshot()
    services: list[sqlite3.Connection] = []
    instants = DatabaseCapture._instants

    def meddling(self: DatabaseCapture, held: object, outcomes: object) -> object:
        found = instants(self, held, outcomes)  # type: ignore[arg-type]
        if not services:
            services.append(sqlite3.connect(path))
            services[0].execute("INSERT INTO t VALUES (1)")
            services[0].commit()
        return found

    monkeypatch.setattr(DatabaseCapture, "_instants", meddling)
    place.snapshot()
    services[0].close()
    image = sqlite3.connect(place.restored() / "a.db")
    try:
        assert image.execute(ROWS).fetchone() == (1,)
    finally:
        image.close()
