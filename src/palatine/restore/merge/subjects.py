"""What is merged of a database, table by table: its schema and what its layout knows, put together.

Tables come in an order in which whatever speaks of another table's rows comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from palatine.layouts.merging import MIGRATIONS, OnlyOne, Owned, Reference, Table
from palatine.restore.merge.report import Why
from palatine.restore.merge.schema import Schema, Shape, folded

OURS, THEIRS, BASE = "main", "theirs", "base"
"""The sides, as SQLite calls the databases that are attached."""


@dataclass(frozen=True)
class Subject:
    """One table to merge. `shapes` by side; the base may lack it.

    `key` are the columns that say which row is meant, none of them where only a row's whole content
    does; `values` the others that are compared. `mapped` are columns whose value means something on
    one side only, and is looked up by the row it speaks of. `owned` tables come with their shapes
    by side. Columns of `known` are folded.
    """

    name: str
    shapes: Mapping[str, Shape]
    key: tuple[str, ...]
    values: tuple[str, ...]
    known: Table
    owned: tuple[tuple[Owned, Mapping[str, Shape]], ...]
    references: Mapping[str, Reference]
    mapped: Mapping[str, Reference]

    @property
    def ours(self) -> Shape:
        """The table as it is here."""
        return self.shapes[OURS]

    @property
    def has_base(self) -> bool:
        """Whether the common ancestor has the table."""
        return BASE in self.shapes

    @property
    def content(self) -> tuple[str, ...]:
        """Every column that is compared."""
        return (*self.key, *self.values)


class Problem(NamedTuple):
    """Why a table is not merged, or not all of it."""

    table: str
    why: Why
    words: str
    columns: tuple[str, ...] = ()
    """It is one only where these columns of theirs hold anything."""


@dataclass
class Subjects:
    """The tables to merge, in order, and what is in the way of others."""

    subjects: list[Subject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def subjects(schemas: Mapping[str, Schema], known: Mapping[str, Table]) -> Subjects:
    """Return what is merged; `schemas` by side, `known` what a layout knows of the tables."""
    found = Subjects()
    knowledge = {folded(name): _folded(one) for name, one in known.items()}
    owned = {folded(one.table) for table in knowledge.values() for one in table.owned}
    candidates: dict[str, Subject] = {}
    for name, theirs in schemas[THEIRS].tables.items():
        table = knowledge.get(name, Table(own=name in MIGRATIONS))
        if table.own or name in owned:
            continue
        ours = schemas[OURS].tables.get(name)
        if ours is None:
            words = f"there is no table {theirs.name!r} here"
            found.problems.append(Problem(theirs.name, Why.SCHEMA, words))
            continue
        key = natural_key(ours) if table.key is None else table.key
        if any(column not in theirs.columns for column in key):
            words = f"the snapshot's table lacks a column of its key, {' and '.join(key)}"
            found.problems.append(Problem(theirs.name, Why.SCHEMA, words))
            continue
        subject = _subject(name, key, _shapes(name, schemas), table, schemas)
        found.problems += _differences(subject)
        candidates[name] = subject
    linked = {name: _linked(one, candidates) for name, one in candidates.items()}
    found.subjects, circular = _ordered(linked)
    for one in circular:
        words = "its rows speak of each other by numbers, which cannot be followed in a circle"
        found.problems.append(Problem(one.ours.name, Why.SCHEMA, words))
    return found


def _subject(
    name: str,
    key: tuple[str, ...],
    shapes: dict[str, Shape],
    table: Table,
    schemas: Mapping[str, Schema],
) -> Subject:
    ours, theirs = shapes[OURS], shapes[THEIRS]
    if BASE in shapes and any(column not in shapes[BASE].columns for column in key):
        del shapes[BASE]
    local = dict(table.local)
    if ours.number and ours.number not in key:
        local.setdefault(ours.number, None)
    apart = {*key, *local, *table.named, *table.greatest}
    values = tuple(
        column
        for column, one in ours.columns.items()
        if column in theirs.columns and not one.generated and column not in apart
    )
    owned = tuple((one, _shapes(folded(one.table), schemas)) for one in table.owned)
    greatest = frozenset(
        column for column in table.greatest if column in ours.columns and column in theirs.columns
    )
    known = replace(table, local=local, greatest=greatest)
    both = tuple((one, of) for one, of in owned if OURS in of and THEIRS in of)
    references = {**ours.references, **table.references}
    return Subject(name, shapes, key, values, known, both, references, {})


def _shapes(name: str, schemas: Mapping[str, Schema]) -> dict[str, Shape]:
    return {side: one.tables[name] for side, one in schemas.items() if name in one.tables}


def natural_key(shape: Shape) -> tuple[str, ...]:
    """Return what tells a table's rows apart that is no number the database gave them."""
    if not shape.number:
        return shape.primary_key
    return next((one for one in shape.unique if shape.number not in one), ())


def _linked(subject: Subject, all_of: Mapping[str, Subject]) -> Subject:
    """Return a subject whose references are resolved: those that stay, those that are mapped."""
    references, mapped = {}, {}
    for column, to in subject.references.items():
        table = folded(to.table)
        parent = all_of.get(table)
        if parent is None or column not in subject.ours.columns:
            continue
        key = natural_key(parent.ours)
        target = folded(to.column) or parent.ours.number or (key[0] if len(key) == 1 else "")
        if target not in parent.ours.columns:
            continue
        references[column] = Reference(table, target)
        if target in parent.known.local:
            mapped[column] = references[column]
    return replace(subject, references=references, mapped=mapped)


def _ordered(all_of: Mapping[str, Subject]) -> tuple[list[Subject], list[Subject]]:
    """Return tables after those they speak of, and those that speak of each other by numbers."""
    left = dict(all_of)
    done: list[Subject] = []
    for strict in (True, False):
        while True:
            free = [
                one for one in left.values()
                if not any(to.table in left and (to.table != one.name or column in one.mapped)
                           for column, to in (one.references if strict else one.mapped).items())
            ]  # fmt: skip
            if not free:
                break
            done += [left.pop(one.name) for one in free]
    return done, list(left.values())


def _differences(subject: Subject) -> Iterator[Problem]:
    """Yield what of theirs has no place here."""
    ours, theirs = subject.ours, subject.shapes[THEIRS]
    absent = tuple(
        column
        for column, one in theirs.columns.items()
        if column not in ours.columns and not one.generated and column != theirs.number
    )
    if absent:
        listed = ", ".join(repr(column) for column in absent)
        words = f"the table here has no column {listed}"
        yield Problem(ours.name, Why.SCHEMA, words, absent)


def _folded(table: Table) -> Table:
    """Return what is known with the names of columns as SQLite compares them."""
    only = table.only_one
    return replace(
        table,
        key=None if table.key is None else tuple(folded(one) for one in table.key),
        local={folded(column): value for column, value in table.local.items()},
        named=frozenset(folded(one) for one in table.named),
        references={folded(column): one for column, one in table.references.items()},
        owned=tuple(
            Owned(one.table, folded(one.column), folded(one.number)) for one in table.owned
        ),
        only_one=only and OnlyOne(
            tuple(folded(one) for one in only.columns), folded(only.ends), folded(only.begins)
        ),
        greatest=frozenset(folded(one) for one in table.greatest),
    )  # fmt: skip
