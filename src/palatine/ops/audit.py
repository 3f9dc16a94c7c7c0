"""Reading every frame of some packs: each object against its id, each pack against its digest.

Deltas are checked along with their base, from the roots up, so that each is applied once however
long its chain: n versions cost n steps.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from palatine.errors import Malformed, NotFound, RepositoryError
from palatine.ids import Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Copy, PackRow
from palatine.store.repository import Repository
from palatine.store.resolve import resolve
from palatine.workers import Workers

_IN_FLIGHT = 80 << 20
"""Bytes of packs under way: they are read a block at a time, so this only bounds the queue."""


@dataclass
class Result:
    """What an audit found: objects read, sentences on damage and on what could not be read.

    `bad_frames` are those that do not give their objects, `bad_packs` those without their digest.
    """

    objects: int = 0
    damage: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    bad_frames: set[tuple[int, int]] = field(default_factory=set)
    bad_packs: set[int] = field(default_factory=set)


class Audit:
    """One reading of packs."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._reader = repository.reader
        self._checked = Bitmap()
        self._result = Result()
        self._lock = threading.Lock()
        self._copies = _Copies()
        self._hurt: dict[int, list[str]] = {}

    def run(self, packs: list[PackRow]) -> Result:
        """Read all frames of these packs, each delta along with its base."""
        names = {row.n: row.name for row in packs}
        workers = Workers(self._repository.settings.workers, _IN_FLIGHT)
        try:
            self._copies.fill(
                (object_id, copy)
                for object_id, copy in self._repository.catalog.all_copies()
                if copy.pack in names
            )
            for row in packs:
                workers.submit(row.size, partial(self._pack, row))
            workers.wait()
            for object_id, copy in self._copies.deltas():
                if copy.number not in self._checked:
                    self._alone(object_id, copy)
        finally:
            workers.close()
            self._copies.close()
        for number, objects in sorted(self._hurt.items()):
            name = pack_name(names[number]) if number in names else "a pack"
            some = ", ".join(objects[:3]) + (" …" if len(objects) > 3 else "")
            self._result.damage.append(f"{name}: {len(objects)} damaged objects: {some}")
        return self._result

    def _pack(self, row: PackRow) -> None:
        name = pack_name(row.name)
        try:
            repository = self._repository
            if repository.index.digest_of(name, row.size, repository.reporter) != row.name:
                self._say(f"{name} is damaged: its bytes do not have its digest")
                self._result.bad_packs.add(row.n)
            for offset, members in _frames(self._copies.in_pack(row.n)):
                self._frame(row, offset, members)
        except NotFound as error:
            self._say(str(error))
        except RepositoryError as error:
            with self._lock:
                self._result.unchecked.append(f"{name} could not be read: {error}")

    def _frame(self, row: PackRow, offset: int, members: list[tuple[ObjectId, Copy]]) -> None:
        if members[0][1].frame == FrameKind.DELTA:
            return
        for object_id, copy in members:
            try:
                data = self._reader.frame_bytes(copy)
            except Malformed:
                data = b""
            if self._judge(object_id, copy, data):
                self._descend(object_id, data)

    def _descend(self, root: ObjectId, data: bytes) -> None:
        """Check the deltas that stand on an object, and those that stand on them."""
        stack: list[tuple[Iterator[tuple[ObjectId, Copy]], bytes | bytearray]] = []
        stack.append((iter(self._copies.standing_on(root)), data))
        while stack:
            children, base = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                continue
            object_id, copy = child
            if copy.number in self._checked:
                continue
            whole = bytearray(base)
            try:
                self._reader.apply(copy, whole)
            except (Malformed, NotFound):
                whole = bytearray()
            except RepositoryError as error:
                self._cannot_read(copy, error)
                continue
            if self._judge(object_id, copy, whole):
                stack.append((iter(self._copies.standing_on(object_id)), whole))

    def _alone(self, object_id: ObjectId, copy: Copy) -> None:
        """Check a delta that no root led to: its base lies elsewhere, or is damaged.

        One whose base is nowhere is not present, and no damage: gc removes bases of what nobody
        needs, and leaves that in its pack until rewriting the pack is worth it.
        """
        bad = self._result.bad_frames
        below = resolve(self._repository.catalog, copy.base, lambda other: other[:2] not in bad)
        if below is None and resolve(self._repository.catalog, copy.base, lambda _: True) is None:
            return
        try:
            data = self._reader.decode([(object_id, copy), *below]) if below else b""
        except (Malformed, NotFound):
            data = b""
        except RepositoryError as error:
            self._cannot_read(copy, error)
            return
        self._judge(object_id, copy, data)

    def _judge(self, object_id: ObjectId, copy: Copy, data: bytes | bytearray) -> bool:
        good = (
            len(data) == copy.size
            and self._repository.digest.object_id(copy.kind, data) == object_id
        )
        with self._lock:
            if copy.number in self._checked:
                return good
            self._checked.add(copy.number)
            self._result.objects += 1
            if not good:
                self._result.bad_frames.add(copy[:2])
                what = f"{Kind(copy.kind).name.lower()} {object_id.hex()}"
                self._hurt.setdefault(copy.pack, []).append(what)
        return good

    def _cannot_read(self, copy: Copy, error: RepositoryError) -> None:
        with self._lock:
            self._checked.add(copy.number)
            if str(error) not in self._result.unchecked:
                self._result.unchecked.append(str(error))

    def _say(self, sentence: str) -> None:
        with self._lock:
            self._result.damage.append(sentence)


def _frames(
    copies: list[tuple[ObjectId, Copy]],
) -> Iterator[tuple[int, list[tuple[ObjectId, Copy]]]]:
    frame: list[tuple[ObjectId, Copy]] = []
    for member in copies:
        if frame and frame[0][1].offset != member[1].offset:
            yield frame[0][1].offset, frame
            frame = []
        frame.append(member)
    if frame:
        yield frame[0][1].offset, frame


class _Copies:
    """Every copy by pack, and every delta by base, in a temporary SQLite file.

    There may be millions, and the catalog is in order of ids.
    """

    _COLUMNS = ", ".join(Copy._fields)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute(f"CREATE TABLE copies(id, {self._COLUMNS})")

    def fill(self, copies: Iterator[tuple[ObjectId, Copy]]) -> None:
        self._db.execute("BEGIN")
        marks = ",".join("?" * (1 + len(Copy._fields)))
        self._db.executemany(
            f"INSERT INTO copies VALUES ({marks})",
            ((object_id, *copy) for object_id, copy in copies),
        )
        self._db.execute("CREATE INDEX by_base ON copies(base) WHERE base != x''")
        self._db.execute("CREATE INDEX by_pack ON copies(pack, offset, start)")
        self._db.execute("COMMIT")

    def in_pack(self, number: int) -> list[tuple[ObjectId, Copy]]:
        return self._query("pack = ? ORDER BY offset, start", number)

    def standing_on(self, base: ObjectId) -> list[tuple[ObjectId, Copy]]:
        return self._query("base = ? AND base != x''", base)

    def deltas(self) -> Iterator[tuple[ObjectId, Copy]]:
        for object_id, *copy in self._db.execute(
            f"SELECT id, {self._COLUMNS} FROM copies WHERE base != x'' ORDER BY ordinal"
        ):
            yield object_id, Copy._make(copy)

    def close(self) -> None:
        self._db.close()

    def _query(self, condition: str, value: object) -> list[tuple[ObjectId, Copy]]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT id, {self._COLUMNS} FROM copies WHERE {condition}", (value,)
            ).fetchall()
        return [(object_id, Copy._make(copy)) for object_id, *copy in rows]
