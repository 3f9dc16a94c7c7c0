"""Secrets in the rows of a database: every text, and every byte string that is or holds text.

What becomes a placeholder in a column that has to be unique gets a number, each secret its own, and
the same wherever else that very value stands: no row is lost, and what referred to it still does.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from palatine.redact.blobs import Hidden, scrub_bytes
from palatine.redact.detectors import names_secret
from palatine.redact.jsontext import numbered, scrub_any
from palatine.redact.rules import MARK
from palatine.redact.scrub import Scrubber, Tally

_BATCH = 4 << 20
"""Characters of changed values held before they are written."""
_TRIES = 1000
_KEY_COLUMNS = ("key", "name", "k")
_VALUE_COLUMN = re.compile(r"(?:\A|_)(?:value|val|v|data|content|text)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"(?<=\])-\d+")
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


class Table(NamedTuple):
    """An ordinary table: `key` are the columns that tell its rows apart, `columns` all others."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    unique: frozenset[str]
    has_rowid: bool


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def read_table(db: sqlite3.Connection, name: str) -> Table:
    """Return what is to be known of a table; raises sqlite3.Error, Hidden."""
    facts = db.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
    every = [row[1] for row in facts]
    stored = tuple(row[1] for row in facts if row[6] in (0, 1))
    primary = tuple(row[1] for row in sorted(facts, key=lambda row: row[5]) if row[5])
    unique = set(primary)
    for row in db.execute(f"PRAGMA index_list({quoted(name)})").fetchall():
        if row[2]:
            parts = db.execute(f"PRAGMA index_info({quoted(row[1])})").fetchall()
            unique |= {part[2] for part in parts if part[2]}
    rowid = _rowid_name(db, name, every)
    key = (rowid,) if rowid else tuple(quoted(one) for one in primary)
    return Table(name, key, stored, frozenset(unique), rowid is not None)


def _rowid_name(db: sqlite3.Connection, name: str, columns: Sequence[str]) -> str | None:
    taken = {one.lower() for one in columns}
    free = [one for one in _ROWID_NAMES if one not in taken]
    if not free:
        raise Hidden(f"has a table {name!r} whose rows cannot be told apart")
    try:
        db.execute(f"SELECT {free[0]} FROM {quoted(name)} LIMIT 0")
    except sqlite3.OperationalError as error:
        if "no such column" in str(error):
            return None
        raise
    return free[0]


class Rows:
    """The rows of a database's tables, scrubbed and written back."""

    def __init__(self, db: sqlite3.Connection, scrubber: Scrubber) -> None:
        """`db` has to return TEXT as `text_of` does; its triggers are taken off."""
        self._db = db
        self._scrubber = scrubber
        self._new_keys: dict[str, str] = {}
        self._taken: set[str] = set()
        self.emptied: Counter[tuple[str, str]] = Counter()
        """Values that could not be read, by place and reason."""

    def scrub(self, tables: Sequence[Table], tally: Tally) -> None:
        """Scrub tables: first what has to be unique, so that what refers to it can follow."""
        for table in tables:
            self._take_note(table)
        for table in tables:
            self._scrub(table, [one for one in table.columns if one in table.unique], tally)
        for table in tables:
            self._scrub(table, [one for one in table.columns if one not in table.unique], tally)

    def _take_note(self, table: Table) -> None:
        """Note what earlier redactions left in columns that have to be unique."""
        for column in (quoted(one) for one in table.columns if one in table.unique):
            sql = f"SELECT {column} FROM {quoted(table.name)} WHERE instr({column}, ?)"
            self._taken.update(row[0] for row in self._db.execute(sql, (MARK,)))

    def _scrub(self, table: Table, columns: Sequence[str], tally: Tally) -> None:
        if not columns:
            return
        naming = [one for one in table.columns if one.lower() in _KEY_COLUMNS]
        after: tuple[Any, ...] | None = None
        while True:
            changes, held = [], 0
            for key, row in rows_after(self._db, table, [*columns, *naming], after):
                after = key
                if new := self._changed(table, row, columns, tally):
                    changes.append((key, new))
                    held += sum(len(one) for one in new.values())
                if held > _BATCH:
                    break
            for key, new in changes:
                self._write(table, key, new)
            if held <= _BATCH:
                return

    def _changed(
        self, table: Table, row: dict[str, Any], columns: Sequence[str], tally: Tally
    ) -> dict[str, Any]:
        found = {}
        names = (row[one] for one in row if one.lower() in _KEY_COLUMNS)
        named = next((one for one in names if isinstance(one, str) and names_secret(one)), "")
        for column in columns:
            new = value = row[column]
            name = named if named and _VALUE_COLUMN.search(column) else column
            if isinstance(value, str):
                new = self._text(value, name, column in table.unique, tally)
            elif isinstance(value, bytes):
                new = self._bytes(value, f"{table.name}.{column}", tally)
            if new != value:
                found[column] = new
        return found

    def _text(self, value: str, name: str, unique: bool, tally: Tally) -> str:
        new = scrub_any(self._scrubber, value, tally, name)
        if new == value:
            return value
        if unique and value not in self._new_keys:
            # From 2 on, so that what referred to a row that is gone does not refer to another now
            self._new_keys[value] = numbered(new, self._taken, 2)
            self._taken.add(self._new_keys[value])
        return self._new_keys.get(value, new)

    def _bytes(self, value: bytes, place: str, tally: Tally) -> bytes:
        try:
            return scrub_bytes(self._scrubber, value, tally)
        except Hidden as reason:
            self.emptied[place, str(reason)] += 1
            return b""

    def _write(self, table: Table, key: tuple[Any, ...], new: dict[str, Any]) -> None:
        for _ in range(_TRIES):
            sets = ", ".join(f"{quoted(one)} = {mark(value)}" for one, value in new.items())
            where = " AND ".join(
                f"{one} = {mark(value)}" for one, value in zip(table.key, key, strict=True)
            )
            # Said aloud, because a constraint may have REPLACE of its own
            sql = f"UPDATE OR ABORT {quoted(table.name)} SET {sets} WHERE {where}"
            values = [bound(one) for one in (*new.values(), *key)]
            try:
                self._db.execute(sql, values)
                return
            except sqlite3.IntegrityError:
                if not self._renumbered(table, new):
                    raise
        raise Hidden(f"has secrets in {table.name!r} that have to stay different")

    def _renumbered(self, table: Table, new: dict[str, Any]) -> bool:
        """Give the unique texts among new values another number; return whether there are any."""
        some = False
        for column, value in new.items():
            if isinstance(value, str) and column in table.unique:
                self._taken.add(value)
                new[column] = numbered(_NUMBER.sub("", value, count=1), self._taken, 2)
                for one in [one for one, was in self._new_keys.items() if was == value]:
                    self._new_keys[one] = new[column]
                some = True
        return some


def rows_after(
    db: sqlite3.Connection, table: Table, columns: Sequence[str], after: tuple[Any, ...] | None
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield the key and the values of the rows behind a key, in the order of keys."""
    key = ", ".join(table.key)
    wanted = ", ".join((*table.key, *(quoted(one) for one in columns)))
    sql = f"SELECT {wanted} FROM {quoted(table.name)}"
    if after is not None:
        sql += f" WHERE ({key}) > ({', '.join(mark(one) for one in after)})"
    sql += f" ORDER BY {key}"
    size = len(table.key)
    for row in db.execute(sql, [bound(one) for one in after or ()]):
        yield row[:size], dict(zip(columns, row[size:], strict=True))


def text_of(data: bytes) -> str:
    """Return the str of a TEXT value, what is no UTF-8 included: a `text_factory`."""
    return data.decode("utf-8", "surrogateescape")


def mark(value: Any) -> str:
    """Return the parameter mark for a value."""
    return "CAST(? AS TEXT)" if isinstance(value, str) and not _sound(value) else "?"


def bound(value: Any) -> Any:
    """Return a value as a parameter."""
    if isinstance(value, str) and not _sound(value):
        return value.encode("utf-8", "surrogateescape")
    return value


def _sound(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)
