"""The tables of a database as its schema has them: columns, keys, and which can be merged at all.

A virtual table's own tables ("shadow tables") are its module's business. They are known by their
names, also when the module is not here: then SQLite itself cannot tell.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from palatine.layouts.merging import Reference

_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+(\w+)", re.IGNORECASE | re.DOTALL)
_CONTENT = re.compile(
    r"""\bcontent\s*=\s*(?:'([^']*)'|"([^"]*)"|\[([^]]*)\]|([^,\s)]*))""", re.IGNORECASE
)
_FULL_TEXT = ("fts3", "fts4", "fts5")
_SHADOWS = {
    **dict.fromkeys(("fts3", "fts4"), ("content", "segments", "segdir", "docsize", "stat")),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
    "geopoly": ("node", "parent", "rowid"),
}
_ROWID = ("rowid", "oid", "_rowid_")


class Column(NamedTuple):
    """A column: its default as SQL, its place in the primary key (from 1; 0: none).

    `generated`: nobody writes to it.
    """

    default: str | None
    key: int
    generated: bool


@dataclass(frozen=True)
class Shape:
    """One table. `locator` are the columns that find a row again: its rowid or its primary key.

    `number` is the INTEGER PRIMARY KEY, `unique` are the sets of columns that indexes keep unique
    (the primary key too). Columns are named as `folded` has them, the table as its schema does.
    """

    name: str
    columns: Mapping[str, Column]
    locator: tuple[str, ...]
    number: str
    unique: tuple[tuple[str, ...], ...]
    references: Mapping[str, Reference]

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return _primary_key(self.columns)

    def is_unique(self, columns: tuple[str, ...]) -> bool:
        """Whether an index sees to it that no two rows are equal in these columns."""
        return any(set(unique) <= set(columns) for unique in self.unique)


class FullText(NamedTuple):
    """A full-text index over another table's content."""

    name: str
    content: str


class Opaque(NamedTuple):
    """A virtual table that cannot be written to here: its module is missing, or keeps no rows."""

    name: str
    module: str


@dataclass(frozen=True)
class Schema:
    """The tables of one database, by their names in lower case."""

    tables: Mapping[str, Shape]
    full_text: tuple[FullText, ...]
    opaque: tuple[Opaque, ...]
    triggers: tuple[tuple[str, str], ...]
    """Table (lower case) and SQL of each trigger."""


def read_schema(db: sqlite3.Connection, schema: str) -> Schema:
    """Read the schema of an attached database; raises sqlite3.Error."""
    rows = db.execute(
        f"SELECT type, name, tbl_name, coalesce(sql, '') FROM {schema}.sqlite_master ORDER BY name"
    ).fetchall()
    tables = {name: sql for kind, name, _, sql in rows if kind == "table"}
    virtual = {
        name: match[1].lower() for name, sql in tables.items() if (match := _VIRTUAL.match(sql))
    }
    known = {row[0].lower() for row in db.execute("PRAGMA module_list")}
    shapes, full_text, opaque = {}, [], []
    for name, sql in tables.items():
        if name.lower().startswith("sqlite_") or _is_shadow(name, virtual, known):
            continue
        module = virtual.get(name)
        content = _content(sql) if module in _FULL_TEXT else None
        if module is None or (module in _FULL_TEXT and module in known and content is None):
            shapes[name.lower()] = _shape(db, schema, name)
        elif module in known and content:
            full_text.append(FullText(name, content))
        else:
            opaque.append(Opaque(name, module))
    triggers = tuple((table.lower(), sql) for kind, _, table, sql in rows if kind == "trigger")
    return Schema(shapes, tuple(full_text), tuple(opaque), triggers)


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever is in it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def folded(name: str) -> str:
    """Return a name as SQLite compares it: capital letters of ASCII are small ones."""
    return "".join(one.lower() if one.isascii() else one for one in name)


def _is_shadow(name: str, virtual: Mapping[str, str], known: set[str]) -> bool:
    for owner, module in virtual.items():
        if not folded(name).startswith(folded(owner) + "_"):
            continue
        suffix = folded(name)[len(owner) + 1 :]
        if module not in known or suffix in _SHADOWS.get(module, (suffix,)):
            return True
    return False


def _content(sql: str) -> str | None:
    """Return whose content a full-text table indexes: another table's, nobody's (""), its own."""
    match = _CONTENT.search(sql)
    return None if match is None else next((one for one in match.groups() if one is not None), "")


def _shape(db: sqlite3.Connection, schema: str, name: str) -> Shape:
    columns, integers = {}, set()
    for _, column, declared, _, default, key, hidden in db.execute(
        f"PRAGMA {schema}.table_xinfo({quoted(name)})"
    ):
        if hidden != 1:  # 1: a virtual table's own; 2 and 3: generated
            columns[folded(column)] = Column(default, key, hidden != 0)
            if declared.upper() == "INTEGER":
                integers.add(folded(column))
    primary = _primary_key(columns)
    rowid = _rowid(db, schema, name, columns)
    number = primary[0] if rowid and len(primary) == 1 and primary[0] in integers else ""
    unique: list[tuple[str, ...]] = [(number,)] if number else []
    unique += _unique(db, schema, name)
    locator = (rowid,) if rowid else primary
    references = dict(_references(db, schema, name))
    return Shape(name, columns, locator, number, tuple(unique), references)


def _primary_key(columns: Mapping[str, Column]) -> tuple[str, ...]:
    return tuple(
        name for _, name in sorted((one.key, name) for name, one in columns.items() if one.key)
    )


def _rowid(db: sqlite3.Connection, schema: str, name: str, columns: Mapping[str, Column]) -> str:
    """Return a name of the rowid that no column has; nothing for a table WITHOUT ROWID."""
    free = next((one for one in _ROWID if one not in columns), None)
    if free is None:
        raise sqlite3.DataError(f"the rows of {name!r} cannot be told apart")
    try:
        db.execute(f"SELECT {free} FROM {schema}.{quoted(name)} LIMIT 0").fetchall()
    except sqlite3.OperationalError as error:
        if "no such column" in str(error):
            return ""
        raise
    return free


def _unique(db: sqlite3.Connection, schema: str, name: str) -> Iterator[tuple[str, ...]]:
    indexes = db.execute(f"PRAGMA {schema}.index_list({quoted(name)})").fetchall()
    for _, index, unique, _, partial in indexes:
        if not unique or partial:
            continue
        parts = db.execute(f"PRAGMA {schema}.index_info({quoted(index)})").fetchall()
        names = [row[2] for row in parts]
        if all(isinstance(one, str) for one in names):  # an expression has no name
            yield tuple(folded(one) for one in names)


def _references(db: sqlite3.Connection, schema: str, name: str) -> Iterator[tuple[str, Reference]]:
    rows = db.execute(f"PRAGMA {schema}.foreign_key_list({quoted(name)})").fetchall()
    wide = {row[0] for row in rows if row[1] > 0}
    for number, _, table, column, to, *_ in rows:
        if number not in wide:  # of several columns together nothing can be followed
            yield folded(column), Reference(table, to or "")
