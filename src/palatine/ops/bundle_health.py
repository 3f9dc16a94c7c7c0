"""What SQLite says of the databases in a bundle: as they pass, or of another tool's as they lie."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from palatine.bundle.native.matching import Arrived
from palatine.model.snapshot import Health
from palatine.ops import health


class Databases:
    """Copies databases aside and has SQLite check each; what it said are sentences."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._image = scratch / "image.db"
        self.sound = 0
        self.damage: list[str] = []
        self.unchecked: list[str] = []

    def through(self, entries: Iterator[Arrived]) -> Iterator[Arrived]:
        """Yield the entries; each database is checked when the next is asked for."""
        file: IO[bytes] | None = None
        path = b""
        try:
            for one in entries:
                if file is not None:
                    file.close()
                    self._judge(self._image, path)
                    file = None
                if one.content and one.content.head(len(health.MAGIC)) == health.MAGIC:
                    path, file = one.path, self._image.open("wb")
                    one.content.tap(file.write)
                yield one
            if file is not None:
                file.close()
                self._judge(self._image, path)
                file = None
        finally:
            if file is not None:
                file.close()

    def below(self, palace: Path) -> None:
        """Check the databases of a palace that was unpacked: a directory, or a single database."""
        from palatine.bundle.formats.databases import copy_whole, is_sqlite, make_single
        from palatine.bundle.formats.walking import Kind, walk

        found = [(os.fsencode(palace.name), palace)]
        if palace.is_dir():
            found = [(one.path, one.place) for one in walk(palace) if one.kind is Kind.FILE]
        for path, place in found:
            if not is_sqlite(place):
                continue
            with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
                copy = Path(scratch) / "image.db"
                copy_whole(place, copy)
                try:
                    make_single(copy)  # what lies in a WAL or a journal beside it is a part of it
                except sqlite3.Error as error:
                    self.damage.append(f"SQLite says of {_shown(path)}: {error}")
                else:
                    self._judge(copy, path)

    def _judge(self, image: Path, path: bytes) -> None:
        verdict = health.quick_check(image)
        if verdict.health == Health.SOUND:
            self.sound += 1
        elif verdict.health == Health.DAMAGED:
            self.damage.append(f"SQLite says of {_shown(path)}: {verdict.words}")
        else:
            self.unchecked.append(f"{_shown(path)} cannot be checked: {verdict.words}")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
