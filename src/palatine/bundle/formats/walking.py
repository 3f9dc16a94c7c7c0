"""What lies in a restored palace: a directory of ours that nobody else uses."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from palatine.bundle.formats.base import Notes, shown
from palatine.errors import SourceError

_READ = 1 << 20


class Kind(Enum):
    """What an item is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True)
class Item:
    """Something in a palace: its path from there, its place, what `lstat` says."""

    path: bytes
    place: Path
    kind: Kind
    status: os.stat_result


def walk(top: Path, notes: Notes | None = None) -> Iterator[Item]:
    """Yield all below a directory, a directory before what it holds, names in order of bytes.

    What no snapshot holds (sockets and the like) is passed over, and noted. Raises SourceError for
    what lies so deep that its path is too long for the system.
    """
    waiting = [iter(_items(top, b"", notes))]
    while waiting:
        item = next(waiting[-1], None)
        if item is None:
            waiting.pop()
            continue
        yield item
        if item.kind is Kind.DIRECTORY:
            waiting.append(iter(_items(item.place, item.path + b"/", notes)))


def _items(directory: Path, below: bytes, notes: Notes | None) -> list[Item]:
    try:
        with os.scandir(directory) as entries:
            found = sorted(entries, key=lambda one: os.fsencode(one.name))
            statuses = [entry.stat(follow_symlinks=False) for entry in found]
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise SourceError(
            f"what lies in {shown(below)[:80]}… is too deep for this format",
            "leave out --format: a native bundle holds every palace",
        ) from None
    items = []
    for entry, status in zip(found, statuses, strict=True):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        path = below + os.fsencode(entry.name)
        if kind is not None:
            items.append(Item(path, directory / entry.name, kind, status))
        elif notes is not None:
            notes.name("neither files, directories nor symlinks, so left out", path)
    return items


_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
}


def contents(item: Item) -> Iterator[bytes]:
    """Yield a file's bytes, exactly as many as its size; raises SourceError."""
    left = item.status.st_size
    with item.place.open("rb", buffering=0) as file:
        while left:
            data = file.read(min(left, _READ))
            if not data:
                break
            left -= len(data)
            yield data
        if left or file.read(1):
            raise SourceError(f"{item.place} changed while it was read", "try again")


def is_empty(directory: Path) -> bool:
    """Whether a directory holds nothing."""
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def leads_to_file(item: Item, top: Path) -> bool:
    """Whether a symlink leads to a regular file of the palace, wherever that is moved to."""
    target = item.place.readlink()
    depth = item.path.count(b"/")
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or part == "/":
            return False
    try:
        end = item.place.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return end.is_file() and end.is_relative_to(top.resolve())


def tell_attributes(item: Item, notes: Notes) -> None:
    """Note extended attributes, which none of these archives holds."""
    if not hasattr(os, "listxattr"):
        return
    try:
        if os.listxattr(item.place, follow_symlinks=False):
            notes.name("extended attributes are left out", item.path)
    except OSError:
        return  # a file system without them


def tell_outside(directory: Path, notes: Notes) -> None:
    """Note the parts from outside of the palace, which a restore lays beside it."""
    beside = Path(f"{directory}.outside")
    if beside.is_dir():
        for part in sorted(beside.iterdir()):
            notes.name("parts from outside of the palace are left out", os.fsencode(part.name))
