"""One database of a palace, merged in one transaction on the database itself.

Ours is what the transaction finds when it has the write lock, not what was captured before: a
service may have gone on writing. Theirs and the base are images that nobody changes. Triggers fire
as for any other writer, and keep full-text indexes right; where there is no trigger for what was
done, the index is made anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from palatine.errors import Locked, NoSpace, Refused, SourceError
from palatine.layouts.merging import MIGRATIONS, Table
from palatine.restore.merge.report import Conflict, Report, Stale, Winner
from palatine.restore.merge.schema import Schema, folded, quoted, read_schema
from palatine.restore.merge.subjects import BASE, OURS, THEIRS, Problem, subjects
from palatine.restore.merge.tables import Manner, Tables

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_OPEN_SECONDS = 10.0
"""How long a database that is opened may be locked by somebody's commit."""
_TRY_MS = 200
"""How long a lock is waited for while those of other databases are held."""


@dataclass(frozen=True)
class Job:
    """A database to merge: its path in the palace, where it is, the images of the other sides."""

    path: bytes
    live: Path
    theirs: Path
    base: Path | None
    known: Mapping[str, Table]


class DatabaseMerge:
    """The merge of one database: `begin`, `merge`, `commit`. `close` takes back what was not."""

    def __init__(self, job: Job, manner: Manner, report: Report) -> None:
        """Open the database and attach the images; raises SourceError, Refused."""
        self.path = job.path
        self._job = job
        self._manner = manner
        self._report = report
        with self._told():
            self._db = connect(job.live, "mode=rw")
        try:
            with self._told():
                self._attach(THEIRS, job.theirs)
                if job.base is not None:
                    self._attach(BASE, job.base)
                (mode,) = self._db.execute("PRAGMA main.journal_mode").fetchone()
                self._db.execute(f"PRAGMA busy_timeout = {_TRY_MS}").fetchone()
        except BaseException:
            self._db.close()
            raise
        self._kind = "IMMEDIATE" if mode == "wal" else "EXCLUSIVE"

    def begin(self) -> bool:
        """Take the write lock, hardly waiting; return whether it was to be had.

        In a rollback mode readers are kept out too: no commit can fail for one of them then.
        """
        try:
            self._db.execute(f"BEGIN {self._kind}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:
                return False
            with self._told():
                raise
        return True

    def merge(self) -> None:
        """Do all of it but the commit."""
        with self._told():
            sides = [OURS, THEIRS, *([BASE] if self._job.base else [])]
            schemas = {side: read_schema(self._db, side) for side in sides}
            found = subjects(schemas, self._job.known)
            for problem in found.problems:
                self._tell(problem, schemas)
            self._note_versions(schemas)
            tables = Tables(self._db, found.subjects, self._manner, self._report, self.path)
            tables.merge()
            self._follow(schemas[OURS], tables)

    def commit(self) -> None:
        """Commit."""
        with self._told():
            self._db.execute("COMMIT")

    def has(self, query: str, values: tuple[object, ...]) -> bool:
        """Whether a query finds anything in the database as it is about to be."""
        with self._told():
            return self._db.execute(query, values).fetchone() is not None

    def rollback(self) -> None:
        """Let go of the lock; nothing was changed."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Take back what was not committed, and let go of the database."""
        self._db.close()

    def _attach(self, side: str, image: Path) -> None:
        (ours,) = self._db.execute("PRAGMA main.encoding").fetchone()
        with contextlib.closing(connect(image, "immutable=1")) as other:
            (theirs,) = other.execute("PRAGMA encoding").fetchone()
        if ours != theirs:
            raise Refused(
                f"{os.fsdecode(self.path)!r} holds text as {ours}, the snapshot's as {theirs}",
                "restore the snapshot to another place and copy what is wanted from there",
            )
        self._db.execute(f"ATTACH ? AS {side}", (_uri(image, "immutable=1"),))

    def _tell(self, problem: Problem, schemas: Mapping[str, Schema]) -> None:
        """Report what has no place here, if theirs put anything there."""
        table = quoted(problem.table)
        condition = "1"
        theirs = schemas[THEIRS].tables[folded(problem.table)]
        if problem.columns:
            defaults = {one: theirs.columns[one].default or "NULL" for one in problem.columns}
            set_ = " OR ".join(f"{quoted(one)} IS NOT ({value})" for one, value in defaults.items())
            condition = f"({set_})"
        known = schemas.get(BASE, schemas[OURS]).tables.get(folded(problem.table))
        columns = ", ".join(quoted(one) for one in theirs.columns)
        query = f"SELECT {columns} FROM {THEIRS}.{table} WHERE {condition}"
        if BASE in schemas and known and known.columns.keys() >= theirs.columns.keys():
            query += f" EXCEPT SELECT {columns} FROM {BASE}.{table}"
        if self._db.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchone():
            won: Winner = "ours" if self._manner.prefer == "ours" else ""
            conflict = Conflict(self.path, problem.table, "", problem.why, problem.words, won)
            self._report.conflicts.add(conflict)

    def _note_versions(self, schemas: Mapping[str, Schema]) -> None:
        """Note that the schemas are of different versions, as the systems themselves count them."""
        for name in sorted(
            MIGRATIONS & schemas[OURS].tables.keys() & schemas[THEIRS].tables.keys()
        ):
            ours, theirs = (
                sorted(map(repr, self._db.execute(f"SELECT * FROM {side}.{quoted(name)}")))
                for side in (OURS, THEIRS)
            )
            if ours != theirs:
                self._report.notes.append(
                    f"{os.fsdecode(self.path)!r} and the snapshot's are of different versions: they"
                    f" differ in the table {name!r}, which was left as it is"
                )

    def _follow(self, schema: Schema, tables: Tables) -> None:
        """Have indexes follow what was done, or tell that they do not."""
        for index in schema.full_text:
            done = tables.done(folded(index.content))
            for verb in done:
                if not _has_trigger(schema, index.content, verb, index.name):
                    name = quoted(index.name)
                    self._db.execute(f"INSERT INTO main.{name}({name}) VALUES ('rebuild')")
                    break
        if tables.changed:
            self._report.stale += [Stale(self.path, one.name) for one in schema.opaque]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what SQLite says as an error that names the database."""
        try:
            yield
        except sqlite3.Error as error:
            name = os.fsdecode(self.path)
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _BUSY:
                raise Locked(f"{name!r} is locked by another process", "try again later") from error
            if code == sqlite3.SQLITE_FULL:
                raise NoSpace(f"there is no space left to merge {name!r}: {error}") from error
            raise SourceError(f"{name!r} cannot be merged: {error}") from error


def connect(path: Path, how: str) -> sqlite3.Connection:
    """Open a database in autocommit; text that is not UTF-8 is shown as well as can be."""
    db = sqlite3.connect(_uri(path, how), uri=True, isolation_level=None, timeout=_OPEN_SECONDS)
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def _uri(path: Path, how: str) -> str:
    return f"file:{quote(os.fsencode(path))}?{how}"


def _has_trigger(schema: Schema, table: str, verb: str, index: str) -> bool:
    """Whether a trigger on a table writes to its full-text index at each INSERT, say."""
    event = re.compile(rf"\b{verb}\b(\s+OF\b.*?)?\s+ON\b", re.IGNORECASE | re.DOTALL)
    named = re.compile(rf"\b{re.escape(index)}\b", re.IGNORECASE)
    return any(
        on == folded(table) and event.search(sql) and named.search(sql)
        for on, sql in schema.triggers
    )
