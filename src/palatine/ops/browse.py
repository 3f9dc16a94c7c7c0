"""ls, cat and find: looking into snapshots."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palatine.errors import UsageError
from palatine.model.tree import Entry, EntryKind, Owner
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Item, children, file_bytes, find, walk


@dataclass(frozen=True)
class Listed:
    """A path in a snapshot: its entry and its owner."""

    path: bytes
    entry: Entry
    owner: Owner


@dataclass(frozen=True)
class Found:
    """A path that matched, and a snapshot (oldest first) in which it is new or different."""

    stored: Stored
    path: bytes
    entry: Entry


def locate(repository: Repository, stored: Stored, path: str) -> Listed | Item:
    """Return what lies at a path of a snapshot: the root for an empty one, else its item."""
    parts = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UsageError(f"{path!r} leads out of the palace")
    root, owner, prefix, inner = stored.snapshot.resolve(b"/".join(parts))
    if not inner:
        return Listed(prefix.rstrip(b"/"), root, owner)
    item = find(repository, root.tree, inner)
    return item._replace(path=prefix + item.path)


def ls(
    repository: Repository, stored: Stored, path: str = "", recursive: bool = False
) -> Iterator[Listed]:
    """Yield what is in a directory of a snapshot, or the one file that the path names."""
    repository.refresh()
    at = locate(repository, stored, path)
    if at.entry.kind != EntryKind.DIRECTORY:
        yield Listed(at.path, at.entry, at.owner)
        return
    prefix = at.path + b"/" if at.path else b""
    visit = walk if recursive else children
    for item in visit(repository, at.entry.tree, prefix):
        yield Listed(item.path, item.entry, item.owner)


def cat(repository: Repository, stored: Stored, path: str) -> Iterator[bytes | bytearray]:
    """Yield a file's bytes, a few MiB at a time at most; raises PathNotFound, UsageError."""
    repository.refresh()
    at = locate(repository, stored, path)
    if not isinstance(at, Item) or at.entry.kind == EntryKind.DIRECTORY:
        raise UsageError(f"{path or '/'!r} is a directory", "pal ls lists it")
    if at.entry.kind == EntryKind.SYMLINK:
        target = os.fsdecode(at.entry.target)
        raise UsageError(f"{path!r} is a symlink to {target!r}", "name the file it leads to")
    return file_bytes(repository, at)


def find_paths(
    repository: Repository, snapshots: Iterable[Stored], pattern: str
) -> Iterator[Found]:
    """Yield the paths that match a glob, each time it is new or differs from the snapshot before.

    A pattern without a slash matches names, one with a slash whole paths; `*` matches across
    slashes there.
    """
    repository.refresh()
    whole = "/" in pattern
    seen: dict[tuple[str, bytes], Entry] = {}
    for stored in snapshots:
        for item in _everything(repository, stored):
            text = os.fsdecode(item.path if whole else item.entry.name)
            if not fnmatch.fnmatchcase(text, pattern.lstrip("/")):
                continue
            key = (stored.palace, item.path)
            if seen.get(key) != item.entry:
                seen[key] = item.entry
                yield Found(stored, item.path, item.entry)


def _everything(repository: Repository, stored: Stored) -> Iterator[Item]:
    """Yield all of a snapshot, its outside parts last, as `@NAME/…`."""
    yield from walk(repository, stored.snapshot.root.tree)
    for part in stored.snapshot.outside:
        yield from walk(repository, part.root.tree, b"@" + part.name.encode() + b"/")
