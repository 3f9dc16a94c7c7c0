"""ai-memory's snapshots: what we write its own restore accepts, what its backup makes we take."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.bundle import theirs_ai_memory as theirs
from tests.bundle.foreign import about, kept_and_restored, make, read, rows
from tests.support import Place, flip

from palatine.bundle.formats.ai_memory import AiMemory
from palatine.errors import (
    Damaged,
    Exists,
    Malformed,
    PathNotFound,
    Refused,
    SourceError,
    UsageError,
)
from palatine.testing.families import Made

AI = AiMemory()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make("ai-memory", tmp_path / "root")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "p").mkdir()
    return Place(tmp_path / "p")


def test_their_restore_takes_what_we_write(tmp_path: Path, made: Made) -> None:
    out = tmp_path / "backups"
    target = out / AI.default_name(about(made))
    assert target.name == "ai-memory-2026-05-09T010203Z.db"
    notes = AI.write(made.palace, about(made), target, False)

    live = tmp_path / "live.db"
    assert theirs.restore(out, live) == target

    assert rows(live) == rows(made.palace / "ai-memory.db")
    assert sorted(path.name for path in out.iterdir()) == [
        target.name, "ai-memory-2026-05-09T010203Z.manifest.json",
    ]  # fmt: skip
    assert notes == (
        "left out, for the format holds the database alone:"
        " ai-memory.pre-restore-2026-05-09T010203Z.db",
    )


def test_the_manifest_is_what_sha256sum_says(tmp_path: Path, made: Made) -> None:
    target = tmp_path / "any.name.db"
    AI.write(made.palace, about(made), target, False)
    manifest = json.loads((tmp_path / "any.name.manifest.json").read_text())
    said = subprocess.run(["sha256sum", target], capture_output=True, text=True, check=True).stdout
    assert manifest.pop("sha256") == said.split()[0]
    assert manifest == {
        "snapshot": "any.name.db", "bytes": target.stat().st_size, "version": "palatine 0.1.0",
        "source_db": str(made.palace / "ai-memory.db"),
        "created_at": "2026-05-09T01:02:03.123456+00:00",
    }  # fmt: skip


def test_it_is_one_file_in_rollback_mode(tmp_path: Path, made: Made) -> None:
    """As VACUUM INTO leaves it: whoever opens it read-only needs no WAL, and leaves none."""
    assert (made.palace / "ai-memory.db").read_bytes()[18:20] == b"\2\2"
    target = tmp_path / "x.db"
    AI.write(made.palace, about(made), target, False)
    assert target.read_bytes()[18:20] == b"\1\1"
    with closing(sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert len(db.execute("SELECT * FROM memories_fts WHERE memories_fts MATCH 'agent'")
                   .fetchall()) > 3  # fmt: skip
    with closing(sqlite3.connect(target)) as db:
        db.execute("INSERT INTO memories_fts(memories_fts, rank) VALUES ('integrity-check', 1)")
        db.rollback()


def test_row_numbers_with_gaps_still_match_the_full_text(tmp_path: Path, made: Made) -> None:
    """The index goes by implicit row numbers, which VACUUM may change: ours stay."""
    with closing(sqlite3.connect(made.palace / "ai-memory.db", isolation_level=None)) as db:
        old = db.execute("SELECT rowid, title, content, tags FROM memories WHERE rowid % 3 = 0")
        for row in old.fetchall():
            values = "INSERT INTO memories_fts(memories_fts, rowid, title, content, tags)"
            db.execute(f"{values} VALUES ('delete', ?, ?, ?, ?)", row)
            db.execute("DELETE FROM memories WHERE rowid = ?", row[:1])
    target = tmp_path / "x.db"
    assert len(AI.write(made.palace, about(made), target, False)) == 1
    assert rows(target) == rows(made.palace / "ai-memory.db")


def test_a_stale_full_text_index_is_rebuilt_and_told(tmp_path: Path, made: Made) -> None:
    with closing(sqlite3.connect(made.palace / "ai-memory.db", isolation_level=None)) as db:
        db.execute("UPDATE memories SET content = 'zebra' WHERE rowid = 1")  # no trigger for it
    target = tmp_path / "x.db"
    notes = AI.write(made.palace, about(made), target, False)
    assert any("memories_fts" in note and "rebuilt" in note for note in notes)
    with closing(sqlite3.connect(target)) as db:
        found = db.execute("SELECT rowid FROM memories_fts WHERE memories_fts MATCH 'zebra'")
        assert found.fetchall() == [(1,)]


def test_commits_in_a_wal_are_written_too(tmp_path: Path, made: Made) -> None:
    with closing(sqlite3.connect(made.palace / "ai-memory.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO archived_memories VALUES ('late', 'x')")
        shutil.copytree(made.palace, tmp_path / "copy")
    AI.write(tmp_path / "copy", about(made), tmp_path / "x.db", False)
    assert ("late", "x") in [row[1:] for row in rows(tmp_path / "x.db")["archived_memories"]]
    assert (tmp_path / "copy" / "ai-memory.db-wal").stat().st_size  # what is read is not changed


def test_a_single_database_and_one_that_is_encrypted(tmp_path: Path, made: Made) -> None:
    AI.write(made.palace / "ai-memory.db", about(made), tmp_path / "x.db", False)
    assert rows(tmp_path / "x.db") == rows(made.palace / "ai-memory.db")
    sealed = tmp_path / "sealed" / "ai-memory.db"
    sealed.parent.mkdir()
    sealed.write_bytes(os.urandom(8192))
    notes = AI.write(sealed.parent, about(made), tmp_path / "y.db", False)
    assert any("encrypted" in note for note in notes)
    theirs.restore(tmp_path / "y.db", tmp_path / "live.db")
    assert (tmp_path / "live.db").read_bytes() == sealed.read_bytes()
    found = read(AI, tmp_path / "y.db", tmp_path / "s")
    assert found.path.read_bytes() == sealed.read_bytes()


def test_nothing_is_overwritten_unless_forced_and_never_beside_a_wal(
    tmp_path: Path, made: Made
) -> None:
    target = tmp_path / "x.db"
    AI.write(made.palace, about(made), target, False)
    with pytest.raises(Exists):
        AI.write(made.palace, about(made), target, False)
    AI.write(made.palace, about(made), target, True)
    (tmp_path / "x.db-wal").write_bytes(b"of a service")
    with pytest.raises(Refused, match="play it into"):
        AI.write(made.palace, about(made), target, True)
    with pytest.raises(SourceError, match=r"no ai-memory\.db"):
        AI.write(tmp_path / "root", about(made), tmp_path / "y.db", False)
    assert not (tmp_path / "y.db").exists()


def test_their_snapshot_comes_in(tmp_path: Path, made: Made, place: Place) -> None:
    snapshot = theirs.backup(made.palace / "ai-memory.db", tmp_path / "b", "2026-05-09T010203Z")
    found = read(AI, snapshot, tmp_path / "s")
    assert (found.palace, found.layout, found.unverified) == ("ai-memory", "ai-memory", ())
    assert found.time_us == about(made).time_us // 10**6 * 10**6 + 123_456
    assert found.path.read_bytes() == snapshot.read_bytes()
    restored = kept_and_restored(place, found)
    assert rows(restored / "ai-memory.db") == rows(made.palace / "ai-memory.db")


@pytest.mark.parametrize("changed", [
    {"version": None, "source_db": None, "bytes": None}, {"x_new": [1]}, {"snapshot": "old.db"},
])  # fmt: skip
def test_old_and_unknown_fields_are_taken(
    tmp_path: Path, made: Made, changed: dict[str, Any]
) -> None:
    stamp = "2026-05-09T010203Z"
    snapshot = theirs.backup(made.palace / "ai-memory.db", tmp_path / "b", stamp, **changed)
    assert read(AI, snapshot, tmp_path / "s").unverified == ()


def test_the_newest_goes_by_its_time_and_not_by_mtime(tmp_path: Path, made: Made) -> None:
    db = made.palace / "ai-memory.db"
    old = theirs.backup(db, tmp_path / "b", "2026-05-08T010203Z")
    new = theirs.backup(db, tmp_path / "b", "2026-05-09T010203Z")
    broken = tmp_path / "b" / "ai-memory-2026-05-10T010203Z.db"  # a backup that failed half-way
    broken.write_bytes(new.read_bytes()[:4096])
    (tmp_path / "b" / "ai-memory.db").write_bytes(b"live")
    os.utime(old)
    found = read(AI, tmp_path / "b", tmp_path / "s")
    assert found.path.read_bytes() == new.read_bytes()
    assert any(broken.name in note and "no manifest" in note for note in found.notes)
    assert any(new.name in note for note in found.notes)
    assert read(AI, tmp_path / "b", tmp_path / "s2", True).path.read_bytes() == broken.read_bytes()


def test_renamed_snapshots_go_by_their_manifests(tmp_path: Path, made: Made) -> None:
    db = made.palace / "ai-memory.db"
    for name, stamp in (("b", "2026-05-08T010203Z"), ("a", "2026-05-09T010203Z")):
        saved = theirs.backup(db, tmp_path / "b", stamp)
        for path in (saved, saved.with_name(f"{saved.stem}.manifest.json")):
            path.rename(path.with_name(path.name.replace(stamp, name)))
    os.utime(tmp_path / "b" / "ai-memory-b.db", (4e9, 4e9))
    found = read(AI, tmp_path / "b", tmp_path / "s")
    assert any("taken: ai-memory-a.db, the newest of 2" in note for note in found.notes)
    assert any("written for ai-memory-2026-05-09T010203Z.db" in note for note in found.notes)


def test_what_is_not_as_the_manifest_says_is_damage_unless_skipped(
    tmp_path: Path, made: Made
) -> None:
    snapshot = theirs.backup(made.palace / "ai-memory.db", tmp_path / "b", "2026-05-09T010203Z")
    beside = snapshot.with_name(f"{snapshot.stem}.manifest.json")
    flip(snapshot, 5000)
    with pytest.raises(Damaged, match="sha256 mismatch"):
        read(AI, snapshot, tmp_path / "s1")
    assert read(AI, snapshot, tmp_path / "s2", True).unverified
    beside.write_text("{")
    with pytest.raises(Malformed, match="parsing manifest"):
        read(AI, snapshot, tmp_path / "s3")
    beside.unlink()
    with pytest.raises(PathNotFound, match="not found"):
        read(AI, snapshot, tmp_path / "s4")
    assert read(AI, snapshot, tmp_path / "s5", True).unverified
    snapshot.write_bytes(b"")
    with pytest.raises(Malformed, match="is empty"):
        read(AI, snapshot, tmp_path / "s6", True)


def test_a_wal_beside_is_taken_only_with_a_raw_copy(
    tmp_path: Path, made: Made, place: Place
) -> None:
    """A digest stands for the main file: what came beside it later is another state."""
    snapshot = theirs.backup(made.palace / "ai-memory.db", tmp_path / "b", "2026-05-09T010203Z")
    with closing(sqlite3.connect(snapshot, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO archived_memories VALUES ('late', 'x')")
        shutil.copytree(tmp_path / "b", tmp_path / "raw")
    raw = tmp_path / "raw" / snapshot.name
    with pytest.raises(Damaged):  # it was made a WAL database: the manifest speaks of another file
        read(AI, raw, tmp_path / "s1")
    found = read(AI, raw, tmp_path / "s2", True)
    restored = kept_and_restored(place, found) / "ai-memory.db"
    assert ("late", "x") in [row[1:] for row in rows(restored)["archived_memories"]]
    theirs.backup(made.palace / "ai-memory.db", tmp_path / "c", "2026-05-09T010203Z")
    shutil.copyfile(f"{raw}-wal", tmp_path / "c" / f"{raw.name}-wal")
    found = read(AI, tmp_path / "c", tmp_path / "s3")
    assert [path.name for path in found.path.parent.iterdir()] == ["ai-memory.db"]
    assert any("came later" in note for note in found.notes)
    (tmp_path / "c" / f"{snapshot.stem}.manifest.json").unlink()
    found = read(AI, tmp_path / "c" / snapshot.name, tmp_path / "s4", True)
    assert not Path(f"{found.path}-wal").exists()  # VACUUM INTO leaves none: it is another's


def test_a_directory_without_snapshots_is_told_apart(tmp_path: Path, made: Made) -> None:
    with pytest.raises(UsageError, match="live database"):
        read(AI, made.palace, tmp_path / "s1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PathNotFound, match="no snapshots found"):
        read(AI, tmp_path / "empty", tmp_path / "s2")
    with pytest.raises(PathNotFound, match="does not exist"):
        read(AI, tmp_path / "gone.db", tmp_path / "s3")


def test_a_stale_full_text_index_in_theirs_is_told(tmp_path: Path, made: Made) -> None:
    with closing(sqlite3.connect(made.palace / "ai-memory.db", isolation_level=None)) as db:
        db.execute("UPDATE memories SET content = 'zebra' WHERE rowid = 1")
    snapshot = theirs.backup(made.palace / "ai-memory.db", tmp_path / "b", "2026-05-09T010203Z")
    found = read(AI, snapshot, tmp_path / "s")
    assert any("memories_fts" in note for note in found.notes)
    assert found.path.read_bytes() == snapshot.read_bytes()
