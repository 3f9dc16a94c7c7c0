"""What a git repository in a snapshot says: its HEAD and where its refs point.

Two repositories that say the same hold the same history, however it is packed.
"""

from __future__ import annotations

from palatine.errors import PathNotFound
from palatine.ids import ObjectId
from palatine.model.tree import EntryKind
from palatine.store.trees import Item, Source, file_bytes, find, walk

_MOST = 16 << 20
"""Bytes of packed refs beyond which a repository counts as one that says something else."""


def refs(source: Source, item: Item) -> dict[bytes, bytes]:
    """Return HEAD and the refs of a `.git`; of a file, or of what is none, its bytes."""
    if item.entry.kind != EntryKind.DIRECTORY:
        return {b"": item.entry.target or _read(source, item)}
    found: dict[bytes, bytes] = {}
    tree = item.entry.tree
    for line in _file(source, tree, b"packed-refs").splitlines():
        value, _, name = line.partition(b" ")
        if name and not line.startswith((b"#", b"^")):
            found[name] = value
    try:
        below = find(source, tree, b"refs")
    except PathNotFound:
        below = None
    if below is not None and below.entry.kind == EntryKind.DIRECTORY:
        for one in walk(source, below.entry.tree, b"refs/"):
            if one.entry.kind == EntryKind.FILE:
                found[one.path] = _read(source, one).strip()
    found[b"HEAD"] = _file(source, tree, b"HEAD").strip()
    return found


def _file(source: Source, tree: ObjectId, name: bytes) -> bytes:
    try:
        item = find(source, tree, name)
    except PathNotFound:
        return b""
    return _read(source, item) if item.entry.kind == EntryKind.FILE else b""


def _read(source: Source, item: Item) -> bytes:
    if item.entry.size > _MOST:
        return b"".join(part.id for part in item.entry.parts)
    return b"".join(file_bytes(source, item))
