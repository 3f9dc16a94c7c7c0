"""--check: verdicts on images, where they are kept, and when they are found again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support import Place

from palatine.model.snapshot import Health, Snapshot
from palatine.ops import health
from palatine.testing.builders import age


def fill(path: Path, rows: int = 300, journal: str = "delete") -> None:
    """Add rows of half a page to a database."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {journal}")
        db.execute("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b BLOB)")
        with db:
            db.executemany("INSERT INTO t(b) VALUES (?)", [(bytes(2000),)] * rows)


def damage(path: Path) -> None:
    """Overwrite the second page."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def healths(snapshot: Snapshot) -> dict[bytes, Health]:
    return {one.path: one.health for one in snapshot.artifacts}


def test_sound_and_damaged(place: Place) -> None:
    for name in ("good.db", "bad.db"):
        fill(place.palace / name)
    damage(place.palace / "bad.db")
    done = place.snapshot(check=True)
    assert healths(done.stored.snapshot) == {b"bad.db": Health.DAMAGED, b"good.db": Health.SOUND}
    assert done.damaged == (b"bad.db",)
    assert done.stored.snapshot.complete
    assert not done.stored.snapshot.healthy
    assert any(one.startswith("SQLite says of bad.db: ") for one in place.notices.said)
    place.check_restores()


def test_in_wal_mode_with_commits_in_the_wal(place: Place) -> None:
    path = place.palace / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = wal")
        fill(path, journal="wal")
        db.execute("SELECT * FROM t")  # opens it: the last one to close takes the WAL away
        fill(path, journal="wal")
        assert (place.palace / "a.db-wal").stat().st_size
        assert healths(place.snapshot(check=True).stored.snapshot) == {b"a.db": Health.SOUND}


def test_a_check_makes_a_snapshot_only_for_news(place: Place) -> None:
    fill(place.palace / "a.db")
    age(place.palace)
    first = place.snapshot()
    assert healths(first.stored.snapshot) == {b"a.db": Health.UNKNOWN}
    second = place.snapshot(check=True)
    assert second.fresh
    assert second.stored.snapshot.root == first.stored.snapshot.root
    for check in (True, False, True):
        again = place.snapshot(check=check)
        assert not again.fresh
        assert again.stored.id == second.stored.id


@pytest.mark.parametrize("rows", [0, 300], ids=["pooled", "large"])
def test_a_verdict_is_kept_as_long_as_the_bytes(
    place: Place, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.palace / "a.db"
    fill(path, rows)
    place.snapshot(check=True)
    (place.palace / "note").write_text("changed")
    asked: list[Path] = []
    checked = health.quick_check

    def counted(image: Path) -> health.Verdict:
        asked.append(image)
        return checked(image)

    monkeypatch.setattr(health, "quick_check", counted)
    kept = place.snapshot(check=True)
    assert kept.fresh
    assert healths(kept.stored.snapshot)[b"a.db"] == Health.SOUND
    assert not asked
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")  # as many bytes as before
    assert healths(place.snapshot().stored.snapshot)[b"a.db"] == Health.UNKNOWN
    assert not asked
    assert healths(place.snapshot(check=True).stored.snapshot)[b"a.db"] == Health.SOUND
    assert len(asked) == 1
    place.snapshot(check=True, force=True)
    assert len(asked) == 2


def test_where_damage_began_can_be_found(place: Place) -> None:
    path = place.palace / "a.db"
    fill(path)
    place.snapshot(check=True)
    damage(path)
    for number in range(2):
        (place.palace / "note").write_text(str(number))
        assert place.snapshot(check=True).damaged == (b"a.db",)
    with place.open() as repository:
        assert [one.snapshot.healthy for one in repository.log()] == [False, False, True]


def test_truncated(place: Place) -> None:
    path = place.palace / "a.db"
    fill(path)
    path.write_bytes(path.read_bytes()[:100_000])
    assert place.snapshot(check=True).damaged == (b"a.db",)


def test_what_cannot_be_checked_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "encrypted").write_bytes(bytes(range(256)) * 32)
    assert health.quick_check(tmp_path / "encrypted").health == Health.UNKNOWN
    (tmp_path / "empty").touch()
    assert health.quick_check(tmp_path / "empty").health == Health.SOUND
    path = tmp_path / "unknown.db"
    with closing(sqlite3.connect(path)) as db:
        db.create_collation("ours", lambda one, other: (one > other) - (one < other))
        db.execute("CREATE TABLE t(a TEXT COLLATE ours)")
        db.execute("CREATE INDEX i ON t(a)")
        db.execute("INSERT INTO t VALUES ('x')")
        db.commit()
    verdict = health.quick_check(path)
    assert verdict.health == Health.UNKNOWN
    assert "ours" in verdict.words
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["empty", "encrypted", "unknown.db"]
