"""What remains of a snapshot that lost something: new trees without it, and a list of the gaps.

A file of which only a part is lost stays as `NAME.damaged`, with holes where the lost bytes were:
so nobody takes it for what it was, and what can be read of it is not lost with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from palatine.capture.lists import ListBuilder
from palatine.capture.pieces import Counts, DirectoryBuilder
from palatine.capture.signatures import UNKNOWN, Signatures
from palatine.capture.sink import Sink
from palatine.errors import Damaged, NotFound
from palatine.ids import ObjectId
from palatine.model.names import FILE_NAME_MAX
from palatine.model.snapshot import Missing, Outside, Snapshot
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.ops.losses import Gap, Readings, is_whole, lost_parts, pieces
from palatine.store.snapshots import Stored
from palatine.store.trees import Item, Source, chunk, items, walk

SUFFIX = b".damaged"
_NO_SIGNATURES = Signatures(None)


@dataclass
class _Directory:
    """A directory being built anew. `extras` are the remains of files, to be put among the rest."""

    path: bytes
    items: Iterator[Item | Gap]
    builder: DirectoryBuilder
    entry: Entry | None = None
    owner: Owner | None = None
    extras: list[tuple[Entry, Owner]] = field(default_factory=list)

    def put_extras(self, name: bytes | None) -> None:
        """Put the extras that come before a name, or all."""
        self.extras.sort(key=lambda one: one[0].name)
        while self.extras and (name is None or self.extras[0][0].name < name):
            entry, owner = self.extras.pop(0)
            self.builder.add(entry, owner, UNKNOWN)


class Remains:
    """Builds what remains of one tree into a sink; `prefix` is how its paths begin."""

    def __init__(self, source: Readings, sink: Sink, prefix: bytes = b"") -> None:
        self._source = source
        self._sink = sink
        self._prefix = prefix
        self.missing: list[Missing] = []

    def build(self, tree: ObjectId) -> ObjectId:
        """Return the tree without what is lost."""
        stack = [self._begin(b"", tree)]
        while True:
            at = stack[-1]
            item = next(at.items, None)
            if item is None:
                at.put_extras(None)
                built = at.builder.finish()
                stack.pop()
                if not stack:
                    return built
                assert at.entry is not None
                assert at.owner is not None
                entry = msgspec.structs.replace(at.entry, parts=(Part(built, 0),))
                stack[-1].builder.add(entry, at.owner, UNKNOWN)
            elif isinstance(item, Gap):
                self._gap(at, item)
            else:
                deeper = self._item(at, item)
                if deeper is not None:
                    stack.append(deeper)

    def _begin(self, path: bytes, tree: ObjectId) -> _Directory:
        found = self._items(path, tree)
        return _Directory(path, found, DirectoryBuilder(self._sink, _NO_SIGNATURES, path, {}))

    def _items(self, path: bytes, tree: ObjectId) -> Iterator[Item | Gap]:
        prefix = path + b"/" if path else b""
        for piece in pieces(self._source, tree):
            if isinstance(piece, Gap):
                yield piece
            else:
                yield from items(piece, prefix)

    def _gap(self, at: _Directory, gap: Gap) -> None:
        if gap.entries is None:
            self._lose(at.path, "the directory and all that was in it is lost")
            return
        first = gap.first.decode(errors="replace")
        self._lose(at.path, f"{gap.entries} entries are lost, the first of them is {first!r}")

    def _item(self, at: _Directory, item: Item) -> _Directory | None:
        at.put_extras(item.entry.name)
        at.extras = [one for one in at.extras if one[0].name != item.entry.name]
        if item.entry.kind == EntryKind.DIRECTORY and not is_whole(self._source, item.entry.tree):
            if not self._has_top(item.entry.tree):
                self._lose(item.path, "the directory and all that was in it is lost")
                return None
            deeper = self._begin(item.path, item.entry.tree)
            deeper.entry, deeper.owner = item.entry, item.owner
            return deeper
        if item.entry.pooled:
            self._pooled(at, item)
        elif item.entry.kind == EntryKind.FILE:
            self._file(at, item)
        else:
            at.builder.add(item.entry, item.owner, UNKNOWN)
        return None

    def _has_top(self, tree: ObjectId) -> bool:
        first = next(pieces(self._source, tree), None)
        return not (isinstance(first, Gap) and first.entries is None)

    def _pooled(self, at: _Directory, item: Item) -> None:
        try:
            pool = chunk(self._source, item.piece.pool[0])
        except (Damaged, NotFound):
            self._lose(item.path, "lost")
            return
        small = bytes(pool[item.offset : item.offset + item.entry.size])
        at.builder.add(item.entry, item.owner, UNKNOWN, small)

    def _file(self, at: _Directory, item: Item) -> None:
        parts = [*lost_parts(self._source, item.entry)]
        lost = sum(part.size for is_lost, part in parts if is_lost)
        if not lost:
            at.builder.add(item.entry, item.owner, UNKNOWN)
            return
        name = item.entry.name + SUFFIX
        if all(is_lost for is_lost, _ in parts) or len(name) > FILE_NAME_MAX:
            self._lose(item.path, "lost")
            return
        at.extras.append((self._holed(item.entry, name, parts), item.owner))
        self._lose(
            item.path,
            f"{lost} of {item.entry.size} bytes are lost; the rest is in"
            f" {name.decode(errors='replace')}, with zeros in their place",
        )

    def _holed(self, entry: Entry, name: bytes, parts: list[tuple[bool, Part]]) -> Entry:
        """Return a file's entry with holes where its lost chunks were."""
        lists = ListBuilder(self._sink, None)
        given = iter((*entry.holes, (entry.size, 0)))
        hole = next(given)
        holes: list[tuple[int, int]] = []
        at = 0
        for is_lost, part in parts:
            # a lost list may span holes: its size does not count them
            left = part.size
            while left:
                while hole[0] <= at and hole[1]:
                    holes.append(hole)
                    at = hole[0] + hole[1]
                    hole = next(given)
                step = left if not hole[1] else min(left, hole[0] - at)
                if is_lost:
                    holes.append((at, step))
                elif step == part.size:
                    lists.add(part)
                at += step
                left -= step
        while hole[1]:
            holes.append(hole)
            hole = next(given)
        level, kept = lists.finish()
        return msgspec.structs.replace(
            entry, name=name, level=level, parts=kept, holes=tuple(holes), link=b""
        )

    def _lose(self, path: bytes, reason: str) -> None:
        whole = self._prefix + path if path else self._prefix.rstrip(b"/")
        self.missing.append(Missing(whole or b".", reason))


def remains(source: Readings, sink: Sink, stored: Stored) -> tuple[Snapshot, list[Missing]]:
    """Return what remains of a snapshot, its counts those it had, and what it lost."""
    old = stored.snapshot
    main = Remains(source, sink)
    root = msgspec.structs.replace(old.root, parts=(Part(main.build(old.root.tree), 0),))
    missing, outside = main.missing, []
    for part in old.outside:
        beside = Remains(source, sink, b"@" + part.name.encode() + b"/")
        tree = beside.build(part.root.tree)
        outside.append(_with_tree(part, tree))
        missing += beside.missing
    missing.sort(key=lambda one: one.path)
    lost = {one.path for one in missing}
    made = msgspec.structs.replace(
        old,
        root=root,
        outside=tuple(outside),
        artifacts=tuple(one for one in old.artifacts if not _is_below(one.path, lost)),
        missing=tuple(sorted([*old.missing, *missing], key=lambda one: one.path)),
    )
    return made, missing


def counted(source: Source, made: Snapshot) -> Snapshot:
    """Return a snapshot with what it holds counted anew.

    `added` stays what it was: whoever makes the same remains again makes the same snapshot.
    """
    total = Counts()
    for root in (made.root, *(part.root for part in made.outside)):
        for item in walk(source, root.tree):
            kind = item.entry.kind
            total = total.plus(
                Counts(
                    kind == EntryKind.FILE,
                    kind == EntryKind.DIRECTORY,
                    kind == EntryKind.SYMLINK,
                    item.entry.size,
                )
            )
    stats = msgspec.structs.replace(
        made.stats, files=int(total.files), directories=int(total.directories),
        symlinks=int(total.symlinks), size=total.size,
    )  # fmt: skip
    return msgspec.structs.replace(made, stats=stats)


def _with_tree(part: Outside, tree: ObjectId) -> Outside:
    return msgspec.structs.replace(
        part, root=msgspec.structs.replace(part.root, parts=(Part(tree, 0),))
    )


def _is_below(path: bytes, lost: set[bytes]) -> bool:
    steps = path.split(b"/")
    return any(b"/".join(steps[:count]) in lost for count in range(1, len(steps) + 1))
