"""A snapshot as layouts count in it: its files, and copies of its databases to open."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from palatine.errors import PathNotFound
from palatine.ids import ObjectId
from palatine.layouts.base import JSON_MAX
from palatine.model.snapshot import Snapshot
from palatine.model.tree import EntryKind
from palatine.store.trees import Item, Source, children, file_bytes, find, walk

_READ_MAX = 64 * JSON_MAX


class SnapshotImage:
    """What a snapshot holds, read from where its objects are. Nothing of it is the live palace."""

    def __init__(self, source: Source, snapshot: Snapshot) -> None:
        self._source = source
        self._snapshot = snapshot

    def files(self, directory: bytes = b"") -> Iterator[bytes]:
        """Yield the paths of the files directly in a directory; none if it is not there."""
        place = self._snapshot.resolve(directory)
        tree = place.root.tree
        if place.inner:
            item = self._find(tree, place.inner)
            if item is None or item.entry.kind != EntryKind.DIRECTORY:
                return
            tree = item.entry.tree
        prefix = directory + b"/" if directory else b""
        for item in children(self._source, tree, prefix):
            if item.entry.kind == EntryKind.FILE:
                yield item.path

    def walk(self) -> Iterator[bytes]:
        """Yield the paths of all files of the palace, outside parts left out."""
        for item in walk(self._source, self._snapshot.root.tree):
            if item.entry.kind == EntryKind.FILE:
                yield item.path

    def read(self, path: bytes) -> bytes | None:
        """Return a small file's bytes, or None when there is no such file."""
        item = self._file(path)
        if item is None or item.entry.size > _READ_MAX:
            return None
        return b"".join(file_bytes(self._source, item))

    @contextlib.contextmanager
    def database(self, path: bytes) -> Iterator[sqlite3.Connection | None]:
        """Open a copy of a database, to be read; None when there is no such file."""
        item = self._file(path)
        if item is None:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="palatine-") as scratch:
            copy = Path(scratch) / "image"
            with copy.open("wb") as file:
                for data in file_bytes(self._source, item):
                    file.write(data)
            uri = f"file:{quote(str(copy))}?immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                yield connection

    def _file(self, path: bytes) -> Item | None:
        place = self._snapshot.resolve(path)
        item = self._find(place.root.tree, place.inner)
        return item if item is not None and item.entry.kind == EntryKind.FILE else None

    def _find(self, tree: ObjectId, path: bytes) -> Item | None:
        try:
            return find(self._source, tree, path)
        except PathNotFound:
            return None
