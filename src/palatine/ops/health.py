"""What SQLite says of the databases of a snapshot: `quick_check` on the images just captured.

An image is put together from the repository's objects, so what is checked is what was stored. A
verdict is about bytes: a database that has not changed keeps the one it had.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from palatine.errors import PathNotFound
from palatine.model.snapshot import Health, Snapshot
from palatine.store.repository import Repository
from palatine.store.trees import Item, file_bytes, find

MAGIC = b"SQLite format 3\0"
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WORDS = 300
"""Characters of SQLite's verdict that are told."""


class Verdict(NamedTuple):
    """How sound a database is, and what SQLite said of one that is not, or cannot be checked."""

    health: Health
    words: str = ""


class Known(NamedTuple):
    """What is known before a check: the parent snapshot; `again`: check all the same."""

    parent: Snapshot | None
    again: bool


def judged(
    repository: Repository, made: Snapshot, known: Known, databases: Collection[bytes], check: bool
) -> Snapshot:
    """Return a snapshot with the health of its databases: without `check`, what is known."""
    checker = _Checker(repository, made, known.parent)
    artifacts = []
    for one in made.artifacts:
        health = Health.UNKNOWN
        if one.path in databases:
            health = checker.known(one.path)
            if check and (known.again or health == Health.UNKNOWN):
                health = checker.check(one.path)
        artifacts.append(msgspec.structs.replace(one, health=health))
    return msgspec.structs.replace(made, artifacts=tuple(artifacts))


def is_news(made: Snapshot, parent: Snapshot) -> bool:
    """Whether a check found what the parent does not say of the same databases."""
    known = {one.path: one.health for one in parent.artifacts}
    return any(
        one.health not in (Health.UNKNOWN, known.get(one.path, Health.UNKNOWN))
        for one in made.artifacts
    )


class _Checker:
    def __init__(self, repository: Repository, made: Snapshot, parent: Snapshot | None) -> None:
        self._repository = repository
        self._made = made
        self._parent = parent
        self._verdicts = {one.path: one.health for one in parent.artifacts} if parent else {}

    def known(self, path: bytes) -> Health:
        """Return the verdict on a database that is as it was in the parent."""
        verdict = self._verdicts.get(path, Health.UNKNOWN)
        if verdict == Health.UNKNOWN or self._parent is None:
            return Health.UNKNOWN
        new, old = self._find(self._made, path), self._find(self._parent, path)
        if new is None or old is None:
            return Health.UNKNOWN
        content = [(item.entry.size, item.entry.level, item.entry.parts) for item in (new, old)]
        same = content[0] == content[1]
        if same and new.entry.pooled:
            same = self._bytes(new) == self._bytes(old)
        return verdict if same else Health.UNKNOWN

    def check(self, path: bytes) -> Health:
        """Have SQLite check a database, and tell what is to be told."""
        item = self._find(self._made, path)
        if item is None:
            return Health.UNKNOWN
        name = os.fsdecode(path)
        verdict = self._verdict(item)
        if verdict.health == Health.DAMAGED:
            self._repository.reporter.notice(f"SQLite says of {name}: {verdict.words}")
        elif verdict.health == Health.UNKNOWN:
            self._repository.reporter.notice(f"{name} cannot be checked: {verdict.words}")
        return verdict.health

    def _verdict(self, item: Item) -> Verdict:
        try:
            with tempfile.TemporaryDirectory(prefix="palatine-check-") as scratch:
                image = Path(scratch) / "image.db"
                with image.open("wb") as file:
                    for data in file_bytes(self._repository, item):
                        file.write(data)
                return quick_check(image)
        except OSError as error:
            return Verdict(Health.UNKNOWN, f"no copy can be made: {error.strerror or error}")

    def _find(self, snapshot: Snapshot, path: bytes) -> Item | None:
        place = snapshot.resolve(path)
        try:
            return find(self._repository, place.root.tree, place.inner)
        except PathNotFound:
            return None

    def _bytes(self, item: Item) -> bytes:
        return b"".join(file_bytes(self._repository, item))


def quick_check(image: Path) -> Verdict:
    """Return SQLite's verdict on a file that nobody uses; nothing is left beside it."""
    with image.open("rb") as file:
        if file.read(len(MAGIC)) not in (MAGIC, b""):
            return Verdict(Health.UNKNOWN, "it is encrypted")
    place = f"file:{quote(str(image))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(place, uri=True, isolation_level=None)) as db:
            db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            rows = db.execute("PRAGMA quick_check(10)").fetchall()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        health = Health.DAMAGED if code in _DAMAGE else Health.UNKNOWN
        return Verdict(health, str(error))
    if rows == [("ok",)]:
        return Verdict(Health.SOUND)
    words = "; ".join(" ".join(str(row[0]).split()) for row in rows)
    return Verdict(Health.DAMAGED, words[:_WORDS])
