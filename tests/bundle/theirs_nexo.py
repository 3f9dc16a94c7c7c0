"""nexo-memory-snapshot 0.1.0, by its own rules: `snapshot`, `verify`, `restore`."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

BUNDLE = "5f2f0d1e-8b1c-4f6e-9d55-0123456789ab"
CAP = 4 << 20
KINDS = {
    "git_bundle", "sqlite_long_term", "sqlite_vector", "sqlite_concepts", "sqlite_compactions",
    "state_extract_cursor", "state_dream_run", "memory_file",
}  # fmt: skip
FIELDS: dict[str, type] = {
    "manifest_version": int, "bundle_format": str, "snapshot_id": str, "agent_id": str,
    "tenant": str, "created_at_ms": int, "created_by": str, "schema_versions": dict, "git": dict,
    "artifacts": list, "tool_versions": dict, "bundle_sha256": str,
}  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?\Z")
_SQLITE = ("long_term", "vector", "concepts", "compactions")


class Refused(Exception):
    """What their tool says when it refuses."""


def snapshot(memdir: Path, sqlite: Path, out: Path, /, **changed: Any) -> Path:
    """`nexo memory snapshot --no-redact` of an agent `ana`; `changed` fields, None: without."""
    entries: list[tuple[str, str, bytes]] = []
    for name in _SQLITE:
        if (sqlite / f"{name}.sqlite").exists():
            copy = out / f"{name}.tmp"
            with closing(
                sqlite3.connect(f"{(sqlite / name).as_uri()}.sqlite?mode=ro", uri=True)
            ) as db:
                db.execute("VACUUM INTO ?1", (str(copy),))
            entries.append((f"sqlite/{name}.sqlite", f"sqlite_{name}", copy.read_bytes()))
            copy.unlink()
    for path in _files(memdir):
        inner = path.relative_to(memdir)
        if ".git" in inner.parts[:-1]:
            if inner.parts[0] == ".git":
                name = "/".join(inner.parts[1:])
                entries.append((f"git/{name}", "git_bundle", path.read_bytes()))
        elif path.stat().st_size <= CAP:
            entries.append((f"memory_files/{inner}", "memory_file", path.read_bytes()))
    entries.sort(key=lambda one: one[1] == "git_bundle")
    return bundle(entries, out, **changed)


def bundle(entries: list[tuple[str, str, bytes]], out: Path, /, **changed: Any) -> Path:
    """Write a bundle of entries (path, kind, bytes), as the tool does, with its `.sha256`."""
    artifacts = [
        {"path_in_bundle": path, "kind": kind, "size_bytes": len(data),
         "sha256": hashlib.sha256(data).hexdigest()}
        for path, kind, data in entries
    ]  # fmt: skip
    manifest: dict[str, Any] = {
        "manifest_version": 1, "bundle_format": "nexo-memory-snapshot-v1", "snapshot_id": BUNDLE,
        "agent_id": "ana", "tenant": "default", "created_at_ms": 1_700_000_000_000,
        "created_by": "cli",
        "schema_versions": dict.fromkeys((*_SQLITE, "manifest"), 1),
        "git": {
            "head_oid": "0" * 40, "head_subject": "(no memdir)", "head_author": "", "head_ts_ms": 0,
        },
        "artifacts": artifacts,
        "tool_versions": {"nexo_version": "0.1.0", "git2": "0.19", "sqlx": "0.8"},
        "bundle_sha256": hashlib.sha256(
            "".join(one["sha256"] for one in artifacts).encode()  # type: ignore[misc]
        ).hexdigest(),
    }  # fmt: skip
    manifest |= changed
    kept = {key: value for key, value in manifest.items() if value is not None}
    tar = io.BytesIO()
    for path, data in [("manifest.json", json.dumps(kept, indent=2).encode()),
                       *((path, data) for path, _, data in entries)]:  # fmt: skip
        info = tarfile.TarInfo(path)
        info.size, info.mode, info.type = len(data), 0o600, tarfile.AREGTYPE
        tar.write(info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512))
    tar.write(bytes(1024))
    return sealed(tar.getvalue(), out)


def sealed(tar: bytes, out: Path) -> Path:
    """Compress a tar as the tool does, and put its digest beside it."""
    path = out / f"{BUNDLE}.tar.zst"
    done = subprocess.run(
        ["zstd", "-19", "-q", "--no-check"], input=tar, capture_output=True, check=True
    )
    path.write_bytes(done.stdout)
    Path(f"{path}.sha256").write_text(hashlib.sha256(done.stdout).hexdigest())
    return path


def verify(path: Path) -> dict[str, bool]:
    """`nexo memory verify --bundle PATH`: all three must be true."""
    beside = Path(f"{path}.sha256")
    mine = hashlib.sha256(path.read_bytes()).hexdigest()
    entries = dict(_entries(path))
    manifest = _manifest(entries)
    digests = []
    for one in manifest["artifacts"]:
        if one["path_in_bundle"] not in entries:
            raise Refused(f"MissingArtifact {one['path_in_bundle']}")
        digests.append(hashlib.sha256(entries[one["path_in_bundle"]]).hexdigest())
    listed = [one["sha256"] for one in manifest["artifacts"]]
    if any(version > 1 for version in manifest["schema_versions"].values()):
        raise Refused("SchemaTooNew")
    seal = hashlib.sha256("".join(listed).encode()).hexdigest()
    return {
        "bundle_sha256_ok": beside.exists() and beside.read_text().strip().lower() == mine,
        "manifest_ok": seal == manifest["bundle_sha256"],
        "per_artifact_ok": digests == listed,
    }


def restore(path: Path, agent: str, memdir: Path, sqlite: Path) -> None:
    """`nexo memory restore --from PATH --agent AGENT` over live directories."""
    if not verify(path)["manifest_ok"]:
        raise Refused("ChecksumMismatch")
    entries = dict(_entries(path))
    manifest = _manifest(entries)
    if manifest["agent_id"] != agent:
        raise Refused("RestoreRefused: agent_id")
    staging = memdir.parent / ".restore-staging-x"
    for name, data in entries.items():  # unpack_into: File::create for every entry
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        with (staging / name).open("xb") as file:
            file.write(data)
    for one in manifest["artifacts"]:
        if one["kind"].startswith("sqlite_"):
            name = one["path_in_bundle"].removeprefix("sqlite/")
            sqlite.mkdir(parents=True, exist_ok=True)
            if (sqlite / name).exists():
                (sqlite / name).rename(sqlite / f"{name}.pre-restore.bak")
            shutil.copyfile(staging / one["path_in_bundle"], sqlite / name)
    files = [one["path_in_bundle"] for one in manifest["artifacts"]
             if one["kind"] in ("memory_file", "git_bundle")]  # fmt: skip
    if files:
        if memdir.exists():
            memdir.rename(memdir.parent / f"{memdir.name}-pre-restore-{manifest['snapshot_id']}")
        for name in files:
            inner = name.removeprefix("memory_files/") if name.startswith("memory_files/") else (
                ".git/" + name.removeprefix("git/"))  # fmt: skip
            (memdir / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(staging / name, memdir / inner)
    shutil.rmtree(staging)


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    plain = subprocess.run(
        ["zstd", "-dcq", "--memory=128MB", path], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
        seen = set()
        for member in archive:
            if not member.isreg() or member.name in seen or member.name.startswith(("/", "./")):
                raise Refused(f"entry {member.name!r}")
            seen.add(member.name)
            file = archive.extractfile(member)
            assert file is not None
            yield member.name, file.read()


def _manifest(entries: dict[str, bytes]) -> dict[str, Any]:
    if next(iter(entries)) != "manifest.json":
        raise Refused("MissingArtifact manifest.json")
    manifest: dict[str, Any] = json.loads(entries["manifest.json"])
    for field, kind in FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise Refused(f"manifest: {field}")
    for one in manifest["artifacts"]:
        if one["kind"] not in KINDS or set(one) != {
            "path_in_bundle",
            "kind",
            "size_bytes",
            "sha256",
        }:
            raise Refused(f"manifest: {one}")
        name = one["kind"].removeprefix("sqlite_")
        if name != one["kind"] and one["path_in_bundle"] != f"sqlite/{name}.sqlite":
            raise Refused(f"manifest: {one}")
    for field in ("agent_id", "tenant"):
        if not _NAME.match(manifest[field]):
            raise Refused(f"manifest: {field}")
    if {key: type(value) for key, value in manifest["git"].items()} != {
        "head_oid": str, "head_subject": str, "head_author": str, "head_ts_ms": int,
    } or not re.fullmatch("[0-9a-f]{40}", manifest["git"]["head_oid"]):  # fmt: skip
        raise Refused("manifest: git")
    return manifest


def _files(top: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(top):
        for name in names:
            path = Path(directory) / name
            if path.is_file() and not path.is_symlink():
                yield path
