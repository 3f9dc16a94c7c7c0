"""The traps in which other systems' restores are caught, each with the palace that springs it.

The numbers are those of the list of weaknesses that the design was made from.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support import Place

import palatine.ops.present
import palatine.ops.snapshot
from palatine.ops.restoring import Restored
from palatine.testing.builders import State, differences, state_of
from palatine.testing.families import FAMILIES, Made
from palatine.testing.families_stores import write_json

Modes = Callable[[Place, str, Path], object]


def snapshotted(place: Place, palace: Path, **more: Any) -> str:
    with place.open() as repository:
        return repository.snapshot(palace, **more).stored.id.hex()


def restored(place: Place, revision: str, target: Path, **more: Any) -> Restored:
    with place.open() as repository:
        return repository.restore(revision, target, **more)


def made(place: Place, family: str) -> Made:
    return FAMILIES[family](place.root / "data", Random(family))


def _new(place: Place, revision: str, palace: Path) -> None:
    shutil.rmtree(palace)
    restored(place, revision, palace)


def _replace(place: Place, revision: str, palace: Path) -> None:
    restored(place, revision, palace, replace=True)


def _live(place: Place, revision: str, palace: Path) -> None:
    restored(place, revision, palace, live=True, delete=True)


def _undo(place: Place, revision: str, palace: Path) -> None:
    """Put it back, put something else over it, and undo that."""
    restored(place, revision, palace, replace=True)
    (place.palace / "note").write_text("something else")
    restored(place, snapshotted(place, place.palace), palace, replace=True)
    assert os.listdir(palace) == ["note"]
    with place.open() as repository:
        repository.undo(palace)


every_mode = pytest.mark.parametrize("put_back", [_new, _replace, _live, _undo])


MASKED = {*range(18, 20), *range(24, 32), *range(40, 44), *range(92, 100)}
"""Bytes of a database's header that say how often it was written, and by whom."""


def essence(state: dict[bytes, State]) -> dict[bytes, State]:
    """Leave out what a restore into a living palace does not set.

    Times of directories; of databases the time, and what their header counts.
    """
    return {path: _essence(one) for path, one in state.items()}


def _essence(one: State) -> State:
    if one.kind == "directory":
        return one._replace(mtime_ns=0)
    if not one.data.startswith(b"SQLite format 3\0"):
        return one
    head = bytes(0 if at in MASKED else byte for at, byte in enumerate(one.data[:100]))
    return one._replace(mtime_ns=0, data=head + one.data[100:])


def checked(palace: Path, before: dict[bytes, State]) -> None:
    assert differences(essence(before), essence(state_of(palace))) == []


def damage(palace: Path) -> None:
    """Do what a day of use and a careless hand do: change, add, remove, and lose modes."""
    for number, path in enumerate(sorted(palace.rglob("*"))):
        if path.is_symlink() or not path.is_file():
            continue
        if path.read_bytes()[:15] == b"SQLite format 3":
            with closing(sqlite3.connect(path)) as db, db:
                db.execute("CREATE TABLE later(x)")
        elif number % 3 == 0:
            path.unlink()
        else:
            path.write_bytes(b"later")
            path.chmod(0o600)
    (palace / "later.json").write_text("{}")
    (palace / "later").mkdir()


# trusty-memory


def opened(directory: Path, *drawers: str) -> dict[str, Any]:
    """Run the service on a palace and return what it saw."""
    program = Path(__file__).with_name("trusty_service.py")
    done = subprocess.run(
        [sys.executable, program, directory, *drawers], capture_output=True, check=True, text=True
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def trusty(place: Place) -> tuple[Path, str, list[str]]:
    """Make a palace whose data_dir is its own, as the service says; its snapshot, its drawers."""
    palace = made(place, "trusty-sqlite").palace
    said = json.loads((palace / "palace.json").read_text())
    write_json(palace / "palace.json", {**said, "data_dir": str(palace)})
    seen = opened(palace)
    assert seen["opened"] == str(palace)
    assert len(seen["drawers"]) > 20
    return palace, snapshotted(place, palace), seen["drawers"]


def test_4a6_a_palace_under_another_root_opens_there_and_not_where_it_was(place: Place) -> None:
    palace, revision, drawers = trusty(place)
    shutil.rmtree(palace)
    target = place.root / "moved" / "palaces" / "beta"
    done = restored(place, revision, target, as_name="beta")
    assert done.notices == ()
    seen = opened(target, "added")
    assert seen == {"id": "beta", "opened": str(target), "drawers": sorted([*drawers, "added"])}
    assert not palace.exists()


def test_4a6_a_copy_beside_the_original_writes_into_itself(place: Place) -> None:
    palace, revision, drawers = trusty(place)
    target = palace.with_name("beta")
    restored(place, revision, target, as_name="beta")
    before = state_of(palace)
    assert opened(target, "added")["opened"] == str(target)
    assert differences(before, state_of(palace)) == []
    assert opened(palace)["drawers"] == drawers


def test_4a6_without_a_new_name_it_is_told_that_it_opens_elsewhere(place: Place) -> None:
    """What was captured comes back byte for byte: then the trap is there, and is named."""
    palace, revision, _ = trusty(place)
    before = state_of(palace)
    shutil.rmtree(palace)
    target = place.root / "moved"
    (notice,) = restored(place, revision, target).notices
    assert str(palace) in notice
    assert "data_dir" in notice
    assert "--as" in notice
    assert differences(before, state_of(target)) == []
    assert opened(target) == {"id": palace.name, "opened": str(palace), "drawers": []}


def test_4a6_at_its_own_place_there_is_nothing_to_tell(place: Place) -> None:
    palace, revision, drawers = trusty(place)
    shutil.rmtree(palace)
    assert restored(place, revision, palace).notices == ()
    assert opened(palace)["drawers"] == drawers
    assert restored(place, revision, palace, replace=True).notices == ()


def test_4a6_on_another_host_its_own_name_is_enough(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    palace, revision, drawers = trusty(place)
    shutil.rmtree(palace)
    for module in (palatine.ops.snapshot, palatine.ops.present):
        monkeypatch.setattr(module, "host", lambda: "another")
    target = place.root / "elsewhere" / palace.name
    done = restored(place, revision, target, as_name=palace.name)
    assert [(one.key, one.new) for one in done.renamed if one.key == "data_dir"] == [
        ("data_dir", str(target))
    ]
    assert opened(target)["drawers"] == drawers
    with place.open() as repository:
        again = repository.snapshot(target).stored.snapshot
    assert (again.palace, again.host, again.path) == (
        palace.name, "another", os.fsencode(target),
    )  # fmt: skip


# nexo


@every_mode
def test_4d7_modes_empty_directories_and_symlinks_come_back(place: Place, put_back: Modes) -> None:
    palace = made(place, "nexo-memdir").palace
    hook = palace / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    (palace / "private.md").write_text("secret")
    (palace / "private.md").chmod(0o600)
    (palace / "empty" / "inner").mkdir(parents=True)
    (palace / "link").symlink_to("MEMORY.md")
    (palace / "dangling").symlink_to("nowhere")
    before = state_of(palace)
    revision = snapshotted(place, palace)
    for path in (palace / "empty" / "inner", palace / "empty"):
        path.rmdir()
    for path in (palace / "link", palace / "dangling"):
        path.unlink()
    hook.chmod(0o644)
    (palace / "private.md").chmod(0o644)
    put_back(place, revision, palace)
    checked(palace, before)
    assert stat.S_IMODE(hook.stat().st_mode) == 0o755
    assert subprocess.run(["git", "-C", palace, "fsck", "--strict"], check=False).returncode == 0


@every_mode
def test_4d4_notes_and_databases_in_one_directory_do_not_push_each_other_out(
    place: Place, put_back: Modes
) -> None:
    """The memdir is the databases' directory: one restore brings both, each once."""
    palace = made(place, "nexo-memdir").palace
    databases = FAMILIES["nexo-snapshots"](place.root / "more", Random(1)).palace
    shutil.copytree(databases, palace, dirs_exist_ok=True)
    before = state_of(palace)
    revision = snapshotted(place, palace)
    damage(palace)
    put_back(place, revision, palace)
    checked(palace, before)
    assert [path for path in palace.rglob("*") if "pre-restore" in path.name] == []
    with closing(sqlite3.connect(palace / "long_term.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM memories").fetchone() == (14,)


# oxios


@every_mode
def test_4c4_the_state_is_that_of_the_snapshot_and_nothing_leaks_into_it(
    place: Place, put_back: Modes
) -> None:
    """Newer files do not survive, and neither a manifest nor backups come to lie in the state."""
    palace = made(place, "oxios").palace
    before = state_of(palace)
    revision = snapshotted(place, palace)
    damage(palace)
    write_json(palace / "sessions" / "newer.json", {"id": "newer"})
    write_json(palace / "backups" / "1" / "manifest.json", {"version": 1})
    put_back(place, revision, palace)
    checked(palace, before)


# mempalace


def test_4e_the_parts_outside_of_the_palace_are_back_in_their_places(place: Place) -> None:
    one = made(place, "mempalace")
    home = one.palace.parent
    before = state_of(home)
    counts = dict(one.counts)
    revision = snapshotted(place, one.palace)
    shutil.rmtree(home)
    done = restored(place, revision, one.palace, outside=True)
    assert {part.name: part.target for part in done.outside} == one.outside
    after = state_of(home)
    captured = [b"palace", *(path.name.encode() for path in one.outside.values())]
    mine = {
        path: state for path, state in before.items() if path and path.split(b"/")[0] in captured
    }
    assert differences(mine, {path: state for path, state in after.items() if path}) == []
    said = json.loads((home / "config.json").read_text())
    assert Path(said["palace_path"]) == one.palace
    assert done.notices == ()
    again = snapshotted(place, one.palace)
    with place.open() as repository:
        assert repository.counts(again) == counts


@pytest.mark.parametrize("mode", [{"replace": True}, {"live": True, "delete": True}])
def test_4e_the_parts_are_back_over_those_of_today(place: Place, mode: dict[str, bool]) -> None:
    one = made(place, "mempalace")
    before = {name: state_of(path.parent)[os.fsencode(path.name)]
              for name, path in one.outside.items()}  # fmt: skip
    palace = state_of(one.palace)
    revision = snapshotted(place, one.palace)
    damage(one.palace)
    with closing(sqlite3.connect(one.outside["knowledge-graph"])) as db, db:
        db.execute("DELETE FROM triples")
    one.outside["tunnels"].write_text("[]")
    one.outside["hallways"].unlink()
    done = restored(place, revision, one.palace, outside=True, **mode)
    assert {part.name: part.target for part in done.outside} == one.outside
    checked(one.palace, palace)
    for name, path in one.outside.items():
        now = state_of(path.parent)[os.fsencode(path.name)]
        assert _essence(now) == _essence(before[name]), name
    with closing(sqlite3.connect(one.outside["knowledge-graph"])) as db:
        assert db.execute("SELECT count(*) FROM triples").fetchone() == (21,)


@every_mode
def test_4e_sparse_link_lists_stay_sparse(place: Place, put_back: Modes) -> None:
    palace = made(place, "mempalace").palace
    sparse = sorted(palace.glob("*/link_lists.bin"))
    sizes = {path: (path.stat().st_size, path.stat().st_blocks) for path in sparse}
    assert all(512 * blocks < size / 100 for size, blocks in sizes.values())
    before = state_of(palace)
    revision = snapshotted(place, palace)
    damage(palace)
    put_back(place, revision, palace)
    checked(palace, before)
    for path, (size, blocks) in sizes.items():
        assert path.stat().st_size == size
        assert path.stat().st_blocks <= 2 * blocks


def test_4e_sparse_link_lists_stay_sparse_when_a_merge_adds_them(place: Place) -> None:
    palace = made(place, "mempalace").palace
    revision = snapshotted(place, palace)
    other = place.root / "other" / "palace"
    shutil.copytree(palace, other, ignore=shutil.ignore_patterns("link_lists.bin"))
    restored(place, revision, other, merge=True)
    sparse = sorted(palace.glob("*/link_lists.bin"))
    assert len(sparse) == 2
    for path in sparse:
        merged = other / path.relative_to(palace)
        assert merged.read_bytes() == path.read_bytes()
        assert merged.stat().st_blocks <= 2 * path.stat().st_blocks


@every_mode
def test_4e_segments_keep_the_names_that_chroma_knows_them_by(
    place: Place, put_back: Modes
) -> None:
    """A quarantined segment stays quarantined, one in use stays the one that Chroma looks for."""
    palace = made(place, "mempalace").palace
    (aside,) = palace.glob("*.drift-*")
    kept = (aside / "data_level0.bin").read_bytes()
    revision = snapshotted(place, palace)
    shutil.rmtree(aside)
    damage(palace)
    put_back(place, revision, palace)
    assert (aside / "data_level0.bin").read_bytes() == kept
    check_segments(palace)


def test_4e_segments_keep_their_names_in_a_renamed_copy(place: Place) -> None:
    palace = made(place, "mempalace").palace
    (aside,) = palace.glob("*.drift-*")
    target = place.root / "copy"
    restored(place, snapshotted(place, palace), target, as_name="copy")
    assert (target / aside.name / "data_level0.bin").exists()
    check_segments(target)


def check_segments(palace: Path) -> None:
    sql = "SELECT id FROM segments WHERE scope = 'VECTOR'"
    with closing(sqlite3.connect(palace / "chroma.sqlite3")) as db:
        known = {one for (one,) in db.execute(sql)}
    assert known == {
        path.name for path in palace.iterdir() if path.is_dir() and len(path.name) == 36
    }
    assert len(known) == 2


# All


def test_a_stale_wal_at_a_parts_place_is_not_taken_for_its_own(place: Place) -> None:
    """Of 4B1, for parts: what lies beside an absent database would be replayed over it."""
    one = made(place, "oxios")
    revision = snapshotted(place, one.palace)
    log = one.outside["agent-log"]
    wal = stale_wal(place, log)
    shutil.rmtree(one.palace)
    with pytest.raises(palatine.errors.Refused, match="-wal"):
        restored(place, revision, one.palace, outside=True)
    assert not one.palace.exists()
    assert not log.exists()
    wal.unlink()
    restored(place, revision, one.palace, outside=True)
    with closing(sqlite3.connect(log)) as db:
        assert db.execute("SELECT count(*) FROM log").fetchone() == (9,)


def stale_wal(place: Place, path: Path) -> Path:
    """Take a database away and leave the WAL of a killed service."""
    from palatine.testing.sqlite_service import Service

    service = Service(path, "journal_mode = WAL")
    service.run("DELETE FROM log")
    service.kill()
    path.unlink()
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size
    return wal
