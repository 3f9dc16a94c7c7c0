"""ai-memory's snapshots in a directory: their manifests, and which is the newest.

The tool goes by the time of change, which a copy or a `touch` alters; we go by what the manifest
says, or the name, and take that time only where neither says any.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from palatine.bundle.formats.base import MANIFEST_MAX, Notes, parsed, time_of
from palatine.errors import Malformed, PathNotFound, UsageError

_TIME = re.compile(r"ai-memory-(\d{4}-\d\d-\d\dT)(\d\d)(\d\d)(\d\d)Z\.db\Z", re.I)


class Manifest(msgspec.Struct):
    """What is known of a snapshot; only the digest is needed."""

    sha256: str
    snapshot: str = ""
    bytes: int | None = None
    source_db: str = ""
    created_at: str = ""


class Saved(NamedTuple):
    """A snapshot, and when it was taken in microseconds, if that is known."""

    path: Path
    time_us: int | None = None


def manifest_of(path: Path) -> Path:
    """Return where a snapshot's manifest lies."""
    return path.with_name(f"{path.stem}.manifest.json")


def read_manifest(path: Path) -> Manifest | None:
    """Return a manifest, None when there is none; raises Malformed."""
    if not path.is_file():
        return None
    if path.stat().st_size > MANIFEST_MAX:
        raise Malformed(f"{path} is too large for a manifest")
    return parsed(path.read_bytes(), Manifest, path.name)


def newest(directory: Path, unverified: bool, notes: Notes) -> Saved:
    """Return the newest snapshot in a directory, with `unverified` also of those without manifest.

    A backup that failed leaves a database without one. Raises PathNotFound, UsageError.
    """
    found = [
        path for path in directory.iterdir()
        if path.name.startswith("ai-memory-") and path.suffix.lower() == ".db" and path.is_file()
    ]  # fmt: skip
    if not found:
        if (directory / "ai-memory.db").is_file():
            raise UsageError(
                f"{directory} holds a live database, and no snapshots",
                "`pal snapshot` takes one of it",
            )
        raise PathNotFound(f"no snapshots found in {directory}", "they are called ai-memory-*.db")
    ordered = sorted(found, key=_order, reverse=True)
    for at, path in enumerate(ordered):
        if unverified or manifest_of(path).is_file():
            for newer in ordered[:at]:
                notes.name(
                    "passed over, because it has no manifest", bytes(newer.relative_to(directory))
                )
            notes.say(f"taken: {path.name}, the newest of {len(found)}")
            return Saved(path, _time(path))
    raise PathNotFound(
        f"no snapshot in {directory} has a manifest", "--skip-verify takes the newest as it is"
    )


def _order(path: Path) -> tuple[int, str]:
    time_us = _time(path)
    return (path.stat().st_mtime_ns // 1000 if time_us is None else time_us), path.name


def _time(path: Path) -> int | None:
    try:
        manifest = read_manifest(manifest_of(path))
    except Malformed:
        manifest = None
    if manifest and (time_us := time_of(manifest.created_at)) is not None:
        return time_us
    match = _TIME.match(path.name)
    return time_of("{}{}:{}:{}Z".format(*match.groups())) if match else None
