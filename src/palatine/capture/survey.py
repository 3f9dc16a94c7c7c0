"""Which files of a palace look like databases, by their names and the names beside them.

Nothing is opened: whoever opens and closes a database file drops the locks its own process holds
on it. A database of another name is found by its first bytes when the walk reads it, and from then
on is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from palatine.capture.excludes import Exclude
from palatine.sqlite.sidecars import SUFFIXES

DATABASE_SUFFIXES = (b".db", b".sqlite", b".sqlite3")
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find_databases(
    root: int,
    exclude: Exclude,
    avoid: frozenset[tuple[int, int]],
    known: Iterable[bytes] = (),
) -> Iterator[bytes]:
    """Yield the paths of likely databases below an open directory, in order of names per directory.

    `known` are paths that were databases before, whatever their names.

    What cannot be listed is passed over: the walk meets it again, and says so.
    """
    waiting = [b""]
    known = frozenset(known)
    while waiting:
        path = waiting.pop()
        try:
            fd = os.open(path or b".", _FLAGS, dir_fd=root)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in avoid:
                continue
            names, directories = _list(fd)
        except OSError:
            continue
        finally:
            os.close(fd)
        prefix = path + b"/" if path else b""
        waiting += [prefix + name for name in directories if not exclude(prefix + name, True)]
        for name in sorted(names):
            likely = prefix + name in known or _looks_like_database(name, names)
            if likely and not exclude(prefix + name, False):
                yield prefix + name


def _list(fd: int) -> tuple[set[bytes], list[bytes]]:
    names, directories = set(), []
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif not entry.is_symlink():
                names.add(name)
    return names, directories


def _looks_like_database(name: bytes, beside: set[bytes]) -> bool:
    if name.endswith(SUFFIXES):
        return False
    return name.endswith(DATABASE_SUFFIXES) or any(name + suffix in beside for suffix in SUFFIXES)
