"""Other tools' archives with databases that cannot be read, and such as are taken unverified."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.bundle import theirs_ai_memory, theirs_trusty
from tests.bundle.foreign import content, make
from tests.cli.conftest import Pal, make_palace

from palatine.testing.builders import differences
from palatine.testing.families import Made

GRAPH = b"kg.db"
STAMP = "2026-05-09T010203Z"


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    return Pal(tmp_path)


def torn(database: Path, target: Path) -> None:
    """Write a database as a crash in a transaction leaves it, its pages overwritten since then."""
    shutil.copyfile(database, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("CREATE TABLE more AS SELECT randomblob(900) AS x FROM sqlite_master")
        for _ in range(6):
            db.execute("INSERT INTO more SELECT randomblob(900) FROM more")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("UPDATE more SET x = randomblob(900)")
        journal = Path(f"{target}-journal")
        data, before = target.read_bytes(), journal.read_bytes()
        db.execute("ROLLBACK")
    target.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    journal.write_bytes(before)


def archived(made: Made, out: Path) -> Path:
    """Have their tool write an archive of a palace."""
    theirs_trusty.backup(made.palace.parent, made.name, out)
    return out


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Made, Path]:
    """A palace, and their archive of it while its graph could not be read."""
    made = make("trusty-sqlite", tmp_path / "root")
    hurt = tmp_path / "hurt" / made.name
    shutil.copytree(made.palace, hurt)
    torn(made.palace / "kg.db", hurt / "kg.db")
    return made, archived(made._replace(palace=hurt), tmp_path / "a.tar.gz")


def test_all_but_the_database_that_cannot_be_read(pal: Pal, broken: tuple[Made, Path]) -> None:
    made, archive = broken
    for fresh in (True, False):
        done = pal("import", archive, "--json", code=3)
        assert (done.result["fresh"], done.result["complete"]) == (fresh, False)
        (told,) = [one for one in done.result["unverified"] if "kg.db" in one]
        assert "not in the snapshot" in told
    done = pal("import", archive, code=3)
    assert "kg.db" in done.err
    assert "verified" not in done.err
    shown = pal("show", made.name, "--json").result
    assert [one["path"] for one in shown["snapshot"]["missing"]] == ["kg.db"]
    pal("restore", made.name, pal.root / "out")
    kept, there = content(made.palace), content(pal.root / "out")
    assert kept.keys() - there.keys() == {GRAPH}
    del kept[GRAPH]
    assert differences(kept, there) == []


@pytest.mark.parametrize("mode", [(), ("--replace",), ("--merge",)], ids=str)
def test_nothing_of_it_is_restored(
    pal: Pal, broken: tuple[Made, Path], mode: tuple[str, ...]
) -> None:
    """A palace must not lose its database because an archive of it has none."""
    made, archive = broken
    target = made.palace if mode else pal.root / "out"
    before = content(made.palace)
    done = pal("restore", archive, target, *mode, code=1)
    assert "kg.db" in done.err
    assert "pal import takes the rest" in done.err
    assert content(made.palace) == before
    assert not (pal.root / "out").exists()
    if mode:
        tags = [one["tags"] for one in pal("log", "--json").result["snapshots"]]
        assert [one for one in tags if one != ["pre-restore"]] == []


def test_a_database_that_is_all_there_is(pal: Pal, tmp_path: Path) -> None:
    made = make("ai-memory", tmp_path / "root")
    out = tmp_path / "raw"
    out.mkdir()
    torn(made.palace / "ai-memory.db", out / "ai-memory.db")
    arguments = ("--format", "ai-memory", "--skip-verify")
    done = pal("import", out / "ai-memory.db", *arguments, code=1)
    assert "cannot be rolled back" in done.err
    assert pal("log", "--json").result["snapshots"] == []


def test_restored_all_the_same_it_says_what_was_not_compared(pal: Pal, tmp_path: Path) -> None:
    made = make("ai-memory", tmp_path / "root")
    saved = theirs_ai_memory.backup(made.palace / "ai-memory.db", tmp_path / "saved", STAMP)
    with closing(sqlite3.connect(saved)) as db:  # somebody changed it
        db.execute("CREATE TABLE since(x)")
    named = ("--format", "ai-memory")
    pal("restore", saved, tmp_path / "out", *named, code=4)
    done = pal("restore", saved, tmp_path / "out", *named, "--skip-verify")
    assert "its bytes were not compared with a SHA-256" in done.err
    said = (done.out + done.err).lower().replace("--skip-verify", "").split()
    assert not {"ok", "verified", "whole", "checked"} & {one.strip(".,:;") for one in said}
    with closing(sqlite3.connect(tmp_path / "out" / "ai-memory.db")) as db:
        assert db.execute("SELECT count(*) FROM since").fetchone() == (0,)
    done = pal("restore", saved, tmp_path / "o2", *named, "--skip-verify", "--json")
    assert any("not compared" in one for one in done.object["notices"])
    assert "not compared" in pal("import", saved, *named, "--skip-verify").err
    whole = theirs_ai_memory.backup(made.palace / "ai-memory.db", tmp_path / "other", STAMP)
    assert "not compared" not in pal("restore", whole, tmp_path / "o3", *named).err


def test_a_digest_beside_it_that_was_passed_over_is_told(pal: Pal, tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    archive = archived(made, tmp_path / "a.tar.gz")
    (tmp_path / "a.tar.gz.sha256").write_text("0" * 64)
    pal("restore", archive, tmp_path / "out", code=4)
    done = pal("restore", archive, tmp_path / "out", "--skip-verify")
    assert "a.tar.gz.sha256 beside it was not compared" in done.err
    for said in ("imported", "is there already: "):
        done = pal("import", archive, "--skip-verify")
        assert said in done.err
        assert "a.tar.gz.sha256 beside it was not compared" in done.err
        assert "verified" not in done.err


def test_what_is_not_for_other_tools_is_always_verified(pal: Pal) -> None:
    pal("snapshot", make_palace(pal.root / "alpha"))
    pal("export", "alpha", "alpha.tar.zst")
    done = pal("restore", pal.root / "alpha.tar.zst", pal.root / "out", "--skip-verify", code=2)
    assert "always verified" in done.err
    done = pal("restore", "alpha", pal.root / "out", "--skip-verify", code=2)
    assert "go with FILE" in done.err
    assert not (pal.root / "out").exists()


def test_their_databases_are_checked_when_that_is_asked_for(pal: Pal, tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    with closing(sqlite3.connect(made.palace / "recall.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("CREATE TABLE since(x)")
        db.commit()
        assert (made.palace / "recall.db-wal").stat().st_size
        with (made.palace / "recall.db").open("r+b") as file:  # the WAL has a newer first page
            file.seek(100)
            file.write(b"\xff" * 50)
        archive = archived(made, tmp_path / "a.tar.gz")
    done = pal("verify", archive, "--check", "--json", code=3)
    databases = [path for path in made.palace.glob("*.db") if path.stat().st_size]
    assert f"SQLite found {len(databases)} databases sound" in done.result["checked"]
    with (made.palace / "kg.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200)
    archive = archived(made, tmp_path / "b.tar.gz")
    assert pal("verify", archive, "--json", code=3).result["damage"] == []
    done = pal("verify", archive, "--check", "--json", code=4)
    assert "SQLite says of kg.db" in done.result["damage"][0]
