"""nexo's bundles, written: its verify and restore accept them, whatever its directories are."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.bundle import theirs_nexo as theirs
from tests.bundle.foreign import about, content, make, rows, written

from palatine.bundle.formats.base import About, Redaction
from palatine.bundle.formats.gitfiles import Head, read_head
from palatine.bundle.formats.nexo import Nexo
from palatine.testing.builders import differences

NEXO = Nexo()
FAMILIES = ["nexo-runtime", "nexo-snapshots", "nexo-memdir"]


def write(directory: Path, said: About, out: Path) -> tuple[Path, tuple[str, ...]]:
    """Write a bundle into a directory with its digest beside it, as an export does."""
    data, notes = written(NEXO, directory, said)
    out.mkdir(exist_ok=True)
    path = out / NEXO.default_name(said)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    Path(f"{path}.sha256").write_bytes(NEXO.sibling(path.name, digest))
    return path, notes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("apart", [False, True])
def test_their_tools_take_what_we_write(tmp_path: Path, family: str, apart: bool) -> None:
    """Also with the default directories, which are one: their restore moves it away meanwhile."""
    made = make(family, tmp_path / "root")
    path, _ = write(made.palace, about(made, palace="ana"), tmp_path / "out")
    assert theirs.verify(path) == dict.fromkeys(
        ("bundle_sha256_ok", "manifest_ok", "per_artifact_ok"), True
    )
    memdir = tmp_path / "live" / "ana"
    sqlite = tmp_path / "sqlite" / "ana" if apart else memdir
    memdir.mkdir(parents=True)
    (memdir / "old.md").write_text("x")
    theirs.restore(path, "ana", memdir, sqlite)
    kept = {
        name: one for name, one in content(made.palace).items()
        if one.kind == "file" and not name.endswith(b"-wal")
    }  # fmt: skip
    there = {name: one for name, one in content(memdir).items() if one.kind == "file"}
    extra = there.keys() - kept.keys()
    assert all(name.startswith(b".git/refs/") for name in extra), extra
    assert differences(kept, {name: one for name, one in there.items() if name in kept}) == []
    for name in ("long_term", "vector", "concepts", "compactions"):
        if (made.palace / f"{name}.sqlite").exists():
            assert rows(sqlite / f"{name}.sqlite") == rows(made.palace / f"{name}.sqlite")


def test_gnu_tar_and_zstd_read_it(tmp_path: Path) -> None:
    made = make("nexo-snapshots", tmp_path / "root")
    (made.palace / ("d" * 120)).mkdir()
    (made.palace / ("d" * 120) / ("n" * 120)).write_text("long")
    path, _ = write(made.palace, about(made), tmp_path / "out")
    listed = subprocess.run(
        ["tar", "--zstd", "-tvf", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert listed[0].endswith("manifest.json")
    assert all(line.startswith("-rw------- 0/0") and "1970-01-01" in line for line in listed)
    plain = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    assert b"././@LongLink" in plain  # GNU's headers, as the tool writes them
    assert b"PaxHeader" not in plain
    names = [line.split()[-1] for line in listed]
    assert names[1:7] == [
        "sqlite/long_term.sqlite", "sqlite/vector.sqlite", "sqlite/concepts.sqlite",
        "sqlite/compactions.sqlite", "state/extract_cursor.json", "state/dream_run.json",
    ]  # fmt: skip


def test_the_manifest_says_what_theirs_says(tmp_path: Path) -> None:
    made = make("nexo-memdir", tmp_path / "root")
    git = ["git", "-c", "user.name=Ana", "-c", "user.email=a@b", "-C", str(made.palace)]
    subprocess.run([*git, "commit", "-qm", "noted", "--allow-empty"], check=True)
    said = about(
        made, message="before the dream", recipients=("age1" + "q" * 54 + "abcd",),
        redaction=Redaction("memory-snapshot:default", ("jwt",), 2, ("memory_files/a.md",)),
    )  # fmt: skip
    path, _ = write(made.palace, said, tmp_path / "out")
    manifest = _manifest(path)
    head = subprocess.run(
        ["git", "-C", made.palace, "log", "-1", "--format=%H%n%s%n%an <%ae>%n%at000"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert [str(value) for value in manifest["git"].values()] == head
    assert list(manifest) == [
        "manifest_version", "bundle_format", "snapshot_id", "agent_id", "tenant", "label",
        "created_at_ms", "created_by", "schema_versions", "git", "artifacts", "redactions",
        "encryption", "tool_versions", "bundle_sha256",
    ]  # fmt: skip
    assert manifest["label"] == "before the dream"
    assert manifest["created_at_ms"] == 1_778_288_523_123
    assert manifest["redactions"]["matches_redacted"] == 2
    assert manifest["encryption"]["recipients_fingerprint"] == ["qqqqabcd"]
    assert uuid.UUID(manifest["snapshot_id"]).version == 4
    assert path.name == manifest["snapshot_id"] + ".tar.zst"
    assert NEXO.default_name(about(made, snapshot="cd" * 32)) != path.name


def test_equal_snapshots_give_equal_bytes(tmp_path: Path) -> None:
    made = make("nexo-memdir", tmp_path)
    assert written(NEXO, made.palace, about(made)) == written(NEXO, made.palace, about(made))


@pytest.mark.parametrize("state", ["gc", "empty", "detached", "commits"])
def test_git_works_after_their_restore(tmp_path: Path, state: str) -> None:
    """They ship files only: after `git gc` none is below refs/, and that is no repository."""
    made = make("nexo-memdir", tmp_path / "root")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C"]
    if state == "empty":
        subprocess.run(["rm", "-rf", made.palace / ".git"], check=True)
        subprocess.run([*git, made.palace, "init", "-q", "-b", "main", "--template="], check=True)
    else:
        subprocess.run([*git, made.palace, "commit", "-qam", "x", "--allow-empty"], check=True)
    if state == "detached":
        subprocess.run([*git, made.palace, "checkout", "-q", "--detach"], check=True)
    if state in ("gc", "detached"):
        subprocess.run([*git, made.palace, "gc", "-q"], check=True)
        assert not any(path.is_file() for path in (made.palace / ".git" / "refs").rglob("*"))
    path, _ = write(made.palace, about(made, palace="ana"), tmp_path / "out")
    memdir = tmp_path / "live" / "ana"
    (tmp_path / "live").mkdir()
    theirs.restore(path, "ana", memdir, tmp_path / "sqlite")
    for command in (["fsck", "--strict"], ["status", "--porcelain"], ["for-each-ref"],
                    ["log", "--all", "--format=%H"], ["symbolic-ref", "-q", "HEAD"]):  # fmt: skip
        before = subprocess.run([*git, made.palace, *command], capture_output=True, text=True)
        after = subprocess.run([*git, memdir, *command], capture_output=True, text=True)
        assert after.returncode == before.returncode, after.stderr
        wanted = [line for line in before.stdout.splitlines() if not _lost(made.palace, line)]
        assert [line for line in after.stdout.splitlines() if line not in before.stdout] == [
            line for line in after.stdout.splitlines() if _is_gone_link(made.palace, line)
        ]
        assert set(wanted) <= set(after.stdout.splitlines())


def test_repositories_below_are_held_too(tmp_path: Path) -> None:
    """Their own snapshots leave them out; what `git gc` left empty is made up for here, too."""
    made = make("nexo-memdir", tmp_path / "root")
    for name, bare in (("sub", False), ("deep/mirror.git", True)):
        subprocess.run(
            ["git", "clone", "-q", *(["--bare"] * bare), made.palace, made.palace / name],
            check=True, capture_output=True,
        )  # fmt: skip
        subprocess.run(["git", "-C", made.palace / name, "gc", "-q"], check=True)
    path, _ = write(made.palace, about(made, palace="ana"), tmp_path / "out")
    (tmp_path / "live").mkdir()
    theirs.restore(path, "ana", tmp_path / "live" / "ana", tmp_path / "sqlite")
    for name in (".", "sub", "deep/mirror.git"):
        heads = [
            subprocess.run(
                ["git", "-C", top / name, "rev-parse", "HEAD"], capture_output=True, check=True
            ).stdout
            for top in (made.palace, tmp_path / "live" / "ana")
        ]
        assert heads[0] == heads[1]


def _lost(palace: Path, line: str) -> bool:
    return (palace / line[3:]).is_symlink()


def _is_gone_link(palace: Path, line: str) -> bool:
    return line.startswith(" D ") and (palace / line[3:]).is_symlink()


def test_what_the_format_cannot_hold_is_told(tmp_path: Path) -> None:
    made = make("nexo-memdir", tmp_path / "root")
    (made.palace / "drawer").mkdir()
    (made.palace / "run.sh").write_text("#!/bin/sh\n")
    (made.palace / "run.sh").chmod(0o755)
    (made.palace / "link").symlink_to("run.sh")
    Path(os.fsdecode(bytes(made.palace) + b"/\xff")).write_text("x")
    path, notes = write(made.palace, about(made, palace="My.Palace"), tmp_path / "out")
    told = "\n".join(notes)
    for name in ("drawer", "run.sh", "link", "\\xff", "modes", "'my-palace'"):
        assert name in told, told
    assert _manifest(path)["agent_id"] == "my-palace"
    assert theirs.verify(path)["per_artifact_ok"]


def test_the_runtimes_databases_keep_their_names_and_that_is_told(tmp_path: Path) -> None:
    """Their own snapshots of a running nexo hold no database at all (it looks for *.sqlite)."""
    made = make("nexo-runtime", tmp_path / "root")
    path, notes = write(made.palace, about(made), tmp_path / "out")
    kinds = {one["path_in_bundle"]: one["kind"] for one in _manifest(path)["artifacts"]}
    assert kinds == dict.fromkeys(
        ("memory_files/compactions.db", "memory_files/dream_runs.db", "memory_files/memory.db"),
        "memory_file",
    )
    assert any("memory.db" in note and "data directory" in note for note in notes)


def test_files_over_their_cap_are_held(tmp_path: Path) -> None:
    made = make("nexo-snapshots", tmp_path / "root")
    (made.palace / "big.bin").write_bytes(os.urandom(theirs.CAP + 1))
    path, _ = write(made.palace, about(made, palace="ana"), tmp_path / "out")
    (tmp_path / "live").mkdir()
    theirs.restore(path, "ana", tmp_path / "live" / "ana", tmp_path / "sqlite")
    there = tmp_path / "live" / "ana" / "big.bin"
    assert there.read_bytes() == (made.palace / "big.bin").read_bytes()


def test_a_packed_commit_is_told_by_its_log(tmp_path: Path) -> None:
    made = make("nexo-memdir", tmp_path / "root")
    git = ["git", "-c", "user.name=Ana", "-c", "user.email=a@b", "-C", str(made.palace)]
    head = _git_of(made.palace)
    assert head.oid != "0" * 40  # packed, and without a log: the id is all there is
    assert head[1:] == ("", "", 0)
    subprocess.run([*git, "commit", "-qm", "noted: a: b", "--allow-empty"], check=True)
    subprocess.run([*git, "gc", "-q"], check=True)
    head = _git_of(made.palace)
    assert (head.subject, head.author) == ("noted: a: b", "Ana <a@b>")
    assert head.time_ms > 1_700_000_000_000


def _git_of(palace: Path) -> Head:
    return read_head(palace / ".git")


def _manifest(path: Path) -> Any:
    return json.loads(
        subprocess.run(
            ["tar", "--zstd", "-xOf", path, "manifest.json"], capture_output=True, check=True
        ).stdout
    )
