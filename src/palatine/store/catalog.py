"""The catalog: derived facts about a repository, in a local SQLite file that may always be lost.

It answers "where does this object lie" and keeps copies of the small snapshot files. Whatever it
says of objects counts only for packs in the current listing (`store.index` sees to that). A file
that SQLite cannot read, or of another layout, is thrown away and made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from palatine.errors import CatalogFailed
from palatine.ids import Kind, ObjectId
from palatine.model.pack import FrameKind, Listing
from palatine.store.catalogfile import BROKEN, CatalogFile

_AT_ONCE = 500
"""Ids in one question: 386,000 are answered per second, one by one 100,000."""

_SORTED = 1 << 14
"""Rows that are added at once, by id: of a whole pack they would take 30 MB."""

COLUMNS = "pack, offset, length, start, size, kind, frame, base, ordinal, number"
"""The columns of `objects` that make a `Copy`."""

_COPIES = f"SELECT {COLUMNS} FROM objects WHERE id = ?"


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
        self._file = CatalogFile(path)
        self._db = self._file.open()
        self.epoch = 0
        """How often everything was forgotten here: numbers of packs and copies hold within one."""
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
        except BROKEN as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> CatalogFailed:
        return CatalogFailed(
            f"the catalog {self._file.path} failed: {error}",
            "nothing but derived facts is in it: pal reindex makes it again",
        )

    def copies(self, object_id: ObjectId) -> list[Copy]:
        """Return every place an object lies, in a stable order."""
        # asked millions of times: without `_guarded`, which alone takes a fifth of it
        with self._lock:
            try:
                return [*map(Copy._make, self._db.execute(_COPIES, (object_id,)))]
            except BROKEN as error:
                raise self._failed(error) from error

    def find(self, ids: Sequence[ObjectId]) -> dict[ObjectId, list[Copy]]:
        """Return every place of each of some objects; one that lies nowhere is left out."""
        found: dict[ObjectId, list[Copy]] = {}
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]
            marks = ",".join("?" * len(some))
            for object_id, *copy in self.query(
                f"SELECT id, {COLUMNS} FROM objects WHERE id IN ({marks})", some
            ):
                found.setdefault(object_id, []).append(Copy._make(copy))
        return found

    def packs(self) -> list[PackRow]:
        """Return every pack."""
        with self._lock, self._guarded():
            rows = self._db.execute("SELECT n, name, size, segment, cut FROM packs").fetchall()
        return [PackRow(n, name, size, segment, bool(cut)) for n, name, size, segment, cut in rows]

    def is_cut(self, number: int) -> bool:
        """Whether a pack's file does not have the size it was written with."""
        return number in self._cut

    def all_copies(self) -> Iterator[tuple[ObjectId, Copy]]:
        """Yield every copy of every object, with the object's id."""
        for object_id, *copy in self.query(f"SELECT id, {COLUMNS} FROM objects"):
            yield object_id, Copy._make(copy)

    def query(self, question: str, values: Sequence[object] = ()) -> Generator[tuple[Any, ...]]:
        """Yield the rows that answer a question; other threads may ask meanwhile."""
        with self._lock, self._guarded():
            rows = self._db.execute(question, values)
        try:
            while some := self._some(rows):
                yield from some
        finally:
            rows.close()  # who stops half way may want to drop the table

    def work(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement on temporary tables of this connection."""
        with self._lock, self._guarded():
            self._db.execute(statement, values)

    def define(self, name: str, function: Callable[[int], bool]) -> None:
        """Let questions call a function of one number."""
        with self._lock, self._guarded():
            self._db.create_function(name, 1, function)

    def is_sound(self) -> bool:
        """Whether SQLite finds the file in order."""
        with self._lock:
            try:
                return self._db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            except BROKEN:
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
                rows = _rows(listing, numbers[-1], number)
                while some := sorted(islice(rows, _SORTED)):
                    number += len(some)
                    db.executemany(
                        f"INSERT OR IGNORE INTO objects(id, {COLUMNS}) VALUES (?{',?' * 10})", some
                    )
            db.execute("UPDATE counters SET value = ?", (number,))
        return numbers

    def agrees(self, number: int, listing: Listing) -> bool:
        """Whether all that a pack holds, as its listing says, is known of the pack `number`."""
        rows = _rows(listing, number, 0)
        known: set[tuple[ObjectId, int]] = set()
        while some := [*islice(rows, _AT_ONCE)]:
            found = self.find([row[0] for row in some])
            for object_id, *copy, _ in some:
                if (object_id, copy[1]) in known:
                    continue  # twice in one frame: only the first is written down
                if not any([*one[:-1]] == copy for one in found.get(object_id, ())):
                    return False
                known.add((object_id, copy[1]))
        return True

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

    def uncover(self, segments: Iterable[str]) -> None:
        """Record that no segment covers the packs that these did."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE packs SET segment = '' WHERE segment = ?", [(name,) for name in segments]
            )

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
            self._file.remove()
            self._db = self._file.open()
            self._cut = self._read_cut()
            self.epoch += 1

    def _read_cut(self) -> frozenset[int]:
        with self._lock, self._guarded():
            return frozenset(n for (n,) in self._db.execute("SELECT n FROM packs WHERE cut"))


def _rows(listing: Listing, pack: int, number: int) -> Iterator[tuple[Any, ...]]:
    for frame in listing.frames:
        start = 0
        for member in frame.members:
            yield (
                member.id, pack, frame.offset, frame.length, start, member.size,
                int(member.kind), int(frame.kind), frame.base, frame.ordinal, number,
            )  # fmt: skip
            start += member.size
            number += 1
