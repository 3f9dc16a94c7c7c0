"""Where the other tools' own backups lose data, and an export or a snapshot of ours must not."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from tests.bundle.archives import exported
from tests.bundle.foreign import make
from tests.cli.conftest import Pal
from tests.support import Place, damage_frames, flip, small_disk

from palatine.errors import Damaged, NoSpace
from palatine.ids import Kind
from palatine.ops.export import Request as Export
from palatine.testing.builders import state_of


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    return Pal(tmp_path)


def test_4a7_a_second_archive_of_a_day_does_not_replace_the_first(pal: Pal, tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    out = tmp_path / "out"
    out.mkdir()
    pal("snapshot", made.palace)
    pal("export", made.name, out, "--format", "trusty")
    before = state_of(out)
    (made.palace / "identity.txt").write_text("changed since")
    pal("snapshot", made.palace)
    pal("export", made.name, out, "--format", "trusty", code=5)
    assert state_of(out) == before


def test_4a7_forced_and_failed_the_old_archive_is_whole(place: Place, tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    (made.palace / "index.usearch").write_bytes(Random(1).randbytes(5 << 20))
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
    out = place.root / "out"
    out.mkdir()
    request = Export(out / "a.tar.gz", force=True, format="trusty")
    with place.open() as repository:
        repository.export("palace", request)
        before = state_of(out)
    damage_frames(place, Kind.CHUNK)
    with place.open() as repository, pytest.raises(Damaged):
        repository.export("palace", request)
    assert state_of(out) == before


def test_4b4_a_backup_makes_and_changes_nothing_at_its_source(pal: Pal, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    pal("snapshot", source / "ai-memory.db", code=2)
    assert os.listdir(source) == []
    with closing(sqlite3.connect(source / "ai-memory.db")) as db:  # of a version before the others
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE memories(id TEXT PRIMARY KEY, content TEXT)")
        db.execute("INSERT INTO memories VALUES ('1', 'one')")
        db.commit()
    before = state_of(source)
    pal("snapshot", source / "ai-memory.db")
    pal("export", "ai-memory", tmp_path / "exported.db", "--format", "ai-memory")
    assert state_of(source) == before


@pytest.mark.parametrize("family", ["ai-memory", "oxios"])
def test_4b5_what_could_not_be_finished_has_no_name(place: Place, family: str) -> None:
    made = make(family, place.root / "root")
    name = "ai-memory.db" if family == "ai-memory" else "memory.db"
    with closing(sqlite3.connect(made.palace / name)) as db:
        db.execute("CREATE TABLE blobs AS SELECT randomblob(6000000) AS x")
        db.commit()
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
        with small_disk(place.root / "small", 5 << 20):
            with pytest.raises(NoSpace):
                repository.export("palace", Export(place.root / "small" / "out", format=family))
            assert os.listdir(place.root / "small") == []


def test_4d15_a_damaged_newest_bundle_is_not_passed_over(pal: Pal, place: Place) -> None:
    """An older one must not be taken for the newest because that cannot be read."""
    many = place.root / "many"
    many.mkdir()
    for name in ("old", "new"):
        (place.palace / "note").write_text(name)
        place.snapshot()
        exported(place, f"many/{name}.tar.zst")
    newest = many / "new.tar.zst"
    for at in (10, newest.stat().st_size // 2):
        flip(newest, at)
        pal("import", many, code=4)
        pal("verify", many, code=4)
        pal("restore", many, pal.root / "out", code=4)
        flip(newest, at)
    assert not (pal.root / "out").exists()
    pal("restore", many, pal.root / "out")
    assert (pal.root / "out" / "note").read_text() == "new"
