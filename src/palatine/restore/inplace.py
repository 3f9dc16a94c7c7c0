"""Files of a private directory that are changed where they lie: reached without a symlink."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from palatine.errors import SourceError
from palatine.layouts.base import JSON_MAX


def regular_file(root: Path, path: bytes) -> Path | None:
    """Return the file at a path below `root`, None when it is not there or reached by a symlink."""
    at = root
    names = os.fsdecode(path).split("/")
    for depth, name in enumerate(names, 1):
        at /= name
        try:
            mode = at.lstat().st_mode
        except OSError:
            return None
        if not (stat.S_ISREG(mode) if depth == len(names) else stat.S_ISDIR(mode)):
            return None
    return at


def read_small(file: Path) -> bytes:
    """Return the bytes of a file that is small if it is what it should be; raises SourceError."""
    with file.open("rb") as source:
        data = source.read(JSON_MAX + 1)
    if len(data) > JSON_MAX:
        raise SourceError(
            f"{file.name!r} is too large for what it should be", "restore without another name"
        )
    return data


@contextlib.contextmanager
def writable(file: Path) -> Iterator[None]:
    """Let a file and its directory be written to; both have their modes again afterwards.

    The directory has its time again, too: what comes and goes in it is ours.
    """
    before = [(path, path.stat()) for path in (file.parent, file)]
    modes = [(path, stat.S_IMODE(status.st_mode)) for path, status in before]
    for path, mode in modes:
        if mode | stat.S_IRWXU != mode:
            path.chmod(mode | stat.S_IRWXU)
    try:
        yield
    finally:
        for path, mode in reversed(modes):
            if mode | stat.S_IRWXU != mode:
                path.chmod(mode)
        directory, status = before[0]
        os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns))
