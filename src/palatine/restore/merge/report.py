"""What a merge tells: counts for each table and JSON list, files, conflicts, stale indexes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

Winner = Literal["ours", "theirs", ""]
"""Whose way a conflict went: because somebody chose, or (empty) ours because nobody did."""


class Why(StrEnum):
    """Why something is a conflict. These words are a promise to programs."""

    BOTH = "both-changed"
    """Both sides have it, with other content, and not only one of them changed it."""
    REMOVED_THERE = "changed-here-removed-there"
    REMOVED_HERE = "removed-here-changed-there"
    UNIQUE = "unique"
    """Another row here has what may be there only once."""
    ONLY_ONE = "only-one"
    """Another row here holds already, and only one of them may."""
    REFERS = "refers-to-missing"
    """It speaks of something that is not here."""
    REFERRED = "referred-to"
    """It was removed there, but something here speaks of it."""
    CONSTRAINT = "constraint"
    """The database here does not take it."""
    SCHEMA = "schema"
    """The database here has no place for it."""
    UNREADABLE = "unreadable"
    """A file is not what its name says, on one of the sides."""
    KIND = "kind"
    """A file on one side, a directory or a link on the other."""
    GIT = "git"
    """A git repository on both sides: git merges those."""
    DATABASE = "database"
    """A database that was removed there, or that has something in its way here."""
    MEANWHILE = "changed-meanwhile"
    """It was changed here while the merge was under way."""


class Conflict(msgspec.Struct, frozen=True):
    """Something that could not be merged: where, which row or item (empty: all of it), and why.

    `path` is the file's, `@NAME/…` in outside parts; `table` is empty for what is no database.
    `words` say more, for people. `won` tells which side it was decided for, if it was.
    """

    path: bytes
    table: str
    key: str
    why: str
    words: str = ""
    won: Winner = ""


class Stale(NamedTuple):
    """An index that no longer fits what it is made from: its path, and the table in it, if any."""

    path: bytes
    table: str = ""


@dataclass
class Counts:
    """What happened to the rows of a table, or the items of a JSON list.

    `kept` are those here that stay as they are, `conflicting` those of which both sides want
    something else, however it was decided.
    """

    path: bytes
    table: str
    added: int = 0
    kept: int = 0
    updated: int = 0
    removed: int = 0
    conflicting: int = 0

    def update(self, count: int) -> None:
        """Count rows here that became what theirs are."""
        self.updated += count
        self.kept -= count

    def remove(self, count: int) -> None:
        """Count rows here that went."""
        self.removed += count
        self.kept -= count

    @property
    def changed(self) -> int:
        """How many rows are not what they were."""
        return self.added + self.updated + self.removed


class Conflicts:
    """Conflicts in the order in which they were found: however many, they lie on disk."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the report
        self._count = 0
        self._left = 0

    def add(self, conflict: Conflict) -> None:
        """Add one."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(msgspec.json.encode(conflict) + b"\n")
        self._count += 1
        self._left += not conflict.won

    def __len__(self) -> int:
        return self._count

    @property
    def left(self) -> int:
        """How many nobody decided: ours stayed."""
        return self._left

    def __iter__(self) -> Iterator[Conflict]:
        at = 0
        while True:
            self._file.seek(at)
            line = self._file.readline()
            if not line:
                return
            at += len(line)
            yield msgspec.json.decode(line, type=Conflict)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __del__(self) -> None:
        self.close()


@dataclass
class Report:
    """What a merge did, or would do. Files: what is no database and no list merged by items.

    Of a directory that is new as a whole only its own path is told, with a slash behind it. `files`
    are how many are written whole, `size` their bytes. `notes` are sentences on differences that
    are no conflicts. `longest_lock` is for how many seconds databases were kept from other writers.
    """

    counts: list[Counts] = field(default_factory=list)
    added: list[bytes] = field(default_factory=list)
    updated: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    conflicts: Conflicts = field(default_factory=Conflicts)
    stale: list[Stale] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0
    longest_lock: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything is not what it was."""
        return bool(
            self.added or self.updated or self.removed or any(one.changed for one in self.counts)
        )
