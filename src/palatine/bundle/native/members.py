"""What a native bundle's archive holds, in its order: the same walk for the manifest and the files.

The palace and then each outside part, depth first, the names of a directory in byte order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from palatine.bundle.native.manifest import OUTSIDE, PALACE, Listed, listed
from palatine.bundle.tar.write import Header
from palatine.errors import Malformed, PathNotFound
from palatine.model.snapshot import Snapshot
from palatine.model.tree import Entry, EntryKind, Owner, check_name
from palatine.store.trees import Item, Source, find, is_same_file, walk


class Member(NamedTuple):
    """An entry of the archive: its path there, and what the snapshot says of it.

    `link` is the path, in the archive, of a file's first name. `own` says that its bytes come with
    it nevertheless. `item` is None for the root of a part, which no tree holds.
    """

    path: bytes
    entry: Entry
    owner: Owner
    item: Item | None = None
    link: bytes = b""
    own: bool = False

    @property
    def has_content(self) -> bool:
        """Whether bytes of a file follow its header."""
        return self.entry.kind == EntryKind.FILE and (not self.link or self.own)

    def listed(self, palace: Owner) -> Listed:
        """Return the line of the manifest; `palace` is the palace's owner."""
        owner = None if self.owner == palace else self.owner
        return listed(self.path, self.entry, owner, self.link, self.own)

    def header(self) -> Header:
        """Return what the tar header says."""
        entry = self.entry
        return Header(
            self.path, entry.kind, entry.mode, self.owner, entry.mtime_ns,
            entry.size if self.has_content else 0,
            b"" if self.own else self.link or entry.target, entry.xattrs,
        )  # fmt: skip


def members(source: Source, snapshot: Snapshot) -> Iterator[Member]:
    """Yield everything that a snapshot holds; raises Damaged."""
    yield from _part(source, PALACE, snapshot.root, snapshot.owner)
    for part in snapshot.outside:
        name = part.name.encode()
        check_name(name, "the snapshot")
        yield from _part(source, OUTSIDE + b"/" + name, part.root, part.owner)


def _part(source: Source, base: bytes, root: Entry, owner: Owner) -> Iterator[Member]:
    yield Member(base, root, owner)
    for item in walk(source, root.tree):
        entry, path = item.entry, base + b"/" + item.path
        if not entry.link:
            yield Member(path, entry, item.owner, item)
            continue
        own = not _is_hard_link(source, root, item)
        yield Member(path, entry, item.owner, item, base + b"/" + entry.link, own)


def _is_hard_link(source: Source, root: Entry, item: Item) -> bool:
    """Whether a file's first name was captured as it was, and comes before it in the archive."""
    link = item.entry.link
    if link.split(b"/") >= item.path.split(b"/"):
        return False
    try:
        first = find(source, root.tree, link)
    except (PathNotFound, Malformed):
        return False
    return not first.entry.link and is_same_file(source, first, item)
