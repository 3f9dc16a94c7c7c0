"""Other tools' archives from the command line: written, verified, taken back, restored."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.bundle import theirs_ai_memory, theirs_nexo, theirs_oxios, theirs_trusty
from tests.bundle.foreign import content, make, read, rows
from tests.cli.conftest import Pal
from tests.support import flip

from palatine.bundle.formats.registry import by_name
from palatine.cli.failures import describe
from palatine.errors import PalatineError
from palatine.testing.builders import differences
from palatine.testing.families import Made

CASES = {
    "trusty": "trusty-sqlite", "ai-memory": "ai-memory", "oxios": "oxios", "nexo": "nexo-snapshots",
}  # fmt: skip

CHECKED = {"trusty": 3, "oxios": 3, "ai-memory": 0, "nexo": 0}
"""What verify ends with: two of the formats have no digests."""


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    return Pal(tmp_path)


def export(pal: Pal, made: Made, format_: str, out: Path, *more: str) -> Path:
    """Snapshot a palace, and write an archive into a directory; return its path."""
    out.mkdir(exist_ok=True)
    pal("snapshot", made.palace, "--palace", "ana")
    done = pal("export", "ana", out, "--format", format_, "--json", *more)
    return Path(done.result["file"])


@pytest.mark.parametrize("format_", CASES)
def test_out_and_back_again(pal: Pal, tmp_path: Path, format_: str) -> None:
    made = make(CASES[format_], tmp_path / "root")
    archive = export(pal, made, format_, tmp_path / "out")
    pal("verify", archive, "--format", format_, code=CHECKED[format_])
    other = tmp_path / "other"
    pal("init", other)
    done = pal(
        "import", archive, "--format", format_, "--repo", other, "--palace", "back", "--json"
    )
    assert done.result["format"] == format_
    pal("restore", "back", tmp_path / "new", "--repo", other)
    pal("restore", archive, tmp_path / "direct", "--format", format_)
    for there in (tmp_path / "new", tmp_path / "direct"):
        if format_ == "ai-memory":
            file = there if there.is_file() else there / "ai-memory.db"
            assert rows(file) == rows(made.palace / "ai-memory.db")
        else:
            assert differences(content(made.palace), content(there)) == []


def test_their_tools_take_what_the_command_writes(pal: Pal, tmp_path: Path) -> None:
    made = make("trusty-sqlite", tmp_path / "t")
    archive = export(pal, made, "trusty", tmp_path / "out-t")
    theirs_trusty.restore(archive, tmp_path / "restored")
    made = make("ai-memory", tmp_path / "a")
    export(pal, made, "ai-memory", tmp_path / "out-a")
    theirs_ai_memory.restore(tmp_path / "out-a", tmp_path / "live.db")
    made = make("oxios", tmp_path / "o")
    theirs_oxios.restore(export(pal, made, "oxios", tmp_path / "out-o"), tmp_path / "live")
    made = make("nexo-memdir", tmp_path / "n")
    archive = export(pal, made, "nexo", tmp_path / "out-n")
    assert set(theirs_nexo.verify(archive).values()) == {True}
    manifest = json.loads(
        subprocess.run(
            ["tar", "--zstd", "-xOf", archive, "manifest.json"], capture_output=True, check=True
        ).stdout
    )
    assert archive.name == f"{manifest['snapshot_id']}.tar.zst"
    assert pal("verify", archive).code == 0


def test_what_a_format_cannot_hold_is_a_notice(pal: Pal, tmp_path: Path) -> None:
    made = make("nexo-memdir", tmp_path / "root")
    (made.palace / "drawer").mkdir()
    pal("snapshot", made.palace, "--palace", "ana")
    done = pal("export", "ana", tmp_path / "x.tar.zst", "--format", "nexo", "--json")
    assert any("drawer" in one for one in done.object["notices"])
    assert "drawer" in pal("export", "ana", tmp_path / "y.tar.zst", "--format", "nexo").err


def test_outside_parts_are_named_as_left_out(pal: Pal, tmp_path: Path) -> None:
    made = make("oxios", tmp_path / "root")
    pal("snapshot", made.palace, "--palace", "ana")
    told = pal("export", "ana", tmp_path / "out", "--format", "oxios").err
    assert "agent-log" in told


def test_an_encrypted_nexo_bundle(pal: Pal, tmp_path: Path) -> None:
    """Order: tar, zstd, age; the digest beside it is that of the file."""
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    to = subprocess.run(
        ["age-keygen", "-y", tmp_path / "key"], capture_output=True, text=True, check=True
    ).stdout.strip()
    made = make("nexo-memdir", tmp_path / "root")
    archive = export(pal, made, "nexo", tmp_path / "out", "--encrypt", to)
    assert archive.name.endswith(".tar.zst.age")
    pal("verify", archive, "--format", "nexo", code=3)
    assert pal("verify", archive, "--identity", tmp_path / "key").code == 0
    plain = archive.with_suffix("")
    subprocess.run(["age", "-d", "-i", tmp_path / "key", "-o", plain, archive], check=True)
    assert theirs_nexo.verify(plain)["per_artifact_ok"]
    manifest = json.loads(
        subprocess.run(
            ["tar", "--zstd", "-xOf", plain, "manifest.json"], capture_output=True, check=True
        ).stdout
    )
    assert manifest["encryption"] == {"scheme": "age", "recipients_fingerprint": [to[-8:]]}
    pal("import", archive, "--identity", tmp_path / "key", "--palace", "back", "--format", "nexo")


def test_exit_codes_are_as_the_page_says(tmp_path: Path) -> None:
    staging = iter(tmp_path / f"s{at}" for at in range(99))

    def code(format_: str, source: Path, skip_verify: bool = False) -> int:
        try:
            read(by_name(format_), source, next(staging), skip_verify)
        except PalatineError as error:
            return describe(error).exit_code
        return 0

    def backup(**changed: Any) -> Path:
        theirs_trusty.backup(made.palace.parent, made.name, tmp_path / "a.tar.gz", **changed)
        return tmp_path / "a.tar.gz"

    made = make("trusty-sqlite", tmp_path / "root")
    assert code("trusty", tmp_path / "gone.tar.gz") == 2
    assert code("trusty", backup(schema_version=2)) == 5
    assert code("trusty", backup(palace_id="other")) == 4
    assert code("trusty", backup()) == 0
    flip(backup(), 5000)
    assert code("trusty", tmp_path / "a.tar.gz") == 4
    path = theirs_nexo.bundle([("memory_files/a", "memory_file", b"a")], tmp_path)
    assert code("nexo", path) == 0
    Path(f"{path}.sha256").write_text("0" * 64)
    assert code("nexo", path) == 4
    assert code("nexo", path, skip_verify=True) == 0
    assert code("nexo", theirs_nexo.bundle([], tmp_path, schema_versions={"vector": 2})) == 5
    db = make("ai-memory", tmp_path / "ai").palace / "ai-memory.db"
    saved = theirs_ai_memory.backup(db, tmp_path / "b", "2026-05-09T010203Z")
    manifest = saved.with_name(f"{saved.stem}.manifest.json")
    assert code("ai-memory", tmp_path / "b") == 0
    manifest.write_text("{")
    assert code("ai-memory", saved) == 4
    manifest.unlink()
    assert code("ai-memory", saved) == 2
    assert code("ai-memory", saved, skip_verify=True) == 0
    workspace = make("oxios", tmp_path / "ox").palace
    theirs_oxios.backup(workspace, tmp_path / "o", version=2)
    assert code("oxios", tmp_path / "o") == 5
    assert code("oxios", workspace) == 2


def test_a_layout_that_a_format_is_not_for(pal: Pal, tmp_path: Path) -> None:
    made = make("trusty-redb", tmp_path / "root")
    pal("snapshot", made.palace, "--palace", "ana")
    for format_ in ("nexo", "ai-memory", "oxios"):
        told = pal("export", "ana", tmp_path / "out", "--format", format_, code=2).err
        assert "trusty" in told
    assert not (tmp_path / "out").exists()


def test_a_backup_of_oxios_is_replaced_only_by_force(pal: Pal, tmp_path: Path) -> None:
    made = make("oxios", tmp_path / "root")
    backup = export(pal, made, "oxios", tmp_path / "out")
    pal("export", "ana", tmp_path / "out", "--format", "oxios", code=5)
    (backup / "memory.db").unlink()
    pal("export", "ana", tmp_path / "out", "--format", "oxios", "--force")
    assert (backup / "memory.db").exists()
    shutil.rmtree(backup)
    backup.mkdir()
    (backup / "thesis.tex").write_text("x")
    pal("export", "ana", tmp_path / "out", "--format", "oxios", "--force", code=5)
    assert (backup / "thesis.tex").exists()


def test_all_palaces_with_default_names(pal: Pal, tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = make("trusty-sqlite", tmp_path / name)
        pal("snapshot", made.palace, "--palace", name)
    out = tmp_path / "out"
    pal("export", "--all", out, "--format", "trusty")
    names = sorted(path.name for path in out.iterdir() if path.name.endswith(".tar.gz"))
    assert [name[:4] for name in names] == ["one-", "two-"]
    for name in names:
        theirs_trusty.restore(out / name, tmp_path / "restored" / name)
    pal("export", "--all", out, "--format", "trusty", code=5)  # not over the first ones


def test_no_wal_is_in_ours_and_one_in_theirs_does_not_reach_a_live_graph(
    pal: Pal, tmp_path: Path
) -> None:
    """Their merge copies what is missing here: a foreign kg.db-wal, which SQLite plays back."""
    made = make("trusty-sqlite", tmp_path / "root")
    live = tmp_path / "live"
    shutil.copytree(made.palace, live)
    with closing(sqlite3.connect(made.palace / "kg.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("DELETE FROM entities WHERE id = 'e0'")
        db.execute("INSERT INTO entities VALUES ('late', 'x', 'tool', NULL)")
        theirs_trusty.backup(made.palace.parent, made.name, tmp_path / "theirs.tar.gz")
        archive = export(pal, made, "trusty", tmp_path / "out")
    assert any(name.endswith("-wal") for name in _names(tmp_path / "theirs.tar.gz"))
    assert not [name for name in _names(archive) if name.endswith(("-wal", "-shm"))]
    assert "late" in _entities(theirs_trusty.restore(archive, tmp_path / "restored"))
    with closing(sqlite3.connect(live / "kg.db", isolation_level=None)) as db:
        db.execute("INSERT INTO entities VALUES ('mine', 'x', 'tool', NULL)")
    before = _entities(live)
    pal("restore", tmp_path / "theirs.tar.gz", live, "--merge")
    assert _entities(live) == before | {"late"}


def test_redaction_reaches_memory_files(pal: Pal, tmp_path: Path) -> None:
    """Theirs redacts a copy and packs the original: `redacted`, with the secrets in it."""
    made = make("nexo-memdir", tmp_path / "root")
    secret = b"ghp_" + b"abcdefghij0123456789" * 2
    (made.palace / "keys.md").write_bytes(b"the token is " + secret + b" for ci\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(made.palace)]
    subprocess.run([*git, "add", "keys.md"], check=True)
    subprocess.run([*git, "commit", "-qm", "keys"], check=True)
    archive = export(pal, made, "nexo", tmp_path / "out", "--redact")
    assert set(theirs_nexo.verify(archive).values()) == {True}
    out = tmp_path / "unpacked"
    out.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", out], check=True)
    assert b"[REDACTED:" in (out / "memory_files" / "keys.md").read_bytes()
    found = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    inflated = [zlib.decompress(path.read_bytes()) for path in out.glob("git/objects/??/*")]
    assert inflated
    assert not list(out.glob("git/objects/pack/*.pack"))
    assert all(secret not in data for data in (*found, *inflated))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["redactions"]["matches_redacted"] >= 1
    assert "left out" in manifest["git"]["head_subject"]
    assert archive.name == f"{manifest['snapshot_id']}.tar.zst"


def test_restored_twice_is_the_same(pal: Pal, tmp_path: Path) -> None:
    """Theirs fails half-way the second time: what it set aside the first time is in its way."""
    made = make("nexo-memdir", tmp_path / "root")
    archive = export(pal, made, "nexo", tmp_path / "out")
    for _ in range(2):
        (made.palace / "later.md").write_text("x")
        pal("restore", archive, made.palace, "--format", "nexo", "--replace")
        assert not (made.palace / "later.md").exists()
    assert {path.name for path in made.palace.parent.iterdir()} == {"bob"}


def _names(archive: Path) -> list[str]:
    listed = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def _entities(palace: Path) -> set[str]:
    return {row[1] for row in rows(palace / "kg.db")["entities"]}
