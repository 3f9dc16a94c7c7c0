"""oxios' backups: what we write its own restore accepts, what its backup makes we take."""

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
from tests.bundle import theirs_oxios as theirs
from tests.bundle.foreign import about, content, kept_and_restored, make, read, rows
from tests.support import Place

from palatine.bundle.formats.oxios import Oxios
from palatine.errors import Exists, Malformed, PathNotFound, Refused, UsageError
from palatine.testing.builders import differences, state_of
from palatine.testing.families import Made

OXIOS = Oxios()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make("oxios", tmp_path / "root")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "p").mkdir()
    return Place(tmp_path / "p")


def write(made: Made, target: Path, force: bool = False) -> tuple[str, ...]:
    return OXIOS.write(made.palace, about(made), target, force)


def test_their_restore_takes_what_we_write(tmp_path: Path, made: Made) -> None:
    out = tmp_path / OXIOS.default_name(about(made))
    assert out.name == "oxios-1778288523"
    assert write(made, out) == ()
    manifest = json.loads((out / "manifest.json").read_text())
    counts = {one["name"]: one["entry_count"] for one in manifest["sections"]}
    assert counts["memory.db"] == 12
    assert {name: counts[name] for name in made.counts if "/" in name or name == "sessions"} == {
        "sessions": 4, "memory/facts": 3, "memory/conversations": 2
    }  # fmt: skip
    theirs.restore(out, tmp_path / "live")
    kept = content(made.palace)
    there = content(tmp_path / "live")
    assert there.keys() - kept.keys() == {b"manifest.json", b"memory.db-wal", b"tasks.db-wal"}
    assert differences(kept, {name: there[name] for name in kept if name in there}) == []


def test_a_stale_wal_in_the_live_workspace_is_not_played_back(tmp_path: Path, made: Made) -> None:
    """Their restore copies over what is there: a WAL that stays undoes it, and nobody is told."""
    live = tmp_path / "live"
    shutil.copytree(made.palace, live)
    write(made, tmp_path / "out")
    with closing(sqlite3.connect(made.palace / "memory.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE memories SET content = 'v2'")
        for suffix in ("", "-wal"):
            shutil.copyfile(made.palace / f"memory.db{suffix}", live / f"memory.db{suffix}")
    theirs.restore(tmp_path / "out", live)
    assert {row[3] for row in rows(live / "memory.db")["memories"]} & {"v2"} == set()


def test_a_workspace_that_keeps_all_in_sqlite_is_no_empty_backup(
    tmp_path: Path, made: Made
) -> None:
    """oxios refuses its own backup of such a one: it lists no section."""
    for name in ("sessions", "agents", "memory"):
        shutil.rmtree(made.palace / name)
    write(made, tmp_path / "out")
    theirs.restore(tmp_path / "out", tmp_path / "live")
    assert rows(tmp_path / "live" / "memory.db") == rows(made.palace / "memory.db")
    theirs.backup(made.palace, tmp_path / "theirs")
    with pytest.raises(theirs.Refused):
        theirs.restore(tmp_path / "theirs", tmp_path / "live2")
    assert (read(OXIOS, tmp_path / "theirs", tmp_path / "s").path / "memory.db").exists()


def test_only_a_backup_is_replaced_and_only_if_forced(tmp_path: Path, made: Made) -> None:
    """Theirs removes whatever directory is named, before there is another."""
    out = tmp_path / "out"
    out.mkdir()
    write(made, out)
    with pytest.raises(Exists):
        write(made, out)
    (out / "memory.db").unlink()
    write(made, out, force=True)
    assert (out / "memory.db").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("x")
    with pytest.raises(Refused, match="no backup of oxios"):
        write(made, home, force=True)
    assert (home / "thesis.tex").read_text() == "x"
    assert {path.name for path in tmp_path.iterdir()} == {"root", "out", "home"}


def test_into_the_workspace_itself(tmp_path: Path, made: Made) -> None:
    """Theirs copies the copy it is making, until names are too long."""
    target = made.palace / "backups" / "1"
    shutil.copytree(made.palace, tmp_path / "restored")
    OXIOS.write(tmp_path / "restored", about(made), target, False)
    assert {path.name for path in target.parent.iterdir()} == {"1"}
    assert (target / "manifest.json").exists()
    assert not (target / "backups").exists()


def test_what_is_left_out_is_told(tmp_path: Path, made: Made) -> None:
    (made.palace / "out").symlink_to("/etc/passwd")
    (made.palace / "in").symlink_to("memory.db")
    (made.palace / "manifest.json").write_text("{}")
    (tmp_path / "root" / ".oxios" / "workspace.outside" / "agent-log").mkdir(parents=True)
    told = "\n".join(write(made, tmp_path / "out"))
    for words in ("no file of the workspace are left out: out", "passes over: in", "manifest.json",
                  "outside of the palace are left out: agent-log"):  # fmt: skip
        assert words in told


def test_their_backup_comes_in(tmp_path: Path, made: Made, place: Place) -> None:
    theirs.backup(made.palace, tmp_path / "b", x_unknown=1)
    found = read(OXIOS, tmp_path / "b", tmp_path / "s")
    assert (found.layout, found.palace, found.time_us) == ("oxios", "oxios", 1778288523123456)
    assert found.unverified
    assert found.notes == ()
    restored = kept_and_restored(place, found)
    assert differences(content(made.palace), content(restored)) == []
    assert not (restored / "manifest.json").exists()  # theirs leaves it in the live workspace


def test_a_raw_copy_of_a_running_service_is_taken_with_its_wal(
    tmp_path: Path, made: Made, place: Place
) -> None:
    with closing(sqlite3.connect(made.palace / "memory.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO memories VALUES ('late', 'fact', 'only in the WAL')")
        theirs.backup(made.palace, tmp_path / "b")
    restored = kept_and_restored(place, read(OXIOS, tmp_path / "b", tmp_path / "s"))
    assert "late" in [row[1] for row in rows(restored / "memory.db")["memories"]]


def test_ours_comes_back(tmp_path: Path, made: Made, place: Place) -> None:
    (made.palace / "in").symlink_to("./memory.db")
    write(made, tmp_path / "out")
    found = read(OXIOS, tmp_path / "out", tmp_path / "s")
    assert found.time_us == about(made).time_us
    restored = kept_and_restored(place, found)
    assert differences(state_of(made.palace), state_of(restored)) == []


@pytest.mark.parametrize(("changed", "error"), [
    ({"version": 2}, Refused), ({"version": 0}, Refused), ({"version": None}, Malformed),
    ({"sections": "many"}, Malformed),
])  # fmt: skip
def test_versions_are_refused_as_they_do(
    tmp_path: Path, made: Made, changed: dict[str, Any], error: type[Exception]
) -> None:
    theirs.backup(made.palace, tmp_path / "b", **changed)
    with pytest.raises(error):
        read(OXIOS, tmp_path / "b", tmp_path / "s")


def test_no_manifest_and_nothing_in_it(tmp_path: Path, made: Made) -> None:
    with pytest.raises(PathNotFound, match=r"missing manifest\.json"):
        read(OXIOS, made.palace, tmp_path / "s1")
    found = read(OXIOS, made.palace, tmp_path / "s2", skip_verify=True)
    assert found.unverified == ("it has no manifest: nothing was compared",)
    (tmp_path / "empty").mkdir()
    theirs.backup(tmp_path / "empty", tmp_path / "b")
    with pytest.raises(Malformed, match="nothing but a manifest"):
        read(OXIOS, tmp_path / "b", tmp_path / "s3")


def test_entries_that_are_gone_are_told(tmp_path: Path, made: Made) -> None:
    theirs.backup(made.palace, tmp_path / "b")
    next((tmp_path / "b" / "memory" / "facts").iterdir()).unlink()
    (note,) = read(OXIOS, tmp_path / "b", tmp_path / "s").notes
    assert note == "the manifest counts 3 entries in memory/facts, and 2 are there"


def test_symlinks_are_copied_and_not_followed(tmp_path: Path, made: Made) -> None:
    theirs.backup(made.palace, tmp_path / "b")
    (tmp_path / "b" / "sessions" / "out").symlink_to("/etc")
    found = read(OXIOS, tmp_path / "b", tmp_path / "s")
    assert os.readlink(found.path / "sessions" / "out") == "/etc"


def test_the_archive_of_their_http_service(tmp_path: Path, made: Made, place: Place) -> None:
    home = made.palace.parent
    (home / "knowledge").mkdir()
    (home / "knowledge" / "a.md").write_text("x")
    archive = tmp_path / "oxios-backup-20260509_010203.tar.gz"
    names = ["config.toml", "workspace", "knowledge"]
    subprocess.run(["tar", "-czf", archive, "-C", home, *names], check=True)
    found = read(OXIOS, archive, tmp_path / "s")
    (note,) = found.notes
    assert "config.toml" in note
    assert "knowledge" in note
    assert differences(content(made.palace), content(kept_and_restored(place, found))) == []
    subprocess.run(["tar", "-czf", archive, "-C", home, "config.toml"], check=True)
    with pytest.raises(UsageError, match="no workspace"):
        read(OXIOS, archive, tmp_path / "s2")
