"""A look at a palace from outside: has anything changed since the last look? Reads no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from blake3 import blake3

from palatine.capture.excludes import Exclude, nothing

_PASSED_OVER = b"-shm"
"""What readers of a database touch, too."""


def glimpse(
    places: Iterable[Path], exclude: Exclude = nothing, avoid: Iterable[Path] = ()
) -> bytes:
    """Return what is equal as long as no file at these places, or below them, has changed.

    What cannot be looked at counts as not being there. Files that are written through a memory map
    may change without a sign.
    """
    never = {os.fsencode(path.resolve()) for path in avoid}
    seen = blake3()
    for place in places:
        for path, status in _walk(os.fsencode(place), exclude, never):
            facts = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if stat.S_ISDIR(status.st_mode):
                facts = (status.st_ino, 0, 0, 0)  # what is in it is looked at by itself
            seen.update(path + b"\0" + repr(facts).encode() + b"\n")
    return seen.digest()


def _walk(
    top: bytes, exclude: Exclude, never: set[bytes]
) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield what is below a path, and itself, in an order that does not change."""
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        full = os.path.join(top, path) if path else top
        try:
            # the palace itself may be a symlink to where it lies; what is in it is not followed
            status = os.lstat(full) if path else os.stat(full)
            is_directory = stat.S_ISDIR(status.st_mode)
            if full in never or (path and exclude(path, is_directory)):
                continue
            names = sorted(os.listdir(full)) if is_directory else []
        except OSError:
            continue
        if path.endswith(_PASSED_OVER):
            continue
        yield path, status
        if not path and not is_directory:
            yield from _beside(top)
        waiting += [os.path.join(path, name) for name in reversed(names)]


def _beside(database: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the log and the journal of a palace that is one database."""
    for suffix in (b"-wal", b"-journal"):
        try:
            yield suffix, os.lstat(database + suffix)
        except OSError:
            continue
