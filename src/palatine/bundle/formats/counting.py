"""A palace in a directory of ours, for a layout to count in (layouts/base.py, Image)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from palatine.bundle.formats.walking import Kind, walk

_READ_MAX = 64 << 20
_BESIDE = ("-wal", "-journal")


class DirectoryImage:
    """A directory that nobody else uses. Nothing is changed in it."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def files(self, directory: bytes = b"") -> Iterator[bytes]:
        """Yield the paths of the files directly in a directory; none if it is not there."""
        place = self._top / os.fsdecode(directory)
        if directory.startswith(b"@") or place.is_symlink() or not place.is_dir():
            return
        for path in sorted(place.iterdir()):
            if path.is_file() and not path.is_symlink():
                yield os.fsencode(path.relative_to(self._top))

    def walk(self) -> Iterator[bytes]:
        """Yield the paths of all files of the palace."""
        return (item.path for item in walk(self._top) if item.kind is Kind.FILE)

    def read(self, path: bytes) -> bytes | None:
        """Return a small file's bytes, or None when there is no such file."""
        place = self._file(path)
        return None if place is None or place.stat().st_size > _READ_MAX else place.read_bytes()

    @contextlib.contextmanager
    def database(self, path: bytes) -> Iterator[sqlite3.Connection | None]:
        """Open a database with what its WAL holds; None when there is no such file."""
        place = self._file(path)
        if place is None:
            yield None
            return
        if not any(Path(f"{place}{suffix}").exists() for suffix in _BESIDE):
            uri = f"{place.absolute().as_uri()}?immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                yield connection
            return
        with tempfile.TemporaryDirectory(prefix="palatine-") as scratch:
            copy = Path(scratch) / "image"
            for suffix in ("", *_BESIDE):
                beside = Path(f"{place}{suffix}")
                if beside.is_file() and not beside.is_symlink():
                    shutil.copyfile(beside, f"{copy}{suffix}")
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                yield connection

    def _file(self, path: bytes) -> Path | None:
        place = self._top / os.fsdecode(path)
        inside = not path.startswith(b"@")
        return place if inside and place.is_file() and not place.is_symlink() else None
