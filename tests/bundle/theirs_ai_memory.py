"""ai-memory 0.6.4, by its own rules: what `backup` makes, and `restore` does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

FIELDS = {
    "snapshot": str, "sha256": str, "bytes": int, "source_db": str, "version": str,
    "created_at": str,
}  # fmt: skip


class Refused(Exception):
    """What their tool says when it refuses."""


def backup(db: Path, directory: Path, stamp: str, /, **changed: Any) -> Path:
    """`ai-memory backup --to DIR` at a time `%Y-%m-%dT%H%M%SZ`; `changed` fields, None: without."""
    directory.mkdir(exist_ok=True)
    snapshot = directory / f"ai-memory-{stamp}.db"
    if snapshot.exists():
        raise Refused(f"refusing to overwrite existing snapshot {snapshot}")
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("VACUUM INTO ?1", (str(snapshot),))
    created = f"{stamp[:13]}:{stamp[13:15]}:{stamp[15:17]}.123456789+00:00"
    manifest: dict[str, Any] = {
        "snapshot": snapshot.name,
        "sha256": hashlib.sha256(snapshot.read_bytes()).hexdigest(),
        "bytes": snapshot.stat().st_size,
        "source_db": str(db.absolute()),
        "version": "0.6.4",
        "created_at": created,
    }
    manifest |= changed
    kept = {key: value for key, value in manifest.items() if value is not None}
    beside = directory / f"{snapshot.stem}.manifest.json"
    beside.write_text(json.dumps(kept, indent=2))
    return snapshot


def restore(source: Path, db: Path, skip_verify: bool = False) -> Path:
    """`ai-memory restore --from FILE|DIR [--skip-verify]` over a database that nobody uses."""
    snapshot = _newest(source) if source.is_dir() else source
    if not snapshot.exists():
        raise Refused(f"snapshot {snapshot} does not exist")
    if not skip_verify:
        beside = snapshot.parent / f"{os.path.splitext(snapshot.name)[0]}.manifest.json"
        if not beside.exists():
            raise Refused(f"manifest {beside} not found; pass --skip-verify to restore anyway")
        manifest = json.loads(beside.read_text())
        for field, kind in FIELDS.items():
            if not isinstance(manifest.get(field), kind):
                raise Refused(f"parsing manifest: {field}")
        if manifest["sha256"] != hashlib.sha256(snapshot.read_bytes()).hexdigest():
            raise Refused("sha256 mismatch")
    if db.exists():
        db.rename(db.with_suffix(".pre-restore-2026-05-09T010203Z.db"))
    shutil.copyfile(snapshot, db)
    return snapshot


def _newest(directory: Path) -> Path:
    found = [
        path for path in directory.iterdir()
        if path.name.startswith("ai-memory-") and path.suffix.lower() == ".db"
    ]  # fmt: skip
    if not found:
        raise Refused(f"no snapshots found in {directory}")
    return max(found, key=lambda path: path.stat().st_mtime)
