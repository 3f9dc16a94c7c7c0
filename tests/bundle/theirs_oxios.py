"""oxios (1.38.0 and HEAD), by its own rules: what `backup` makes, and `restore` does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

SECTIONS = (
    "evals", "memory/conversations", "memory/sessions", "memory/facts", "memory/episodes",
    "memory/knowledge", "sessions", "agent_groups",
)  # fmt: skip


class Refused(Exception):
    """What their tool says when it refuses."""


def backup(base: Path, out: Path, /, **changed: Any) -> None:
    """`oxios backup -o OUT` of a workspace; `changed` fields of the manifest, None: without."""
    if out.exists():
        shutil.rmtree(out)
    _copy(base, out)
    counts = {name: _entries(base / name) for name in SECTIONS}
    manifest: dict[str, Any] = {
        "version": 1,
        "created_at": "2026-05-09T01:02:03.123456789+00:00",
        "oxios_version": "1.38.0",
        "sections": [
            {"name": name, "entry_count": count} for name, count in counts.items() if count
        ],
    }
    manifest |= changed
    kept = {key: value for key, value in manifest.items() if value is not None}
    (out / "manifest.json").write_text(json.dumps(kept, indent=2))


def restore(source: Path, base: Path) -> None:
    """`oxios restore INPUT` over a live workspace: what else is there stays."""
    if not (source / "manifest.json").exists():
        raise Refused("Backup missing manifest.json")
    manifest = json.loads((source / "manifest.json").read_text())
    if manifest["version"] != 1:
        raise Refused("Unsupported backup manifest version")
    if not all(
        isinstance(one["name"], str) and isinstance(one["entry_count"], int)
        for one in manifest["sections"]
    ) or not isinstance(manifest["oxios_version"], str):
        raise Refused("parse manifest.json")
    if not manifest["sections"]:
        raise Refused("refusing to restore an empty backup over live state")
    _copy(source, base)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for one in source.iterdir():
        if one.is_symlink():
            continue
        if one.is_dir():
            _copy(one, target / one.name)
        else:
            shutil.copy(one, target / one.name)


def _entries(directory: Path) -> int:
    if not directory.is_dir():
        return 0
    return sum(path.suffix in (".json", ".md") for path in directory.iterdir())
