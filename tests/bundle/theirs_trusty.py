"""trusty-memory 0.1.45, by its own rules: what `backup` runs and what `restore` accepts."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FIELDS = {
    "trusty_memory_version": str, "palace_id": str, "palace_name": str, "backed_up_at": str,
    "drawer_count": int, "schema_version": int,
}  # fmt: skip


class Refused(Exception):
    """What their tool says when it refuses."""


def backup(data_root: Path, palace_id: str, out: Path, /, **changed: Any) -> None:
    """`trusty-memory backup PALACE -o OUT`; `changed` fields of the manifest, None: without it."""
    palace = data_root / palace_id
    cached = palace / "l1_cache.json"
    manifest: dict[str, Any] = {
        "trusty_memory_version": "0.1.45",
        "palace_id": palace_id,
        "palace_name": json.loads((palace / "palace.json").read_text()).get("name", palace_id),
        "backed_up_at": "2026-05-09T00:00:00.123456789+00:00",
        "drawer_count": len(json.loads(cached.read_text())) if cached.exists() else 0,
        "schema_version": 1,
    }
    manifest |= changed
    with tempfile.TemporaryDirectory() as scratch:
        kept = {key: value for key, value in manifest.items() if value is not None}
        (Path(scratch) / "manifest.json").write_text(json.dumps(kept, indent=2))
        command: list[str | Path] = [
            "tar",
            "-czf",
            out,
            "-C",
            data_root,
            palace_id,
            "-C",
            scratch,
            "manifest.json",
        ]
        subprocess.run(command, check=True)


def restore(archive: Path, data_root: Path, palace: str | None = None) -> Path:
    """`trusty-memory restore ARCHIVE [--palace NAME]` into a fresh palace; return where it is."""
    if not archive.name.lower().endswith((".tar.gz", ".tgz")):
        raise Refused(f"archive must end in .tar.gz or .tgz (got {archive.name!r})")
    if not archive.exists():
        raise Refused("archive not found")
    with tempfile.TemporaryDirectory() as scratch:
        extract = Path(scratch)
        command: list[str | Path] = [
            "tar",
            "--warning=no-unknown-keyword",
            "-xzf",
            archive,
            "-C",
            extract,
        ]
        subprocess.run(command, check=True)
        if not (extract / "manifest.json").exists():
            raise Refused("archive missing manifest.json")
        manifest = json.loads((extract / "manifest.json").read_text())
        for field, kind in FIELDS.items():
            if not isinstance(manifest.get(field), kind) or isinstance(manifest[field], bool):
                raise Refused(f"parse manifest.json: {field}")
        if min(manifest["drawer_count"], manifest["schema_version"]) < 0:
            raise Refused("parse manifest.json: not unsigned")
        if manifest["schema_version"] > 1:
            raise Refused("archive schema_version is newer than supported 1")
        source = extract / manifest["palace_id"]
        if not source.is_dir():
            raise Refused(f"archive missing palace dir {manifest['palace_id']!r}")
        target = data_root / (palace or manifest["palace_id"])
        if target.exists():
            raise Refused("palace already exists; pass --merge to combine")
        _copy_following(source, target)
    if palace is not None and (target / "palace.json").exists():
        value = json.loads((target / "palace.json").read_text())
        value |= {"id": palace, "name": palace}
        if "data_dir" in value:
            value["data_dir"] = str(target)
        (target / "palace.json").write_text(json.dumps(value, indent=2))
    return target


def _copy_following(source: Path, target: Path) -> None:
    """Rust's recursive copy: fs::copy and is_dir() follow symlinks, and fail where they lead on."""
    target.mkdir(parents=True)
    for one in source.iterdir():
        if one.is_dir():
            _copy_following(one, target / one.name)
        else:
            shutil.copy(one, target / one.name)
