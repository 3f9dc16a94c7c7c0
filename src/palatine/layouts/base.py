"""What a layout is: how one family of palaces is recognised, found, named, and counted.

A layout looks at names and small JSON files only. It opens no database of a living palace: whoever
opens one leaves sidecars behind, and whoever closes a descriptor may drop another's locks.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from palatine.errors import SourceError
from palatine.layouts.merging import IndexOf, Table, Treatment

JSON_MAX = 1 << 20
"""A palace's own JSON files are small: a larger one is none of them."""
DEPTH = 4
"""How far below a data root palaces are looked for."""
_SET_ASIDE = re.compile(r"\.(backup|old)$|\.pre-(migrate|rebuild|restore)|-pre-restore-|\.outside$")
_NEVER = {".git", "node_modules", "__pycache__"}


class OutsidePart(NamedTuple):
    """A part of a palace that lives elsewhere: its name in snapshots, and its place, which exists.

    A place is a directory, or a file (in a snapshot: a tree of that one file).
    """

    name: str
    place: Path


class Identity(Enum):
    """What makes a palace this one and no other."""

    NAME = "name"
    """What the system calls the palace, or whoever's memory it is."""
    PLACE = "place"
    """The absolute path of its directory."""


class Held(NamedTuple):
    """Where a palace holds its own name or place: a renamed copy has another value there.

    `key` is a top-level key of the JSON file at `path` or, with `database`, the name of a column
    of the SQLite database there, in whatever tables have it.
    """

    path: bytes
    key: str
    what: Identity
    database: bool = False


class Image(Protocol):
    """A captured palace, to count in: paths are its own, or `@NAME/…` in its outside parts."""

    def files(self, directory: bytes = b"") -> Iterator[bytes]:
        """Yield the paths of the files directly in a directory; none if it is not there."""

    def walk(self) -> Iterator[bytes]:
        """Yield the paths of all files of the palace, outside parts left out."""

    def read(self, path: bytes) -> bytes | None:
        """Return a small file's bytes, or None when there is no such file."""

    def database(self, path: bytes) -> AbstractContextManager[sqlite3.Connection | None]:
        """Open a copy of a database, to be read; None when there is no such file."""


class Layout(ABC):
    """One family of palaces. Only `name` and `recognise` are needed, the rest has defaults."""

    name: str
    """What snapshots say, and what people write: lower case."""

    @abstractmethod
    def recognise(self, path: Path) -> bool:
        """Whether a path, which somebody named, is a palace of this family."""

    def find_in(self, directory: Path) -> Iterator[Path]:
        """Yield what a search takes of a directory: itself if it is a palace, or files in it."""
        if self.recognise(directory):
            yield directory

    def is_home(self, directory: Path) -> bool:
        """Whether a directory is where the system keeps its palaces, beside things of its own.

        A search takes nothing in it for a palace but what a layout recognises.
        """
        return False

    def find(self, root: Path) -> Iterator[Path]:
        """Yield the palaces of this family at and below a directory."""
        return search(root, lambda directory: list(self.find_in(directory)))

    def palace_name(self, path: Path) -> str | None:
        """Return the name the palace gives itself, or None: then its place names it."""
        return None

    def against_name(self, name: str) -> str | None:
        """Return what a palace's name would have to be for the system, None: it may be this one."""
        return None

    def identity(self) -> Sequence[Held]:
        """Return where palaces hold their own name and place, the chief name first."""
        return ()

    def outside(self, path: Path) -> list[OutsidePart]:
        """Return the parts that are there now and live outside of the palace."""
        return []

    def artifact_kind(self, path: bytes) -> str | None:
        """Return what a path of the palace is (`@NAME/…` in outside parts), None: nothing special.

        Asked for what lies directly in the palace, for databases and for outside parts.
        """
        return None

    def is_derived(self, path: bytes) -> bool:
        """Whether the system can make the file anew from the rest."""
        return False

    def counts(self, image: Image) -> dict[str, int]:
        """Return how many entries of each sort there are, as the system itself counts them."""
        return {}

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """Return what a merge has to know of the tables of a database beyond their schema."""
        return {}

    def merge_file(self, path: bytes) -> Treatment:
        """Return how a merge treats a file, or a directory with all that is in it.

        Not asked for databases, unless they are to be treated as whole files.
        """
        if any(one.path == path for one in self.identity() if not one.database):
            return Treatment.OWN
        kind = self.artifact_kind(path)
        if kind == "set-aside":
            return Treatment.WHOLE
        if kind == "vector-index" or self.is_derived(path):
            return Treatment.INDEX
        return Treatment.MERGE

    def index_of(self, path: bytes) -> IndexOf | None:
        """Return what has to be in a merged database for an index of theirs to be right here."""
        return None


def search(root: Path, look: Callable[[Path], list[Path]], depth: int = DEPTH) -> Iterator[Path]:
    """Yield what `look` finds at and below a directory, in order of names.

    What lies inside a palace is part of it, and copies that tools set aside are none.
    """
    found = look(root)
    yield from found
    if root in found or not depth:
        return
    for below in directories(root):
        yield from search(below, look, depth - 1)


def directories(root: Path) -> list[Path]:
    """Return the directories in a directory that may be palaces or lead to some, sorted.

    What cannot be listed has none that could be captured.
    """
    try:
        with os.scandir(root) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [root / name for name in sorted(names) if name not in _NEVER and not _is_aside(name)]


def _is_aside(name: str) -> bool:
    return bool(_SET_ASIDE.search(name)) or ".pal-restore-" in name


def has_file(directory: Path, *names: str) -> bool:
    """Whether any of these names is a regular file in a directory."""
    return any(os.path.isfile(directory / name) for name in names)


def read_json(path: Path) -> Any:
    """Return a small JSON file's value, or None when there is none that can be read."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > JSON_MAX:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def json_list(image: Image, path: bytes, key: str = "") -> list[Any] | None:
    """Return a JSON file's list (of an object: the one at `key`), None when there is none.

    Raises SourceError for what is no JSON.
    """
    data = image.read(path)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{os.fsdecode(path)!r} is no JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get(key)
    return value if isinstance(value, list) else None


def part_file(image: Image, name: str) -> bytes:
    """Return the path of the file that an outside part consists of, whatever it is called there."""
    directory = b"@" + name.encode()
    return next(image.files(directory), directory + b"/")


def query_counts(image: Image, path: bytes, queries: Mapping[str, str]) -> dict[str, int]:
    """Return what each query counts in a database; what has no table there has no count.

    Raises SourceError for a database that cannot be read: damaged, or encrypted.
    """
    counts: dict[str, int] = {}
    with image.database(path) as database:
        if database is None:
            return counts
        for name, query in queries.items():
            try:
                ((counts[name],),) = database.execute(query).fetchall()
            except sqlite3.DatabaseError as error:
                if "no such table" in str(error) or "no such column" in str(error):
                    continue
                raise SourceError(f"{os.fsdecode(path)!r} cannot be counted: {error}") from error
    return counts
