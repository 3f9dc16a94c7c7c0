"""diff: what differs between two snapshots, or a snapshot and a directory as it is now.

Equal trees and equal pieces of directories are passed over unread; a live directory is read only
where a file's stat does not vouch that it is what was captured.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import msgspec
from blake3 import blake3

from palatine.capture.palace import Before, Options, capture
from palatine.capture.scratch import NotKept, Scratch
from palatine.capture.signatures import Signatures
from palatine.errors import UsageError
from palatine.ids import Kind, ObjectId
from palatine.model.tree import EntryKind, Node, decode_tree
from palatine.ops.places import avoided, signature_file
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Item, Source, chunks, file_bytes, items, leaves, walk


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


@dataclass(frozen=True)
class Side:
    """One side of a comparison: where its objects come from, and its tree."""

    source: Source
    tree: ObjectId


class Remembering:
    """A source that keeps the last objects: a pool is asked for once per file in it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last: OrderedDict[ObjectId, bytes | bytearray] = OrderedDict()

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's bytes."""
        if object_id not in self._last:
            self._last[object_id] = self._source.get(kind, object_id)
            if len(self._last) > 8:
                self._last.popitem(last=False)
        self._last.move_to_end(object_id)
        return self._last[object_id]


def diff(repository: Repository, old: Stored, new: Stored) -> list[Change]:
    """Return what changed from one snapshot to another, sorted by path.

    Paths in outside parts begin with `@NAME/`.
    """
    repository.refresh()
    source = Remembering(repository)
    changes = compare(Side(source, old.snapshot.root.tree), Side(source, new.snapshot.root.tree))
    return sorted([*changes, *_outside(source, old, new)], key=lambda change: change.path)


def _outside(source: Source, old: Stored, new: Stored) -> Iterator[Change]:
    """Yield what changed in outside parts; one that only one side has is there or gone whole."""
    before = {part.name: part.root.tree for part in old.snapshot.outside}
    after = {part.name: part.root.tree for part in new.snapshot.outside}
    for name in before.keys() | after.keys():
        prefix = b"@" + name.encode() + b"/"
        if name in before and name in after:
            for one in compare(Side(source, before[name]), Side(source, after[name])):
                old_path = None if one.old_path is None else prefix + one.old_path
                yield replace(one, path=prefix + one.path, old_path=old_path)
        elif name in after:
            for item in walk(source, after[name], prefix):
                yield _change(ChangeKind.ADDED, None, item)
        else:
            for item in walk(source, before[name], prefix):
                yield _change(ChangeKind.REMOVED, item, None)


def diff_directory(repository: Repository, old: Stored, directory: Path) -> list[Change]:
    """Return what changed from a snapshot to a directory (or database file) as it is now."""
    repository.refresh()
    source = directory.resolve()
    snapshot = old.snapshot
    place = signature_file(repository, snapshot.tenant, snapshot.palace, source)
    with (
        contextlib.closing(Signatures(place)) as signatures,
        contextlib.closing(Scratch(repository, repository.digest)) as scratch,
    ):
        captured = capture(
            source,
            scratch,
            repository.config.chunking,
            Options(unsafe_files=True, avoid=avoided(repository)),
            Before(repository.clock.now_ns(), signatures, snapshot.root.tree),
            repository.reporter,
        )
        if captured.findings.missing:
            first = captured.findings.missing[0]
            repository.reporter.notice(
                f"{len(captured.findings.missing)} paths could not be compared, the first of them "
                f"{first.path.decode(errors='replace')}: {first.reason}"
            )
        return compare(
            Side(Remembering(repository), snapshot.root.tree),
            Side(Remembering(scratch), captured.root.tree),
        )


def compare(old: Side, new: Side) -> list[Change]:
    """Return what changed between two trees, renames of whole files paired up, sorted by path."""
    pairs = list(_pairs(old, new))
    removed = {before.path: before for before, after in pairs if before and not after}
    added = {after.path: after for before, after in pairs if after and not before}
    renames = dict(_renames(old.source, removed, new.source, added))
    gone = set(renames.values())
    changes = []
    for before, after in pairs:
        if after is None:
            assert before is not None
            if before.path not in gone:
                changes.append(_change(ChangeKind.REMOVED, before, None))
        elif before is not None:
            same = _same_content(old.source, before, new.source, after)
            kind = ChangeKind.METADATA if same else ChangeKind.CHANGED
            changes.append(_change(kind, before, after))
        elif after.path in renames:
            changes.append(_change(ChangeKind.RENAMED, removed[renames[after.path]], after))
        else:
            changes.append(_change(ChangeKind.ADDED, None, after))
    return sorted(changes, key=lambda change: change.path)


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


def _pairs(old: Side, new: Side) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield what is on one side only, or differs on both, everything below directories included."""
    waiting: list[tuple[bytes, ObjectId | None, ObjectId | None]] = [(b"", old.tree, new.tree)]
    while waiting:
        path, before, after = waiting.pop()
        if before == after:
            continue
        for mine, its in _merge(old.source, before, new.source, after, path):
            trees = [_tree(item) for item in (mine, its)]
            if any(trees):
                directory = (mine or its).path + b"/"  # type: ignore[union-attr]
                waiting.append((directory, trees[0], trees[1]))
            if mine is None or its is None or not _same_entry(mine, its):
                if mine and its and mine.entry.kind != its.entry.kind:
                    yield mine, None
                    yield None, its
                else:
                    yield mine, its


def _tree(item: Item | None) -> ObjectId | None:
    return item.entry.tree if item and item.entry.kind == EntryKind.DIRECTORY else None


def _same_entry(old: Item, new: Item) -> bool:
    """Whether two entries say the same, a directory's content and pooled bytes aside."""
    mine, its = old.entry, new.entry
    facts = [
        (item.entry.kind, item.entry.mode, item.owner, item.entry.mtime_ns, item.entry.size,
         item.entry.holes, item.entry.xattrs, item.entry.target)
        for item in (old, new)
    ]  # fmt: skip
    if facts[0] != facts[1]:
        return False
    if mine.kind == EntryKind.DIRECTORY:
        return True
    if mine.pooled:
        # The pieces differ, and nothing but the bytes tells whether this file does
        return False
    return (mine.level, mine.parts) == (its.level, its.parts)


def _merge(
    old: Source, before: ObjectId | None, new: Source, after: ObjectId | None, path: bytes
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield the entries of one directory by name, save those in pieces that both sides share."""
    shared = _piece_ids(old, before) & _piece_ids(new, after)
    left = ((item.entry.name, 0, item) for item in _unshared(old, before, shared, path))
    right = ((item.entry.name, 1, item) for item in _unshared(new, after, shared, path))
    held: Item | None = None
    for _, side, item in heapq.merge(left, right, key=lambda row: row[:2]):
        if side == 0:
            if held is not None:
                yield held, None
            held = item
        elif held is not None and held.entry.name == item.entry.name:
            if not _same_pooled(old, held, new, item):
                yield held, item
            held = None
        else:
            if held is not None:
                yield held, None
                held = None
            yield None, item
    if held is not None:
        yield held, None


def _same_pooled(old: Source, mine: Item, new: Source, its: Item) -> bool:
    """Whether two pooled files are alike in everything, bytes included."""
    if not (mine.entry.pooled and its.entry.pooled):
        return False
    facts = [msgspec.structs.replace(item.entry, owner=0, link=b"") for item in (mine, its)]
    return facts[0] == facts[1] and mine.owner == its.owner and _same_content(old, mine, new, its)


def _piece_ids(source: Source, tree: ObjectId | None) -> set[ObjectId]:
    if tree is None:
        return set()
    found, waiting = set(), [tree]
    while waiting:
        at = waiting.pop()
        value = decode_tree(source.get(Kind.TREE, at), at)
        if isinstance(value, Node) and value.level > 1:
            waiting += [branch.id for branch in value.branches]
        elif isinstance(value, Node):
            found |= {branch.id for branch in value.branches}
        else:
            found.add(at)
    return found


def _unshared(
    source: Source, tree: ObjectId | None, shared: set[ObjectId], path: bytes
) -> Iterator[Item]:
    if tree is None:
        return
    for _, piece in leaves(source, tree, skip=shared):
        yield from items(piece, path)


def _same_content(old: Source, mine: Item, new: Source, its: Item) -> bool:
    a, b = mine.entry, its.entry
    if (a.kind, a.size, a.target) != (b.kind, b.size, b.target):
        return False
    if a.kind == EntryKind.DIRECTORY:
        return True  # what is in it is compared on its own
    if a.pooled and b.pooled:
        return _pooled(old, mine) == _pooled(new, its)
    if (a.level, a.parts, a.holes) == (b.level, b.parts, b.holes):
        return True
    return a.holes == b.holes and _cut_otherwise(old, mine, new, its)


def _cut_otherwise(old: Source, mine: Item, new: Source, its: Item) -> bool:
    """Whether two files of one size hold the same bytes, cut at other places.

    A file is cut by the name it was first met under: a second name for it may tell otherwise.
    """
    sizes = [
        [part.size for part in chunks(source, item.entry)]
        for source, item in ((old, mine), (new, its))
    ]
    if sizes[0] == sizes[1]:
        return False  # cut at the same places, and some chunk differs
    digests = [blake3(), blake3()]
    try:
        for digest, source, item in zip(digests, (old, new), (mine, its), strict=True):
            for data in file_bytes(source, item):
                digest.update(data)
    except NotKept:
        return False  # of a live file only the ids of its chunks are known
    return digests[0].digest() == digests[1].digest()


def _pooled(source: Source, item: Item) -> bytes:
    pool = source.get(Kind.CHUNK, item.piece.pool[0].id)
    return bytes(pool[item.offset : item.offset + item.entry.size])


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
    return _pooled(source, item) if entry.pooled else (entry.parts, entry.holes)
