"""Directory trees: how large they are, and whether a restored one equals its source."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

Manifest = dict[str, tuple[str, int, int, str]]


def bytes_in(folder: Path) -> int:
    """The sizes of all files below, added up."""
    return sum(entry.stat(follow_symlinks=False).st_size for entry in files_below(folder))


def files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below that are not directories."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path))
            else:
                yield entry


def manifest(root: Path) -> Manifest:
    """For each path below `root`: its type, mode, time of change in ns, and contents as a digest.

    The root itself is left out: that it has another time of change is the restoring caller's doing.
    """
    entries: Manifest = {}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = Path(folder, name)
            entries[str(path.relative_to(root))] = _entry(path)
    return entries


def differences(expected: Manifest, found: Manifest) -> list[str]:
    """What distinguishes two trees, one line each; empty if they are equal."""
    lines = [f"missing: {path}" for path in sorted(expected.keys() - found.keys())]
    lines += [f"unexpected: {path}" for path in sorted(found.keys() - expected.keys())]
    fields = ("type", "mode", "mtime", "contents")
    for path in sorted(expected.keys() & found.keys()):
        pairs = zip(fields, expected[path], found[path], strict=True)
        lines += [f"{field}: {path}" for field, before, after in pairs if before != after]
    return lines


def _entry(path: Path) -> tuple[str, int, int, str]:
    info = path.lstat()
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return "symlink", mode, info.st_mtime_ns, str(path.readlink())
    if stat.S_ISDIR(info.st_mode):
        return "directory", mode, info.st_mtime_ns, ""
    with path.open("rb") as file:
        return "file", mode, info.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()
