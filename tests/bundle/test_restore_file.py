"""restore FILE TARGET: every mode, without keeping the bundle, and with nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from tests.bundle.archives import exported
from tests.bundle.handmade import Handmade
from tests.cli.conftest import Pal, make_palace
from tests.support import Place, flip

from palatine import api
from palatine.errors import Damaged, Exists, NoRepository, PathNotFound, UsageError
from palatine.ops.intake import Request as ImportRequest
from palatine.ops.restoring import Mode, Request
from palatine.ops.temporary import Terms, scratch_directory, temporary_repository
from palatine.testing.builders import differences, state_of


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` in an empty home."""
    return Pal(tmp_path)


@pytest.fixture
def bundle(place: Place) -> Path:
    """A bundle of a palace with a database, made in a repository that is gone."""
    with closing(sqlite3.connect(place.palace / "a.db")) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        db.execute("INSERT INTO t VALUES (1, 'old')")
        db.commit()
    (place.palace / "b.md").write_text("old\n")
    (place.palace / "gone.md").write_text("in the bundle only\n")
    (place.palace / "d").mkdir()
    (place.palace / "d" / "big.bin").write_bytes(Random(1).randbytes(2_000_000))
    place.snapshot()
    file = exported(place).path
    assert file is not None
    shutil.rmtree(place.repository)
    shutil.rmtree(place.cache)
    return file


def target(place: Place) -> Path:
    """Return a copy of the palace that went on."""
    found = place.root / "target"
    shutil.copytree(place.palace, found)
    (found / "b.md").write_text("new\n")
    (found / "gone.md").unlink()
    (found / "more.md").write_text("new\n")
    with closing(sqlite3.connect(found / "a.db")) as db:
        db.execute("INSERT INTO t VALUES (2, 'new')")
        db.commit()
    return found


def empty(place: Place) -> None:
    """Make the place's repository anew, with another digest than the bundle's."""
    api.init(place.repository, "sha256")


def left(place: Place) -> list[Path]:
    return [*(place.cache / "bundles").iterdir()]


def test_a_new_target_needs_no_repository(place: Place, bundle: Path) -> None:
    done, imported = api.restore_bundle(bundle, place.root / "out", cache=place.cache)
    assert (done.files, imported.same) == (4, True)
    assert differences(state_of(place.palace), state_of(place.root / "out")) == []
    assert left(place) == []
    with pytest.raises(Exists):
        api.restore_bundle(bundle, place.root / "out", cache=place.cache)
    assert left(place) == []
    how = Request(place.root / "part", paths=(b"d",), dry_run=True)
    done, _ = api.restore_bundle(bundle, how, cache=place.cache)
    assert [one.path for one in done.actions] == [b"d", b"d/big.bin"]
    assert not (place.root / "part").exists()


def test_over_something_a_repository_is_needed(place: Place, bundle: Path) -> None:
    there = target(place)
    before = state_of(there)
    with pytest.raises(NoRepository):
        api.restore_bundle(bundle, Request(there, Mode.REPLACE), cache=place.cache)
    with pytest.raises(UsageError):
        api.restore_bundle(bundle, Request(there, Mode.UNDO), cache=place.cache)
    assert state_of(there) == before


@pytest.mark.parametrize("mode", [Mode.REPLACE, Mode.LIVE])
def test_over_something_and_undone(place: Place, bundle: Path, mode: Mode) -> None:
    empty(place)
    there = target(place)
    before = state_of(there)
    with place.open() as repository:
        dry = Request(there, mode, delete=mode == Mode.LIVE, dry_run=True)
        done, _ = repository.restore_bundle(bundle, dry)
        assert {one.path for one in done.actions} >= {b"b.md", b"gone.md", b"more.md", b"a.db"}
        assert state_of(there) == before
        assert repository.log() == []
        done, _ = repository.restore_bundle(bundle, Request(there, mode, delete=mode == Mode.LIVE))
        assert _contents(there) == _contents(place.palace)
        assert done.before is not None
        (only,) = repository.log()
        assert (only.id, only.tags) == (done.before.stored.id, ("pre-restore",))
        assert left(place) == []
        repository.undo(there)
    after = state_of(there)
    assert [path for path in after if not path.endswith((b".db", b""))] == [
        path for path in before if not path.endswith((b".db", b""))
    ]
    assert _contents(there).items() >= {b"b.md": b"new\n", b"more.md": b"new\n"}.items()


def _contents(top: Path) -> dict[bytes, bytes]:
    """Return the files of a palace, its database as what it says."""
    found = {path: one.data for path, one in state_of(top).items() if one.kind == "file"}
    with closing(sqlite3.connect(top / "a.db")) as db:
        found[b"a.db"] = repr(db.execute("SELECT * FROM t ORDER BY id").fetchall()).encode()
    return found


def test_merging_keeps_what_was_merged(place: Place, bundle: Path) -> None:
    empty(place)
    there = target(place)
    how = Request(there, Mode.MERGE, prefer="ours")
    with place.open() as repository:
        done, imported = repository.restore_bundle(bundle, Request(there, Mode.MERGE, dry_run=True))
        assert repository.log() == []
        done, imported = repository.restore_bundle(bundle, how)
        assert done.after is not None
        assert imported.stored.id in {one.id for one in repository.log()}
        assert imported.stored.id in done.after.snapshot.parents
    assert (there / "gone.md").exists()
    assert (there / "b.md").read_text() == "new\n"


def test_damage_is_found_before_the_target_is_touched(place: Place, bundle: Path) -> None:
    empty(place)
    there = target(place)
    before = state_of(there)
    bundle.with_name(bundle.name + ".sha256").unlink()
    flip(bundle, bundle.stat().st_size - 30)
    for mode in (Mode.REPLACE, Mode.LIVE, Mode.MERGE):
        with place.open() as repository:
            with pytest.raises(Damaged):
                repository.restore_bundle(bundle, Request(there, mode))
            assert repository.log() == []
    with pytest.raises(Damaged):
        api.restore_bundle(bundle, place.root / "out", cache=place.cache)
    assert state_of(there) == before
    assert not (place.root / "out").exists()
    assert left(place) == []


def test_what_a_killed_process_left_goes(place: Place) -> None:
    with scratch_directory(place.cache) as alive:
        (alive / "held").write_text("by us")
        dead = place.cache / "bundles" / "dead"
        (dead / "repository").mkdir(parents=True)
        with temporary_repository(Terms(place.cache)) as repository:
            assert repository.list_snapshots() == []
            assert not dead.exists()
            assert (alive / "held").exists()
    assert left(place) == []


def test_killed(place: Place, pal: Pal) -> None:
    (place.palace / "big.bin").write_bytes(Random(1).randbytes(60_000_000))
    place.snapshot()
    file = exported(place).path
    assert file is not None
    scratch = pal.home / "cache" / "palatine" / "bundles"
    process = pal.start("restore", file, place.root / "out")
    for _ in range(1000):
        if [*scratch.glob("*/repository/packs/*")] or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [*scratch.iterdir()] != []
    assert not (place.root / "out").exists()
    pal("restore", file, place.root / "out")
    assert [*scratch.iterdir()] == []
    assert differences(state_of(place.palace), state_of(place.root / "out")) == []


def test_the_newest_of_a_directory_by_its_manifest(place: Place) -> None:
    many = place.root / "many"
    many.mkdir()
    for name, text in (("z", "first"), ("a", "second"), ("m", "third")):
        (place.palace / "b.md").write_text(text)
        place.snapshot()
        file = exported(place, f"many/{name}.tar.zst").path
        assert file is not None
        os.utime(file, (10**9 + ord(name), 10**9 + ord(name)))
    (many / "notes.txt").write_text("no bundle")
    (many / "sub").mkdir()
    api.restore_bundle(many, place.root / "out", cache=place.cache)
    assert (place.root / "out" / "b.md").read_text() == "third"
    (many / "m.tar.zst").write_bytes((many / "m.tar.zst").read_bytes()[:300])
    with pytest.raises(Damaged):  # it may have been the newest
        api.restore_bundle(many, place.root / "other", cache=place.cache)
    with pytest.raises(PathNotFound):
        api.restore_bundle(many / "sub", place.root / "other", cache=place.cache)


def test_the_command(pal: Pal) -> None:
    palace = make_palace(pal.root / "alpha")
    pal("snapshot", palace)
    pal("export", "alpha", "alpha.tar.zst")
    shutil.rmtree(pal.home / "data")
    done = pal("restore", "alpha.tar.zst", "out")
    assert "taken as a path" in done.err
    assert differences(state_of(palace), state_of(pal.root / "out")) == []
    (pal.root / "out" / "big.bin").write_bytes(b"changed")
    pal("restore", "./alpha.tar.zst", "out", code=5)
    done = pal("restore", "./alpha.tar.zst", "out", "--replace", "--json")
    assert done.result["mode"] == "replace"
    assert done.result["pre_restore"]["fresh"] is True
    assert differences(state_of(palace), state_of(pal.root / "out")) == []
    pal("restore", "--undo", "out")
    assert (pal.root / "out" / "big.bin").read_bytes() == b"changed"
    subprocess.run(["cp", "alpha.tar.zst", "out"], cwd=pal.root, check=True)
    pal("snapshot", "out", "--palace", "alpha.tar.zst")
    done = pal("restore", "alpha.tar.zst", "third")
    assert "taken as a revision" in done.err
    assert (pal.root / "third" / "alpha.tar.zst").exists()
    pal("restore", "./none.tar.zst", "fourth", code=2)
    pal("restore", "alpha.tar.zst", "fourth", "--identity", "x", code=2)
    pal("restore", "./alpha.tar.zst", "fourth", "--max-size", "1K", code=5)
    Handmade().write(pal.root)
    pal("restore", "./made.tar.zst", "fifth")
    assert (pal.root / "fifth" / "a.md").read_text() == "a note\n"
    assert api.verify_bundle(ImportRequest(pal.root / "made.tar.zst"), cache=pal.root / "c").ok
