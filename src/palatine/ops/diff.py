"""diff: what differs between two snapshots, or a snapshot and a directory as it is now.

Equal trees and equal pieces of directories are passed over unread; a live directory is read only
where a file's stat does not vouch that it is what was captured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from palatine.errors import UsageError
from palatine.ids import ObjectId
from palatine.model.tree import EntryKind
from palatine.ops import parts
from palatine.ops.planning import Planned
from palatine.store.differences import Pair, Remembering, Side, pairs, pooled_bytes, same_content
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Item, Source


class ChangeKind(Enum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    METADATA = "metadata"
    """Only mode, owner, times or attributes."""


@dataclass(frozen=True)
class Change:
    """A path that differs; `old_path` is set for a rename; sizes in bytes, None where absent."""

    kind: ChangeKind
    path: bytes
    entry_kind: EntryKind
    old_size: int | None
    new_size: int | None
    old_path: bytes | None = None


def diff(repository: Repository, old: Stored, new: Stored) -> list[Change]:
    """Return what changed from one snapshot to another, sorted by path.

    Paths in outside parts begin with `@NAME/`.
    """
    repository.refresh()
    source = Remembering(repository)
    return _compare_all(source, _trees(old), source, _trees(new))


def diff_directory(repository: Repository, old: Stored, directory: Path) -> list[Change]:
    """Return what changed from a snapshot to a directory (or database file) as it is now.

    Databases in use are as their last commit left them. Outside parts are those that the directory
    has now (`parts.present`). What cannot be read is told, and nothing is said of it.
    """
    from palatine.ops.present import looked_at

    repository.refresh()
    one = old.snapshot
    known = Planned(directory.resolve(), one.tenant, one.palace, False, one.layout)
    with looked_at(repository, known, one, parts.present(one, directory)) as now:
        if now.missing:
            first = now.missing[0]
            repository.reporter.notice(
                f"{len(now.missing)} paths could not be compared, the first of them "
                f"{first.path.decode(errors='replace')}: {first.reason}"
            )
        trees = {name: root.entry.tree for name, root in now.roots.items()}
        found = _compare_all(Remembering(repository), _trees(old), Remembering(now.source), trees)
    unread = tuple(one.path + b"/" for one in now.missing)
    return [one for one in found if not (one.path + b"/").startswith(unread)]


def _trees(stored: Stored) -> dict[str, ObjectId]:
    """Return the trees of a snapshot by the names of the outside parts; the palace has none."""
    snapshot = stored.snapshot
    return {"": snapshot.root.tree, **{part.name: part.root.tree for part in snapshot.outside}}


def _compare_all(
    old: Source, before: dict[str, ObjectId], new: Source, after: dict[str, ObjectId]
) -> list[Change]:
    """Return what differs between palaces with their parts; a part may be on one side only."""
    found = []
    for name in before.keys() | after.keys():
        prefix = b"@" + name.encode() + b"/" if name else b""
        for one in compare(Side(old, before.get(name)), Side(new, after.get(name))):
            old_path = None if one.old_path is None else prefix + one.old_path
            found.append(replace(one, path=prefix + one.path, old_path=old_path))
    return sorted(found, key=lambda change: change.path)


def compare(old: Side, new: Side) -> list[Change]:
    """Return what changed between two trees, renames of whole files paired up, sorted by path."""
    differing = [one for pair in pairs(old, new) for one in _by_kind(*pair)]
    removed = {before.path: before for before, after in differing if before and not after}
    added = {after.path: after for before, after in differing if after and not before}
    renames = dict(_renames(old.source, removed, new.source, added))
    gone = set(renames.values())
    changes = []
    for before, after in differing:
        if after is None:
            assert before is not None
            if before.path not in gone:
                changes.append(_change(ChangeKind.REMOVED, before, None))
        elif before is not None:
            same = same_content(old.source, before, new.source, after)
            kind = ChangeKind.METADATA if same else ChangeKind.CHANGED
            changes.append(_change(kind, before, after))
        elif after.path in renames:
            changes.append(_change(ChangeKind.RENAMED, removed[renames[after.path]], after))
        else:
            changes.append(_change(ChangeKind.ADDED, None, after))
    return sorted(changes, key=lambda change: change.path)


def _by_kind(old: Item | None, new: Item | None) -> list[Pair]:
    """Return a pair as it is, or as two where the path became something of another kind."""
    if old is None or new is None or old.entry.kind == new.entry.kind:
        return [(old, new)]
    return [(old, None), (None, new)]


def _change(kind: ChangeKind, old: Item | None, new: Item | None) -> Change:
    item = new or old
    if item is None:
        raise UsageError("a change has two sides")
    return Change(
        kind,
        item.path,
        item.entry.kind,
        old.entry.size if old else None,
        new.entry.size if new else None,
        old.path if old and kind == ChangeKind.RENAMED else None,
    )


def _renames(
    old: Source, removed: dict[bytes, Item], new: Source, added: dict[bytes, Item]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (new path, old path) of files that went from one name to another with all they hold."""
    by_content: dict[object, list[bytes]] = {}
    sizes = {item.entry.size for item in added.values()}
    for path, item in removed.items():
        if item.entry.kind == EntryKind.FILE and item.entry.size and item.entry.size in sizes:
            by_content.setdefault(_content_key(old, item), []).append(path)
    if not by_content:
        return
    gone = {removed[paths[0]].entry.size for paths in by_content.values()}
    for path, item in added.items():
        if item.entry.kind == EntryKind.FILE and item.entry.size in gone:
            candidates = by_content.get(_content_key(new, item))
            if candidates:
                yield path, candidates.pop()


def _content_key(source: Source, item: Item) -> object:
    entry = item.entry
    return pooled_bytes(source, item) if entry.pooled else (entry.parts, entry.holes)
