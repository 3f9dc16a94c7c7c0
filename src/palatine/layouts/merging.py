"""What a merge has to know of a family's tables and files, beyond what their schema says.

Rows are told by natural keys: a number that a database gave a row means nothing in another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Owned(NamedTuple):
    """Rows of another table that are part of a row: their `column` holds its `number`.

    They are compared, taken and removed with it, never alone. `column` may be `rowid`.
    """

    table: str
    column: str
    number: str


class OnlyOne(NamedTuple):
    """At most one row of equal `columns` may have NULL in `ends`: the one that still holds.

    Where theirs shall win, ours ends when theirs began: `ends` gets the other row's `begins`.
    """

    columns: tuple[str, ...]
    ends: str
    begins: str


class Reference(NamedTuple):
    """A row of another table that a column speaks of."""

    table: str
    column: str


@dataclass(frozen=True)
class Table:
    """What is known of one table. Without anything its schema is all there is to go by.

    `key`: the columns that say which row is meant; None: as the schema has it; empty: all columns.
    `local`: columns that mean something in one palace only. They are not compared, and a new row
    gets the value of the SQL expression, or for None the one it had (for an INTEGER PRIMARY KEY: a
    new number). `named`: columns that hold the palace's own name. `references`: columns that hold
    a key, or a local value, of another table. `greatest`: columns that only grow: they make no
    difference, and the greater value is kept. `own`: the whole table means something in one palace
    only, and is left alone.
    """

    key: tuple[str, ...] | None = None
    local: Mapping[str, str | None] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    references: Mapping[str, Reference] = field(default_factory=dict)
    owned: tuple[Owned, ...] = ()
    only_one: OnlyOne | None = None
    greatest: frozenset[str] = frozenset()
    own: bool = False


class IndexOf(NamedTuple):
    """A row that an index belongs to: the database's path, a query that finds the row, its values.

    An index that is missing here is taken as it is when its row came with the merge.
    """

    database: bytes
    query: str
    values: tuple[object, ...]


class Treatment(Enum):
    """How a merge treats a file that both sides have, and that is no SQLite database."""

    MERGE = "merge"
    """As its content allows: a JSON list item by item, anything else whole."""
    NAMES = "names"
    """A JSON object: name by name, and lists in it item by item."""
    WHOLE = "whole"
    """Whole, whatever its content is, also a database: a copy that was set aside."""
    OWN = "own"
    """It is this palace's alone: left as it is, and nobody is told."""
    INDEX = "index"
    """It is an index of the rest, and two of them cannot be merged: left, and told to be stale."""


OWN = Table(own=True)
"""A table that is left alone."""

MIGRATIONS = frozenset(
    {
        "schema_version", "schema_migrations", "schema_info", "migrations", "_migrations",
        "_sqlx_migrations", "__diesel_schema_migrations", "refinery_schema_history",
        "alembic_version", "goose_db_version", "knex_migrations", "flyway_schema_history",
    }
)  # fmt: skip
"""Tables that say which schema a database has. That is so for this database, whatever is merged."""
