"""A palace's own name and place: what a copy with a new name has of its own, and what leads astray.

A restored palace is what was captured, byte for byte, unless it is given a new name: then it is
changed where its layout says that it holds its name or its place, before anybody can see it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from palatine.errors import Refused, SourceError
from palatine.layouts.base import Held, Identity, Image
from palatine.restore import columns
from palatine.restore.inplace import read_small, regular_file, writable
from palatine.restore.jsontext import strings, with_strings

Read = Callable[[bytes], bytes | None]
"""Returns a small file's bytes by its path (`@NAME/…` in outside parts), None: no such file."""

Open = Callable[[Held], AbstractContextManager[sqlite3.Connection | None]]
"""Opens a database that holds a name, to be read; None when there is no such file."""


@dataclass(frozen=True)
class Renamed:
    """A name or a place that was changed; `rows` of a database, None for a JSON file."""

    path: bytes
    key: str
    old: str
    new: str
    rows: int | None = None


@dataclass(frozen=True)
class Elsewhere:
    """A place that a palace holds and that is not its own."""

    path: bytes
    key: str
    place: str


class Identities:
    """What is changed for a new name, and to what; `changed` tells what was.

    `old_names` are those by which rows of databases may know the palace, the likeliest first.
    """

    def __init__(self, held: Sequence[Held], name: str, place: str, old: Sequence[str]) -> None:
        self.changed: list[Renamed] = []
        self._held = held
        self._new = {Identity.NAME: name, Identity.PLACE: place}
        self._old = old

    def put(self, root: Path, prefix: bytes = b"") -> None:
        """Change the files below a private directory: the palace's, or (`@NAME/`) a part's.

        Metadata stay, save the time of a changed file. Symlinks are not followed. Raises
        SourceError, Refused.
        """
        mine = [one for one in self._held if _is_below(one.path, prefix)]
        for path in dict.fromkeys(one.path for one in mine if not one.database):
            if file := regular_file(root, path.removeprefix(prefix)):
                keys = {one.key: one for one in mine if one.path == path and not one.database}
                self._put_strings(path, file, keys)
        self._put_columns(mine, lambda one: regular_file(root, one.path.removeprefix(prefix)))

    def _put_strings(self, path: bytes, file: Path, keys: dict[str, Held]) -> None:
        with writable(file):
            self._edit(path, file, keys)

    def _edit(self, path: bytes, file: Path, keys: dict[str, Held]) -> None:
        data = read_small(file)
        present = {key: old for key, old in _strings(path, data).items() if key in keys}
        new = {key: self._new[keys[key].what] for key in present}
        changed = with_strings(data, new)
        if changed == data:
            return
        with file.open("r+b") as out:
            out.write(changed)
            out.truncate()
        self.changed += [
            Renamed(path, key, _readable(old), new[key])
            for key, old in present.items()
            if old != new[key]
        ]

    def _put_columns(self, mine: Sequence[Held], file_of: Callable[[Held], Path | None]) -> None:
        @contextlib.contextmanager
        def opened(one: Held) -> Iterator[sqlite3.Connection | None]:
            file = file_of(one)
            if file is None:
                yield None
                return
            with writable(file), columns.looked_at(file) as db:
                yield db

        for one, change in self._columns(mine, opened):
            file = file_of(one)
            assert file is not None
            with _sound(one), writable(file):
                columns.rename(file, one.key, change.old, change.new)
            self.changed.append(change)

    def preview(self, image: Image, chosen: Callable[[bytes], bool]) -> list[Renamed]:
        """Return what `put` would change in a snapshot, of the paths that are chosen.

        Raises what it would raise.
        """
        found = []
        mine = [one for one in self._held if chosen(one.path)]
        for one in mine:
            if one.database:
                continue
            new = self._new[one.what]
            old = _strings(one.path, image.read(one.path) or b"{}").get(one.key)
            if old is not None and old != new:
                found.append(Renamed(one.path, one.key, _readable(old), new))
        changes = self._columns(mine, lambda one: image.database(one.path))
        return [*found, *(change for _, change in changes)]

    def _columns(self, mine: Sequence[Held], opened: Open) -> list[tuple[Held, Renamed]]:
        """Return what is to be changed in databases: one name in all that have a column.

        Of the old names the first that occurs in any of them. Raises Refused where the new one
        does: its rows would become one with these.
        """
        found = []
        for key, what in dict.fromkeys((one.key, one.what) for one in mine if one.database):
            new, seen = self._new[what], {}
            for one in mine:
                if one.database and one.key == key:
                    with _sound(one), opened(one) as db:
                        if db is not None:
                            seen[one] = columns.look(db, key, {*self._old, new})
            occurring = {name for here in seen.values() for name in here.rows}
            old = next((name for name in self._old if name in occurring), None)
            if old is None or old == new:
                continue
            for one, here in seen.items():
                _check(one, here, old, new)
                if old in here.rows:
                    found.append((one, Renamed(one.path, key, old, new, here.rows[old])))
        return found


def _check(one: Held, here: columns.Seen, old: str, new: str) -> None:
    called = os.fsdecode(one.path)
    if new in here.rows:
        raise Refused(
            f"{called!r} has rows of the {one.key} {new!r} already: those of {old!r} would become"
            " one with them",
            "choose another name",
        )
    if here.opaque is not None:
        raise Refused(
            f"the table {here.opaque!r} of {called!r} has a column {one.key} that nothing here can"
            " change",
            "restore without another name",
        )


@contextlib.contextmanager
def _sound(one: Held) -> Iterator[None]:
    """Tell what SQLite says against a database as an error of what was captured."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(
            f"the {one.key} in {os.fsdecode(one.path)!r} cannot be changed: {error}",
            "restore without another name",
        ) from error


def _strings(path: bytes, data: bytes) -> dict[str, str]:
    try:
        return strings(data)
    except ValueError as error:
        raise SourceError(
            f"{os.fsdecode(path)!r} cannot be changed: {error}", "restore without another name"
        ) from error


def names_in(held: Sequence[Held], read: Read) -> list[str]:
    """Return the names that a palace gives itself in JSON files, the chief one first."""
    found = [_string(one, read) for one in held if one.what == Identity.NAME]
    return [name for name in found if name is not None and _readable(name) == name]


def elsewhere(held: Sequence[Held], read: Read, place: Path) -> list[Elsewhere]:
    """Return the absolute paths by which a palace at `place` names another one as its own."""
    found = []
    for one in held:
        value = _string(one, read) if one.what == Identity.PLACE else None
        if value is not None and not _leads_to(value, place):
            found.append(Elsewhere(one.path, one.key, _readable(value)))
    return found


def _readable(text: str) -> str:
    """Return a JSON string as text that can be written: half a surrogate pair cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def _string(one: Held, read: Read) -> str | None:
    try:
        return strings((None if one.database else read(one.path)) or b"{}").get(one.key)
    except ValueError:
        return None  # it says nothing that anybody could follow


def _leads_to(value: str, place: Path) -> bool:
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        return True  # to wherever the system is started
    try:
        return os.path.realpath(path) == os.path.realpath(place)
    except ValueError:
        return False  # no path at all


def _is_below(path: bytes, prefix: bytes) -> bool:
    return path.startswith(prefix) if prefix else not path.startswith(b"@")
