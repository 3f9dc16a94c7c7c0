"""--check on the command line: what is told, what is listed, and the exit codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Pal

from palatine.testing.sqlite_service import Service

_PAGES = 40


@pytest.fixture
def palace(pal: Pal) -> Iterator[Path]:
    """A palace whose database is open, in WAL mode, with a commit that is in the WAL only."""
    palace = pal.root / "beta"
    palace.mkdir()
    with closing(sqlite3.connect(palace / "kg.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t(a)")
        with db:
            db.executemany("INSERT INTO t VALUES (?)", [(bytes(4000),)] * _PAGES)
        yield palace


def damage(palace: Path) -> None:
    """Make the database one that nobody has open, and whose second page is nonsense."""
    with closing(sqlite3.connect(palace / "kg.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (palace / "kg.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def test_health_is_shown_where_it_is_known(pal: Pal, palace: Path) -> None:
    pal("snapshot", palace)
    assert "HEALTH" not in pal("log").out
    assert "kg.db: sqlite, pinned\n" in pal("show", "beta").out
    pal("snapshot", palace, "--check")
    lines = pal("log").out.splitlines()
    at = lines[0].index("HEALTH")
    assert [line[at : at + 6].strip() for line in lines[1:]] == ["sound", ""]
    assert "kg.db: sqlite, pinned, sound\n" in pal("show", "beta").out
    (artifact,) = pal("show", "beta", "--json").result["snapshot"]["artifacts"]
    assert artifact == {"path": "kg.db", "kind": "sqlite", "captured": "pinned", "health": "sound"}
    assert "nothing changed" in pal("snapshot", palace, "--check").err


def test_a_damaged_database_is_kept_and_told(pal: Pal, palace: Path) -> None:
    pal("snapshot", palace, "--check", "-m", "before")
    damage(palace)
    done = pal("snapshot", palace, "--check", "-m", "after", code=3)
    assert "pal: note: SQLite says of kg.db: " in done.err
    assert "pal: note: beta: the database kg.db is damaged, and kept as it is" in done.err
    assert "damaged" in pal("log").out
    healthy = pal("log", "--healthy").out
    assert "before" in healthy
    assert "after" not in healthy
    pal("restore", "beta", "back")
    assert (pal.root / "back" / "kg.db").read_bytes() == (palace / "kg.db").read_bytes()
    again = pal("snapshot", palace, "--check", "--json", code=3)
    assert again.result["palaces"][0]["status"] == "unchanged"
    assert again.result["palaces"][0]["damaged"] == ["kg.db"]
    assert again.error["code"] == "incomplete"
    assert "beta: kg.db" in again.error["message"]
    assert pal("log", "--healthy", "--json").result["snapshots"][0]["message"] == "before"


def test_healthy_is_complete_too(pal: Pal, palace: Path) -> None:
    pal("snapshot", palace)
    assert len(pal("log", "--healthy").out.splitlines()) == 2
    damage(palace)
    pal("snapshot", palace, "--check", "--palace", "only", code=3)
    assert pal("log", "only", "--healthy").out == ""
    assert "none of them is healthy" in pal("log", "only", "--healthy").err


def test_verbose_tells_how_each_part_was_captured(pal: Pal, palace: Path) -> None:
    err = pal("snapshot", palace, "-v", "--check").err
    assert "  kg.db: sqlite, pinned, sound\n" in err
    assert "beta: the longest pin on its databases lasted " in err
    done = pal("snapshot", palace, "--json", "--force")
    assert 0 < done.result["palaces"][0]["longest_pin_us"] < 60_000_000


def test_verbose_tells_which_databases_are_encrypted(pal: Pal, palace: Path) -> None:
    with Service(palace / "secret.db", "journal_mode = WAL") as one:
        one.run("CREATE TABLE t(a)", "PRAGMA wal_checkpoint(PASSIVE)")
        path = palace / "secret.db"
        path.write_bytes(bytes(byte ^ 0x5A for byte in path.read_bytes()))
        for _ in range(2):
            err = pal("snapshot", palace, "-v").err
            assert "  secret.db: sqlite, pinned (encrypted: captured under its lock)\n" in err
            assert "  kg.db: sqlite, pinned\n" in err
