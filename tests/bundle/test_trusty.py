"""trusty-memory's archives: what we write its own tool accepts, what it writes we take."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.bundle import theirs_trusty as theirs
from tests.bundle.foreign import about, content, kept_and_restored, make, read, rows, written
from tests.support import Place

from palatine.bundle.formats.trusty import Trusty
from palatine.errors import Damaged, Malformed, Refused, UsageError
from palatine.testing.builders import differences, state_of

TRUSTY = Trusty()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "p").mkdir()
    return Place(tmp_path / "p")


@pytest.mark.parametrize("family", ["trusty-sqlite", "trusty-redb"])
def test_their_restore_takes_what_we_write(tmp_path: Path, family: str) -> None:
    made = make(family, tmp_path / "root")
    data, notes = written(TRUSTY, made.palace, about(made))
    archive = tmp_path / TRUSTY.default_name(about(made))
    archive.write_bytes(data)
    assert archive.name == f"{made.name}-20260509.tar.gz"

    restored = theirs.restore(archive, tmp_path / "fresh")

    assert restored.name == made.name
    assert differences(content(made.palace), content(restored)) == []
    assert any("data_dir" in note for note in notes)


def test_the_manifest_is_as_theirs_and_counts_all_drawers(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path)
    data, _ = written(TRUSTY, made.palace, about(made))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        file = archive.extractfile("manifest.json")
        assert file is not None
        manifest = json.load(file)
    assert names[0] == "localLLM"
    assert names[-1] == "manifest.json"
    assert {key: type(value) for key, value in manifest.items()} == theirs.FIELDS
    assert manifest["drawer_count"] == 42  # theirs would say 15, what the cache holds
    assert manifest["palace_name"] == "Localllm"
    assert manifest["backed_up_at"] == "2026-05-09T01:02:03.123456+00:00"


def test_equal_snapshots_give_equal_bytes(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path)
    assert written(TRUSTY, made.palace, about(made)) == written(TRUSTY, made.palace, about(made))


def test_modes_times_and_empty_directories_survive_gnu_tar(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    (made.palace / "empty").mkdir(mode=0o750)
    (made.palace / "identity.txt").chmod(0o640)
    (made.palace / ("n" * 180)).write_text("a long name")
    Path(os.fsdecode(bytes(made.palace) + b"/\xff\xfe")).write_text("no UTF-8")
    os.utime(made.palace / "identity.txt", ns=(1, 1_600_000_000_123_456_789))
    data, _ = written(TRUSTY, made.palace, about(made))
    (tmp_path / "a.tar.gz").write_bytes(data)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzpf", tmp_path / "a.tar.gz", "-C", tmp_path / "out"], check=True)
    assert differences(state_of(made.palace), state_of(tmp_path / "out" / "localLLM")) == []


def test_symlinks_their_restore_would_stumble_over_are_left_out(tmp_path: Path) -> None:
    made = make("trusty-redb", tmp_path / "root")
    (made.palace / "me.txt").symlink_to("identity.txt")
    (made.palace / "gone").symlink_to("nowhere")
    (made.palace / "passwd").symlink_to("/etc/passwd")
    (made.palace / "self").symlink_to(".")
    data, notes = written(TRUSTY, made.palace, about(made))
    (tmp_path / "a.tgz").write_bytes(data)
    restored = theirs.restore(tmp_path / "a.tgz", tmp_path / "fresh")
    assert (restored / "me.txt").read_text() == (made.palace / "identity.txt").read_text()
    (told,) = [note for note in notes if "left out" in note]
    assert all(name in told for name in ("gone", "passwd", "self"))
    assert any("me.txt" in note for note in notes if "copies" in note)


def test_what_lies_outside_and_attributes_are_told(tmp_path: Path) -> None:
    made = make("trusty-redb", tmp_path)
    (tmp_path / "notes.outside" / "agent-log").mkdir(parents=True)
    os.setxattr(made.palace / "identity.txt", "user.colour", b"blue")
    os.link(made.palace / "identity.txt", made.palace / "second.txt")
    _, notes = written(TRUSTY, made.palace, about(made))
    assert "parts from outside of the palace are left out: agent-log" in notes
    assert "extended attributes are left out: identity.txt, second.txt" in notes
    assert any(note.startswith("files of several names") for note in notes)


def test_their_archive_comes_in_whole(tmp_path: Path, place: Place) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    (made.palace / "empty").mkdir()
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz")
    found = read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")
    assert (found.palace, found.layout, found.time_us) == ("localLLM", "trusty", 1778284800123456)
    assert found.unverified
    restored = kept_and_restored(place, found)
    assert differences(content(made.palace), content(restored)) == []
    assert state_of(restored)[b"identity.txt"].mtime_ns // 10**9 == int(
        (made.palace / "identity.txt").stat().st_mtime
    )


def test_a_wal_in_their_archive_is_taken_as_sqlite_would(tmp_path: Path, place: Place) -> None:
    """Their `backup` tars the files of a running service: the newest commits are in the WAL."""
    made = make("trusty-sqlite", tmp_path / "root")
    with closing(sqlite3.connect(made.palace / "kg.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO entities VALUES ('late', 'only in the WAL', 'tool', NULL)")
        assert (made.palace / "kg.db-wal").stat().st_size
        theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz")
    found = read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")
    assert any("kg.db-wal" in note for note in found.notes)
    restored = kept_and_restored(place, found)
    assert not (restored / "kg.db-wal").exists()
    assert ("late", "only in the WAL", "tool", None) in [
        row[1:] for row in rows(restored / "kg.db")["entities"]
    ]


@pytest.mark.parametrize(("counted", "told"), [(14, True), (15, False), (42, False)])
def test_the_number_of_drawers_is_compared(tmp_path: Path, counted: int, told: bool) -> None:
    """Theirs counts what the cache holds, ours counts all."""
    made = make("trusty-sqlite", tmp_path / "root")
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz", drawer_count=counted)
    found = read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")
    assert any("14 drawers" in note for note in found.notes) is told


def test_a_damaged_graph_is_exported_and_told(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    graph = made.palace / "kg.db"
    data = graph.read_bytes()
    graph.write_bytes(data[:4096] + bytes(len(data) - 4096))
    archive, notes = written(TRUSTY, made.palace, about(made))
    (tmp_path / "a.tgz").write_bytes(archive)
    assert any("could not be counted" in note for note in notes)
    assert theirs.restore(tmp_path / "a.tgz", tmp_path / "fresh").joinpath("kg.db").exists()


@pytest.mark.parametrize("changed", [
    {"schema_version": 0}, {"x_unknown": {"deep": [1]}}, {"trusty_memory_version": "0.0.9"},
    {"drawer_count": None}, {"palace_name": "Ünïcode"},
])  # fmt: skip
def test_old_versions_and_unknown_fields_are_taken(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz", **changed)
    found = read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")
    assert (found.path / "kg.db").is_file()


def test_a_later_schema_is_refused_as_they_do(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz", schema_version=2)
    with pytest.raises(Refused, match="schema_version 2 is newer than the supported 1"):
        read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s", skip_verify=True)


@pytest.mark.parametrize("palace_id", ["../x", "/etc", "a/b", "..", "", "elsewhere", "x\0y"])
def test_a_palace_id_leads_nowhere_else(tmp_path: Path, palace_id: str) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    archive = tmp_path / "a.tar.gz"
    theirs.backup(made.palace.parent, made.name, archive, palace_id=palace_id)
    with pytest.raises(Malformed, match=r"palace_id|directory of the palace"):
        read(TRUSTY, archive, tmp_path / "s")


def test_a_palace_that_is_a_symlink_is_none(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    (made.palace.parent / "link").symlink_to(made.palace)
    (made.palace / "l1_cache.json").rename(made.palace / "l1.json")
    theirs.backup(made.palace.parent, "link", tmp_path / "a.tar.gz")
    with pytest.raises(Malformed, match="has no directory"):
        read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")


def test_an_archive_without_manifest_or_palace_is_refused(tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    subprocess.run(
        ["tar", "-czf", tmp_path / "a.tar.gz", "-C", made.palace.parent, "localLLM"], check=True
    )
    with pytest.raises(Malformed, match=r"no manifest\.json"):
        read(TRUSTY, tmp_path / "a.tar.gz", tmp_path / "s")
    with pytest.raises(UsageError, match="is a directory"):
        TRUSTY.read(tmp_path, tmp_path, _never, False)


def test_the_manifest_may_come_first_and_names_with_a_dot(tmp_path: Path) -> None:
    """As `tar -czf A ./manifest.json ./localLLM`: bsdtar and people order it differently."""
    made = make("trusty-sqlite", tmp_path / "root")
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "a.tar.gz", "-C", out], check=True)
    (out / "stray.txt").write_text("x")
    names = ["./manifest.json", "./localLLM", "./stray.txt"]
    subprocess.run(["tar", "-czf", tmp_path / "b.tar.gz", "-C", out, *names], check=True)
    found = read(TRUSTY, tmp_path / "b.tar.gz", tmp_path / "s")
    assert any("stray.txt" in note for note in found.notes)
    assert differences(content(made.palace), content(found.path)) == []


def test_a_broken_archive_is_damage(tmp_path: Path) -> None:
    """GNU tar leaves such ones behind when a file changes under it, and their `backup` stops."""
    made = make("trusty-redb", tmp_path / "root")
    theirs.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz")
    data = (tmp_path / "a.tar.gz").read_bytes()
    for at, size in enumerate(range(0, len(data), max(1, len(data) // 40))):
        (tmp_path / "b.tar.gz").write_bytes(data[:size])
        with pytest.raises(Damaged):
            read(TRUSTY, tmp_path / "b.tar.gz", tmp_path / f"s{at}")
    plain = gzip.decompress(data)
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(plain + b"x" * 512))
    with pytest.raises(Damaged):
        read(TRUSTY, tmp_path / "c.tar.gz", tmp_path / "s-more")


def test_ours_comes_back_as_it_was(tmp_path: Path, place: Place) -> None:
    made = make("trusty-sqlite", tmp_path / "root")
    (made.palace / "me.txt").symlink_to("identity.txt")
    shutil.copytree(made.palace, tmp_path / "before", symlinks=True)
    (tmp_path / "a").write_bytes(written(TRUSTY, made.palace, about(made))[0])
    found = read(TRUSTY, tmp_path / "a", tmp_path / "s")
    assert found.time_us == about(made).time_us
    assert found.notes == ()
    assert differences(state_of(made.palace), state_of(kept_and_restored(place, found))) == []
    assert differences(content(made.palace), content(tmp_path / "before")) == []


def _never(path: Path) -> Any:
    raise AssertionError(path)
