"""nexo's bundles, read: made as its own snapshotter makes them, checked as far as that goes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.bundle import theirs_nexo as theirs
from tests.bundle.foreign import about, content, kept_and_restored, make, read, rows, written
from tests.support import Place, flip

from palatine.bundle.formats.nexo import Nexo
from palatine.errors import Damaged, Malformed, PathNotFound, Refused, UsageError
from palatine.testing.builders import differences

NEXO = Nexo()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "p").mkdir()
    return Place(tmp_path / "p")


def files(root: Path) -> dict[bytes, Any]:
    """Return the regular files of a directory."""
    return {name: one for name, one in content(root).items() if one.kind == "file"}


@pytest.mark.parametrize("family", ["nexo-runtime", "nexo-snapshots", "nexo-memdir"])
def test_ours_comes_back(tmp_path: Path, place: Place, family: str) -> None:
    made = make(family, tmp_path / "root")
    said = about(made, message="before")
    out = tmp_path / NEXO.default_name(said)
    out.write_bytes(written(NEXO, made.palace, said)[0])
    found = read(NEXO, out, tmp_path / "s")
    assert (found.palace, found.tenant, found.layout, found.message) == (
        made.name, "default", "nexo", "before",
    )  # fmt: skip
    assert found.time_us == said.time_us // 1000 * 1000
    assert found.unverified == (f"there is no {out.name}.sha256 to compare the bundle with",)
    if family != "nexo-memdir":
        assert found.notes == ()
    kept, there = files(made.palace), files(kept_and_restored(place, found))
    assert all(name.startswith(b".git/refs/") for name in there.keys() - kept.keys())
    assert differences(kept, {name: one for name, one in there.items() if name in kept}) == []


def test_theirs_after_git_gc_is_a_repository_again(tmp_path: Path, place: Place) -> None:
    made = make("nexo-memdir", tmp_path / "root")
    subprocess.run(["git", "-C", made.palace, "gc", "-q"], check=True)
    path = theirs.snapshot(made.palace, tmp_path / "none", tmp_path)
    found = read(NEXO, path, tmp_path / "s")
    assert any("git needs" in note and ".git" in note for note in found.notes)
    assert found.unverified == ()
    restored = kept_and_restored(place, found)
    subprocess.run(["git", "-C", restored, "fsck", "--strict"], check=True, capture_output=True)
    heads = [
        subprocess.run(
            ["git", "-C", one, "rev-parse", "HEAD"], capture_output=True, check=True
        ).stdout
        for one in (made.palace, restored)
    ]
    assert heads[0] == heads[1]


def test_theirs_with_databases_apart(tmp_path: Path, place: Place) -> None:
    made = make("nexo-snapshots", tmp_path / "root")
    memdir = tmp_path / "memdir"
    memdir.mkdir()
    (memdir / "MEMORY.md").write_text("# notes\n")
    found = read(NEXO, theirs.snapshot(memdir, made.palace, tmp_path), tmp_path / "s")
    restored = kept_and_restored(place, found)
    assert (restored / "MEMORY.md").read_text() == "# notes\n"
    for name in ("long_term", "vector", "concepts", "compactions"):
        assert rows(restored / f"{name}.sqlite") == rows(made.palace / f"{name}.sqlite")


def test_a_raw_database_comes_with_its_wal(tmp_path: Path, place: Place) -> None:
    """The runtime's memory.db is to their tool a memory file like any other, and so is its WAL."""
    made = make("nexo-runtime", tmp_path / "root")
    with closing(sqlite3.connect(made.palace / "memory.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO memories(id, content) VALUES ('late', 'only in the WAL')")
        path = theirs.snapshot(made.palace, tmp_path / "none", tmp_path)
    restored = kept_and_restored(place, read(NEXO, path, tmp_path / "s"))
    assert not (restored / "memory.db-wal").exists()
    assert "late" in [row[1] for row in rows(restored / "memory.db")["memories"]]


def test_a_raw_copy_and_its_wal_do_not_reach_the_other_database(
    tmp_path: Path, place: Place
) -> None:
    """With their default directories a database is in the bundle twice: consistent, and raw."""
    made = make("nexo-snapshots", tmp_path / "root")
    with closing(sqlite3.connect(made.palace / "long_term.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("DELETE FROM memories")
        shutil.copytree(made.palace, tmp_path / "raw")
        db.execute("INSERT INTO memories(id, content) VALUES ('kept', 'x')")
        path = theirs.snapshot(tmp_path / "raw", made.palace, tmp_path)
    found = read(NEXO, path, tmp_path / "s")
    assert any("long_term.sqlite-wal" in note and "not taken" in note for note in found.notes)
    assert any("raw" in note and "long_term.sqlite" in note for note in found.notes)
    restored = kept_and_restored(place, found)
    assert [row[1] for row in rows(restored / "long_term.sqlite")["memories"]] == ["kept"]


def test_a_log_without_its_database_is_told(tmp_path: Path) -> None:
    """Over 4 MiB a file is not in their bundles: then the WAL may be, and memory.db not."""
    path = theirs.bundle([("memory_files/memory.db-wal", "memory_file", b"frames")], tmp_path)
    found = read(NEXO, path, tmp_path / "s")
    assert any("memory.db-wal" in note and "without" in note for note in found.notes)


@pytest.mark.parametrize("changed", [
    {"schema_versions": {"long_term": 0, "manifest": 1}}, {"schema_versions": {}},
    {"x_unknown": [{"a": 1}]}, {"label": "Ünï", "redactions": {"policy": "p"}},
    {"manifest_version": 7, "bundle_format": None, "git": None, "tool_versions": None},
])  # fmt: skip
def test_old_versions_and_unknown_fields_are_taken(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = theirs.bundle([("memory_files/a.md", "memory_file", b"a")], tmp_path, **changed)
    assert (read(NEXO, path, tmp_path / "s").path / "a.md").read_bytes() == b"a"


def test_later_schemas_are_refused(tmp_path: Path) -> None:
    path = theirs.bundle([], tmp_path, schema_versions={"vector": 2})
    with pytest.raises(Refused, match="vector 2 is newer than the supported 1"):
        read(NEXO, path, tmp_path / "s", skip_verify=True)


ONE = ("memory_files/a.md", "memory_file", b"a")
DIGEST = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def artifact(**changed: Any) -> list[dict[str, Any]]:
    """Return the list of one artifact, `ONE`, with other fields."""
    one = {"path_in_bundle": ONE[0], "kind": ONE[1], "size_bytes": 1, "sha256": DIGEST}
    return [one | changed]


@pytest.mark.parametrize(("changed", "said"), [
    ({"artifacts": artifact(sha256="0" * 64)}, "is not what the manifest says"),
    ({"artifacts": artifact(size_bytes=2)}, "has 1 bytes"),
    ({"artifacts": []}, "does not list"),
    ({"artifacts": artifact() + artifact(path_in_bundle="memory_files/b")}, "lacks"),
    ({"artifacts": artifact() * 2}, "twice"),
    ({"artifacts": artifact(kind="sqlite_vector")}, "as what it is not"),
    ({"artifacts": artifact(kind="mystery")}, "as what it is not"),
    ({"artifacts": [{"kind": "memory_file"}]}, "not what it should be"),
    ({"bundle_sha256": "0" * 64}, "seal"),
    ({"agent_id": "../x"}, "agent_id"), ({"agent_id": "Ana"}, "agent_id"),
    ({"tenant": "_x"}, "tenant"), ({"tenant": None}, "not what it should be"),
])  # fmt: skip
def test_a_manifest_that_lies_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises((Damaged, Malformed), match=said):
        read(NEXO, theirs.bundle([ONE], tmp_path, **changed), tmp_path / "s")


def test_the_digest_beside_it_counts(tmp_path: Path) -> None:
    """Their restore reads whether it is right, and goes on whatever it reads."""
    path = theirs.bundle([ONE], tmp_path)
    beside = Path(f"{path}.sha256")
    beside.write_text(beside.read_text().upper() + "\n")
    assert read(NEXO, path, tmp_path / "s1").unverified == ()
    flip(beside, 0, 0x01)
    with pytest.raises((Damaged, Malformed)):
        read(NEXO, path, tmp_path / "s2")
    beside.write_text("0" * 64)
    with pytest.raises(Damaged, match="beside it"):
        read(NEXO, path, tmp_path / "s3")
    assert read(NEXO, path, tmp_path / "s4", skip_verify=True).unverified
    beside.unlink()
    assert read(NEXO, path, tmp_path / "s5").unverified
    subprocess.run(f"sha256sum {path.name} > {beside.name}", shell=True, cwd=tmp_path, check=True)
    assert read(NEXO, path, tmp_path / "s6").unverified == ()


@pytest.mark.parametrize("names", [
    ["memory_files/../../x"], ["/memory_files/x"], ["memory_files/a", "memory_files/a"],
    ["memory_files/a", "memory_files/a/b"], ["memory_files/A", "memory_files/a"],
    ["memory_files/.git/HEAD", "git/HEAD"],
])  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, names: list[str]) -> None:
    entries = [
        (name, "git_bundle" if name[:4] == "git/" else "memory_file", b"x") for name in names
    ]
    (tmp_path / "in").mkdir()
    path = theirs.bundle(entries, tmp_path / "in")
    with pytest.raises((Malformed, Refused, Damaged)):
        read(NEXO, path, tmp_path / "s")
    assert {one.name for one in tmp_path.iterdir()} == {"in", "s"}


def test_what_has_no_place_is_told_when_it_is_taken_unverified(tmp_path: Path) -> None:
    path = theirs.bundle([ONE, ("extra.bin", "memory_file", b"x")], tmp_path, agent_id="unpacked")
    with pytest.raises(Malformed, match="as what it is not"):
        read(NEXO, path, tmp_path / "s1")
    found = read(NEXO, path, tmp_path / "s2", skip_verify=True)
    assert any("extra.bin" in note for note in found.notes)
    assert [one.name for one in found.path.iterdir()] == ["a.md"]


def test_a_database_that_is_also_a_directory_is_refused(tmp_path: Path) -> None:
    for at, inner in enumerate(("memory_files/vector.sqlite/x", "memory_files/state")):
        entries = [
            (inner, "memory_file", b"x"), ("sqlite/vector.sqlite", "sqlite_vector", b"y"),
            ("state/dream_run.json", "state_dream_run", b"{}"),
        ]  # fmt: skip
        with pytest.raises(Malformed, match="below it"):
            read(NEXO, theirs.bundle(entries, tmp_path), tmp_path / f"s{at}")


def test_links_in_a_bundle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "memory_files").mkdir()
    (tmp_path / "memory_files" / "link").symlink_to("/etc/passwd")
    tar = subprocess.run(
        ["tar", "-c", "-C", tmp_path, "memory_files"], capture_output=True, check=True
    ).stdout
    with pytest.raises(Malformed, match="symlink"):
        read(NEXO, theirs.sealed(tar, tmp_path), tmp_path / "s")


def test_the_newest_of_a_directory(tmp_path: Path) -> None:
    bundles = tmp_path / "b"
    bundles.mkdir()
    with pytest.raises(PathNotFound, match="no bundles"):
        read(NEXO, bundles, tmp_path / "s0")
    for at, body in ((3, b"newest"), (1, b"old"), (2, b"middle")):
        made = theirs.bundle([(ONE[0], ONE[1], body)], tmp_path, created_at_ms=at)
        for path in (made, Path(f"{made}.sha256")):
            path.rename(bundles / f"{at}{path.name}")
    (bundles / "broken.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    found = read(NEXO, bundles, tmp_path / "s1")
    assert (found.path / "a.md").read_bytes() == b"newest"
    assert any("broken.tar.zst" in note for note in found.notes)
    theirs.bundle([ONE], bundles, agent_id="bob")
    with pytest.raises(UsageError, match="default/ana, default/bob"):
        read(NEXO, bundles, tmp_path / "s2")


def test_unpacked_by_hand_and_packed_again(tmp_path: Path) -> None:
    """GNU tar with directories in it: their tool fails on such a one, ours does not."""
    path = theirs.bundle([("memory_files/deep/a.md", "memory_file", b"a")], tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", path, "-C", out], check=True)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["agent_id"] == "ana"
    tar = subprocess.run(
        ["tar", "-c", "-C", out, "./memory_files", "./manifest.json"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    found = read(NEXO, theirs.sealed(tar, tmp_path), tmp_path / "s")
    assert (found.path / "deep" / "a.md").read_bytes() == b"a"


def test_files_get_the_time_of_the_bundle(tmp_path: Path) -> None:
    """The format has none: 1970 would say that they are the oldest of all."""
    path = theirs.bundle([ONE], tmp_path)
    found = read(NEXO, path, tmp_path / "s")
    assert (found.path / "a.md").stat().st_mtime_ns == 1_700_000_000_000 * 10**6
    path = theirs.bundle([ONE], tmp_path, created_at_ms=2**60)
    assert read(NEXO, path, tmp_path / "s2").time_us is None
