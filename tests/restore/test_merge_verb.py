"""`pal restore --merge` as a whole: parents, what stays open, a dry run, undo, the command."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Pal
from tests.restore.merging import Pair, report_of, rows, whys, write

from palatine.errors import Locked
from palatine.testing.builders import differences, state_of

SCHEMA = "CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT); INSERT INTO t VALUES('a', '1'), ('b', '1')"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Two palaces that come from one another."""
    (tmp_path / "ours").mkdir()
    write(tmp_path / "ours" / "m.db", "PRAGMA journal_mode = WAL", SCHEMA)
    (tmp_path / "ours" / "note").write_text("1")
    pair = Pair(tmp_path, tmp_path / "ours", tmp_path / "theirs")
    pair.relate()
    return pair


def change(path: Path, name: str, value: str) -> None:
    write(path / "m.db", f"INSERT OR REPLACE INTO t VALUES('{name}', '{value}')")


def content(path: Path) -> dict[str, str]:
    return dict(rows(path / "m.db", "SELECT id, v FROM t"))


def test_a_merge_has_both_sides_as_parents_and_the_log_shows_it(pair: Pair) -> None:
    change(pair.theirs, "c", "theirs")
    change(pair.ours, "d", "ours")
    done = pair.merge()
    assert content(pair.ours) == {"a": "1", "b": "1", "c": "theirs", "d": "ours"}
    assert done.before is not None
    assert done.after is not None
    assert done.after.snapshot.parents == (done.before.stored.id, done.stored.id)
    with pair.open() as repository:
        assert repository.log("ours")[0].id == done.after.id
        assert "merged theirs" in repository.log("ours")[0].snapshot.message
    # what theirs does from now on is measured against what was merged
    change(pair.ours, "c", "ours later")
    write(pair.theirs / "m.db", "DELETE FROM t WHERE id = 'b'")
    report = report_of(pair.merge())
    assert not len(report.conflicts)
    assert content(pair.ours) == {"a": "1", "c": "ours later", "d": "ours"}


def test_a_merge_with_conflicts_stays_open_until_they_are_decided(pair: Pair) -> None:
    for path in (pair.ours, pair.theirs):
        change(path, "a", path.name)
        change(path, f"of {path.name}", "1")
    done = pair.merge()
    assert whys(report_of(done)) == [("t", "both-changed")]
    assert content(pair.ours)["a"] == "ours"
    assert content(pair.ours)["of theirs"] == "1"
    assert done.after is not None
    assert len(done.after.snapshot.parents) == 1
    done = pair.merge()
    assert whys(report_of(done)) == [("t", "both-changed")]
    assert done.after is None
    done = pair.merge(prefer="theirs")
    assert [one.won for one in report_of(done).conflicts] == ["theirs"]
    assert content(pair.ours)["a"] == "theirs"
    assert done.after is not None
    assert len(done.after.snapshot.parents) == 2
    assert not len(report_of(pair.merge()).conflicts)


def test_deciding_for_ours_settles_it(pair: Pair) -> None:
    for path in (pair.ours, pair.theirs):
        change(path, "a", path.name)
    done = pair.merge(prefer="ours")
    assert [one.won for one in report_of(done).conflicts] == ["ours"]
    assert content(pair.ours)["a"] == "ours"
    assert done.after is not None
    assert len(done.after.snapshot.parents) == 2
    assert not len(report_of(pair.merge()).conflicts)


def test_a_dry_run_says_the_same_and_touches_nothing(pair: Pair) -> None:
    for path in (pair.ours, pair.theirs):
        change(path, "a", path.name)
        change(path, f"of {path.name}", "1")
        (path / f"of {path.name}").write_text("x")
    with closing(sqlite3.connect(pair.ours / "m.db", isolation_level=None)) as service:
        service.execute("UPDATE t SET v = 'in the WAL' WHERE id = 'b'")  # what capture must find
        before = state_of(pair.ours)
        rehearsed = pair.merge(dry_run=True)
        assert differences(before, state_of(pair.ours)) == []
        assert sorted(os.listdir(pair.ours)) == ["m.db", "m.db-shm", "m.db-wal", "note", "of ours"]
    done = pair.merge()
    for one in (rehearsed, done):
        report = report_of(one)
        assert [(x.added, x.kept, x.conflicting) for x in report.counts] == [(1, 2, 1)]
        assert whys(report) == [("t", "both-changed")]
        assert report.added == [b"of theirs"]
    assert (rehearsed.before, rehearsed.after) == (None, None)


def test_undo_takes_a_merge_back(pair: Pair) -> None:
    change(pair.theirs, "c", "theirs")
    (pair.theirs / "new").write_text("x")
    pair.merge()
    pair.merge()  # has nothing to do, and is nothing to undo
    with pair.open() as repository:
        repository.undo(pair.ours)
    assert content(pair.ours) == {"a": "1", "b": "1"}
    assert not (pair.ours / "new").exists()


def test_a_database_that_somebody_holds_is_waited_for_and_then_nothing_is_changed(
    pair: Pair,
) -> None:
    write(pair.ours / "other.db", SCHEMA)
    write(pair.theirs / "other.db", SCHEMA.replace("'a'", "'z'"))
    change(pair.theirs, "c", "theirs")
    (pair.theirs / "new").write_text("x")
    with closing(sqlite3.connect(pair.ours / "other.db", isolation_level=None)) as service:
        service.execute("BEGIN IMMEDIATE")
        with pytest.raises(Locked, match="nothing was changed"):
            pair.merge(lock_timeout=0.2)
    assert content(pair.ours) == {"a": "1", "b": "1"}
    assert not (pair.ours / "new").exists()
    assert sorted(os.listdir(pair.ours.parent)) == ["cache", "ours", "repository", "theirs"]


def test_the_command_lists_conflicts_and_ends_with_5(pair: Pair, tmp_path: Path) -> None:
    for path in (pair.ours, pair.theirs):
        change(path, "a", path.name)
        change(path, f"of {path.name}", "1")
    pair.snapshot()
    pal = Pal(tmp_path)
    command: list[str | Path] = [
        "--repo",
        pair.repository,
        "restore",
        "theirs",
        pair.ours,
        "--merge",
    ]
    assert pal(*command, "--dry-run", "--json", code=5).result["dry_run"]
    done = pal(*command, "--json", code=5)
    merged = done.result["merged"]
    assert done.error["code"] == "conflicts"
    assert merged["tables"] == [
        {"path": "m.db", "table": "t", "added": 1, "kept": 2, "updated": 0, "removed": 0,
         "conflicting": 1},
    ]  # fmt: skip
    assert merged["conflicts"] == [
        {"path": "m.db", "table": "t", "key": "id='a'", "why": "both-changed", "words": "",
         "won": None},
    ]  # fmt: skip
    assert merged["conflicts_left"] == 1
    done = pal(*command, code=5)
    assert "conflict  m.db: t: id='a': changed on both sides" in done.out
    assert "--prefer" in done.err
    done = pal(*command, "--prefer", "ours")
    assert "with both sides as parents" in done.err
    shown = pal("--repo", pair.repository, "log", "ours", "--json").result
    assert len(shown["snapshots"][0]["parents"]) == 2
