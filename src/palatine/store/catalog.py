"""The catalog: derived facts about a repository, in a local SQLite file that may always be lost.

It answers "where does this object lie" and keeps copies of the small snapshot files. Whatever it
says of objects counts only for packs in the current listing (`store.index` sees to that). A file
that SQLite cannot read, or of another layout, is thrown away and made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from palatine.errors import CatalogFailed
from palatine.ids import Kind, ObjectId
from palatine.model.pack import FrameKind, Listing

_BROKEN = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: SQLite's own words may be bytes that are no text."""

_LAYOUT = 2
_SCHEMA = """
CREATE TABLE packs(n INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB UNIQUE NOT NULL,
    size INTEGER NOT NULL, segment TEXT NOT NULL, cut INTEGER NOT NULL DEFAULT 0);
CREATE TABLE objects(id BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL, kind INTEGER NOT NULL,
    frame INTEGER NOT NULL, base BLOB NOT NULL, ordinal INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY(id, pack, offset)) WITHOUT ROWID;
CREATE TABLE segments(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE snapshots(name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('numbers', 0);
"""
_COPY = "pack, offset, length, start, size, kind, frame, base, ordinal, number"


class Copy(NamedTuple):
    """One place where an object lies: frame (pack, offset, length) and, in it, start and size.

    `number` is dense and small: bitmaps over objects are indexed by it.
    """

    pack: int
    offset: int
    length: int
    start: int
    size: int
    kind: Kind
    frame: FrameKind
    base: ObjectId
    ordinal: int
    number: int


class PackRow(NamedTuple):
    """A pack as the catalog knows it; `segment` is empty while no index segment covers it.

    `cut` says that its file does not have the size it was written with.
    """

    n: int
    name: bytes
    size: int
    segment: str
    cut: bool


class Catalog:
    """One connection, used under a lock from every thread."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file; None, or a place that cannot be written to: in memory."""
        self._lock = threading.RLock()
        self._path = path
        self._db = self._open()
        try:
            self._cut = self._read_cut()
        except CatalogFailed:
            self.clear()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, or not at all."""
        with self._lock, self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            raise CatalogFailed(
                f"the catalog {self._path} failed: {error}",
                "nothing but derived facts is in it: pal reindex makes it again",
            ) from error

    def copies(self, object_id: ObjectId) -> list[Copy]:
        """Return every place an object lies, in a stable order."""
        with self._lock, self._guarded():
            rows = self._db.execute(f"SELECT {_COPY} FROM objects WHERE id = ?", (object_id,))
            return [Copy._make(row) for row in rows]

    def packs(self) -> list[PackRow]:
        """Return every pack."""
        with self._lock, self._guarded():
            rows = self._db.execute("SELECT n, name, size, segment, cut FROM packs").fetchall()
        return [PackRow(n, name, size, segment, bool(cut)) for n, name, size, segment, cut in rows]

    def newest_pack(self) -> int:
        """Return the greatest number a pack has had so far; later packs have greater ones."""
        with self._lock, self._guarded():
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='packs'").fetchone()
        return int(row[0]) if row else 0

    def is_cut(self, number: int) -> bool:
        """Whether a pack's file does not have the size it was written with."""
        return number in self._cut

    def all_copies(self) -> Iterator[tuple[ObjectId, Copy]]:
        """Yield every copy of every object, with the object's id."""
        with self._lock, self._guarded():
            rows = self._db.execute(f"SELECT id, {_COPY} FROM objects")
        while some := self._some(rows):
            for object_id, *copy in some:
                yield object_id, Copy._make(copy)

    def is_sound(self) -> bool:
        """Whether SQLite finds the file in order."""
        with self._lock:
            try:
                return self._db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            except _BROKEN:
                return False

    def _some(self, rows: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        with self._lock, self._guarded():
            return rows.fetchmany(4096)

    def totals(self) -> list[tuple[FrameKind, Kind, int, int]]:
        """Return, for each frame kind and object kind, how many copies and plain bytes."""
        with self._lock, self._guarded():
            rows = self._db.execute(
                "SELECT frame, kind, count(*), sum(size) FROM objects GROUP BY frame, kind"
            ).fetchall()
        return [(FrameKind(frame), Kind(kind), count, size) for frame, kind, count, size in rows]

    def add(self, listings: Iterable[Listing], segment: str) -> list[int]:
        """Add what packs hold and return their numbers; a known pack only learns its segment."""
        numbers: list[int] = []
        with self.transaction() as db:
            (number,) = db.execute("SELECT value FROM counters").fetchone()
            for listing in listings:
                known = db.execute("SELECT n FROM packs WHERE name = ?", (listing.pack,)).fetchone()
                if known:
                    db.execute("UPDATE packs SET segment = ? WHERE n = ?", (segment, known[0]))
                    numbers.append(known[0])
                    continue
                row = (listing.pack, listing.size, segment)
                cursor = db.execute("INSERT INTO packs(name, size, segment) VALUES (?,?,?)", row)
                numbers.append(cursor.lastrowid or 0)
                rows = sorted(_rows(listing, numbers[-1], number))
                number += len(rows)
                db.executemany(
                    f"INSERT OR IGNORE INTO objects(id, {_COPY}) VALUES (?{',?' * 10})", rows
                )
            db.execute("UPDATE counters SET value = ?", (number,))
        return numbers

    def mark_cut(self, cut: dict[int, bool]) -> None:
        """Record which packs do not have the size they were written with."""
        if cut:
            self._write_cut(cut)
        self._cut = self._read_cut()

    def _write_cut(self, cut: dict[int, bool]) -> None:
        with self.transaction() as db:
            db.executemany(
                "UPDATE packs SET cut = ? WHERE n = ?", [(flag, n) for n, flag in cut.items()]
            )

    def drop_packs(self, numbers: list[int]) -> None:
        """Forget packs that are not there any more."""
        with self.transaction() as db:
            db.executemany("DELETE FROM packs WHERE n = ?", [(n,) for n in numbers])
            db.execute("DELETE FROM objects WHERE pack NOT IN (SELECT n FROM packs)")

    def segments(self) -> set[str]:
        """Return the names of the index segments that have been read."""
        with self._lock, self._guarded():
            return {name for (name,) in self._db.execute("SELECT name FROM segments")}

    def set_segments(self, names: Iterable[str]) -> None:
        """Record which index segments have been read; those not named will be read again."""
        with self.transaction() as db:
            db.execute("DELETE FROM segments")
            db.executemany("INSERT INTO segments VALUES (?)", [(name,) for name in names])

    def snapshot_files(self) -> dict[str, bytes]:
        """Return the snapshot files that were read before, by name."""
        with self._lock, self._guarded():
            return dict(self._db.execute("SELECT name, data FROM snapshots").fetchall())

    def set_snapshot_files(self, fresh: dict[str, bytes], gone: Iterable[str]) -> None:
        """Keep snapshot files, and drop those that are gone."""
        with self.transaction() as db:
            db.executemany("DELETE FROM snapshots WHERE name = ?", [(name,) for name in gone])
            db.executemany("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", list(fresh.items()))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._db.close()
            self._remove()
            self._db = self._open()
            self._cut = self._read_cut()

    def _read_cut(self) -> frozenset[int]:
        with self._lock, self._guarded():
            return frozenset(n for (n,) in self._db.execute("SELECT n FROM packs WHERE cut"))

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            for _ in range(2):
                try:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    return self._connect(str(self._path))
                except (sqlite3.OperationalError, OSError):
                    break  # no place to write: SQLite cannot open or create the file
                except _BROKEN:
                    if not self._remove():
                        break
        return self._connect(":memory:")

    def _connect(self, path: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA cache_size = -8000")
            db.execute("BEGIN IMMEDIATE")
            (layout,) = db.execute("PRAGMA user_version").fetchone()
            if layout not in (0, _LAYOUT):
                raise sqlite3.DatabaseError("another layout")
            if layout == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_LAYOUT}")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self) -> bool:
        """Remove the file; return whether there is a place for a new one."""
        if self._path is None:
            return False
        try:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        except OSError:
            self._path = None  # somebody else's: do without a file
        return self._path is not None


def _rows(listing: Listing, pack: int, number: int) -> Iterator[tuple[object, ...]]:
    for frame in listing.frames:
        start = 0
        for member in frame.members:
            yield (
                member.id, pack, frame.offset, frame.length, start, member.size,
                int(member.kind), int(frame.kind), frame.base, frame.ordinal, number,
            )  # fmt: skip
            start += member.size
            number += 1
