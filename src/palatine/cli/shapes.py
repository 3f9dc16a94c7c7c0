"""The JSON contract: how results look to programs. Described in docs/cli.md; additions only.

Times are RFC 3339 in UTC with microseconds, ids full hexadecimal, sizes bytes. A name is a string,
or {"bytes": base64} where it is not UTF-8.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from palatine.cli import text

if TYPE_CHECKING:
    from palatine.model.tree import Entry, Owner
    from palatine.ops.diff import Change
    from palatine.store.snapshots import Stored

VERSION = 1
"""The contract's version; raised when something is removed or changes its meaning."""

Shape = dict[str, Any]


def envelope(command: str) -> Shape:
    """Return what every object on stdout begins with."""
    return {"palatine": VERSION, "command": command}


def name(value: bytes | str) -> str | Shape:
    """Return a name: text where it is UTF-8, else its bytes in base64."""
    raw = os.fsencode(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"bytes": base64.b64encode(raw).decode()}


def time(time_us: int) -> str | None:
    """Return a moment, or None for one beyond the calendar (a file's time may be any number)."""
    from palatine.ops.moments import utc

    try:
        return utc(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def reference(stored: Stored) -> Shape:
    """Return what identifies a snapshot."""
    return {"id": stored.id.hex(), "palace": stored.palace, "time": time(stored.snapshot.time_us)}


def snapshot(stored: Stored) -> Shape:
    """Return all of a snapshot but its files."""
    one = stored.snapshot
    return {
        **reference(stored),
        "key": stored.key,
        "wall_time": time(one.wall_us),
        "host": one.host,
        "user": one.user,
        "path": name(one.path),
        "parents": [parent.hex() for parent in one.parents],
        "message": one.message,
        "tags": list(stored.tags),
        "layout": one.layout,
        "program": one.program,
        "complete": one.complete,
        "files": one.stats.files,
        "directories": one.stats.directories,
        "symlinks": one.stats.symlinks,
        "bytes": one.stats.size,
        "added_bytes": one.stats.added,
        "missing": [{"path": name(gap.path), "reason": gap.reason} for gap in one.missing],
        "artifacts": [
            {
                "path": name(part.path),
                "kind": part.kind,
                "captured": part.captured.name.lower(),
                "health": part.health.name.lower(),
            }
            for part in one.artifacts
        ],
        "outside": [{"name": part.name, "place": name(part.place)} for part in one.outside],
    }


def entry(path: bytes, one: Entry, owner: Owner | None = None) -> Shape:
    """Return a path in a snapshot."""
    shape: Shape = {
        "path": name(path),
        "kind": one.kind.name.lower(),
        "mode": f"{one.mode:04o}",
        "bytes": one.size,
        "mtime": time(one.mtime_ns // 1000),
        "mtime_ns": one.mtime_ns,
    }
    if owner is not None:
        shape["owner"] = {
            "uid": owner.uid,
            "user": owner.user,
            "gid": owner.gid,
            "group": owner.group,
        }
    if one.target:
        shape["target"] = name(one.target)
    if one.link:
        shape["link"] = name(one.link)
    return shape


def change(one: Change) -> Shape:
    """Return what differs at a path; a size is null on the side where the path is not."""
    return {
        "change": one.kind.value,
        "path": name(one.path),
        "old_path": None if one.old_path is None else name(one.old_path),
        "kind": one.entry_kind.name.lower(),
        "old_bytes": one.old_size,
        "new_bytes": one.new_size,
    }


def error(code: str, message: str, hint: str) -> Shape:
    """Return an error as it goes to stderr."""
    return {"error": {"code": code, "message": text.sentence(message), "hint": text.sentence(hint)}}
