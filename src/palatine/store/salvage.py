"""Emptying damaged packs: what can be read goes to new packs, then they are set aside.

The collector's protocol (docs/format.md, "Concurrency"), with two differences. Everything that can
be read is brought to new packs, needed or not: nobody asks what snapshots need while some of that
may be unreadable. And the packs are not destroyed: their bytes are kept under `damaged/`.

Killed at any moment, the packs are where they were or set aside, and all that is in them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from itertools import chain, groupby

from palatine.errors import CatalogFailed, Damaged, Malformed, NotFound, PalatineError
from palatine.ids import Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind, Listing
from palatine.store.aside import set_aside
from palatine.store.catalog import COLUMNS, Copy
from palatine.store.condemned import condemn, condemned, strike_off
from palatine.store.encoder import Encoder, again
from palatine.store.fence import wait_for_sessions
from palatine.store.repository import Repository
from palatine.store.resolve import resolve
from palatine.store.writer import Writer

Get = Callable[[Kind, ObjectId], bytes | bytearray]
Row = tuple[ObjectId, Copy]


class Salvage:
    """Some damaged packs on their way out. `bad` are frames that do not give their objects."""

    def __init__(
        self, repository: Repository, packs: Set[bytes], bad: Set[tuple[int, int]]
    ) -> None:
        self._repository = repository
        self._packs = packs
        self._bad = bad
        self._epoch = repository.catalog.epoch
        self._usable: frozenset[int] = frozenset()
        self._own: set[int] = set()
        self.moved = 0
        """Objects that were brought to new packs."""

    def condemn(self) -> None:
        """Condemn the packs, and wait for those who may rely on them."""
        repository = self._repository
        condemn(repository.backend, self._packs)
        patience = repository.settings.fence_seconds
        wait_for_sessions(repository.backend, repository.clock, patience, repository.reporter)

    def look(self) -> None:
        """Learn what is there besides; to be done after the condemnation."""
        repository = self._repository
        absent = condemned(repository.backend) | self._packs
        listed = repository.refresh().keys() - absent
        self._check_epoch()
        rows = repository.catalog.packs()
        self._usable = frozenset(row.n for row in rows if row.name in listed)

    def writer(self) -> Writer:
        """Return a writer that relies on none of these packs."""
        # the frames are bad for good: whoever wants one of their objects has to store it again
        self._repository.reader.known_bad |= self._bad
        return Writer(self._repository.parts, self._usable, self._repository.settings.workers)

    def rescue(self, get: Get) -> None:
        """Bring to new packs what can be read and is nowhere else; `get` returns verified bytes.

        Raises PalatineError when something would have been lost: then nothing was.
        """
        settings = self._repository.settings
        encoder = Encoder(self._repository.parts, settings.workers, self._finished)
        try:
            numbers = self._gather()
            done: set[ObjectId] = set()
            for number in numbers:
                for _, frame in groupby(self._rows(number), key=lambda row: row[1].offset):
                    self._frame(encoder, [*frame], done)
            encoder.finish()
            for kind, object_id, data in self._unsaved(numbers, get):
                self._store(encoder, kind, object_id, data)
            encoder.finish()
            encoder.write_segments()
            if next(self._unsaved(numbers, get), None) is not None:
                raise PalatineError(
                    "something that can be read would have been lost; nothing was deleted",
                    "this is a bug in palatine: please report it, and run: pal verify --data",
                )
        finally:
            encoder.close()
            self._repository.catalog.work("DROP TABLE IF EXISTS temp.salvaged")

    def retire(self) -> list[str]:
        """Take the packs out; return the names under which they are kept."""
        self._check_epoch()
        repository = self._repository
        kept = [set_aside(repository, pack_name(pack)) for pack in sorted(self._packs)]
        repository.index.leave_out(self._packs)
        repository.backend.delete_all(pack_name(pack) for pack in self._packs)
        strike_off(repository.backend, self._packs)
        rows = repository.catalog.packs()
        repository.catalog.drop_packs([row.n for row in rows if row.name in self._packs])
        repository.reader.forget()
        return [name for name in kept if name is not None]

    def _gather(self) -> list[int]:
        """Write down what lies in the packs and in bad frames; return the numbers of the packs.

        In one pass: the catalog is in order of ids.
        """
        catalog = self._repository.catalog
        numbers = [row.n for row in catalog.packs() if row.name in self._packs]
        spoilt = {*numbers, *(pack for pack, _ in self._bad)}
        catalog.define("spoilt", spoilt.__contains__)
        catalog.work(
            f"CREATE TEMP TABLE salvaged AS SELECT id, {COLUMNS} FROM objects WHERE spoilt(pack)"
        )
        catalog.work("CREATE INDEX temp.by_place ON salvaged(pack, offset, start)")
        return numbers

    def _rows(self, number: int, offset: int = 0) -> list[Row]:
        """Return what lies in a pack, or in one of its frames."""
        rows = self._repository.catalog.query(
            "SELECT * FROM temp.salvaged WHERE pack = ? AND offset BETWEEN ? AND ?"
            " ORDER BY offset, start",
            (number, offset, offset or 1 << 62),
        )
        return [(object_id, Copy._make(copy)) for object_id, *copy in rows]

    def _frame(self, encoder: Encoder, frame: list[Row], done: set[ObjectId]) -> None:
        """Copy a frame as it is, if its objects were found to be whole and are best read there."""
        wanted = [row for row in frame if row[0] not in done and self._is_best(*row)]
        if wanted:
            done.update(object_id for object_id, _ in frame)
            self.moved += len(wanted)
            encoder.submit(frame[0][1].length, lambda: self._copy(encoder, frame))

    def _is_best(self, object_id: ObjectId, copy: Copy) -> bool:
        """Whether an object is only in these packs, and this copy is the one that is read.

        A base along such chains is always nearer to a full copy: no two become each other's base.
        """
        if self.is_present(object_id):
            return False
        best = resolve(
            self._repository.catalog, object_id, lambda other: other[:2] not in self._bad
        )
        return best is not None and best[0][1].number == copy.number

    def _copy(self, encoder: Encoder, frame: list[Row]) -> None:
        object_id, copy = frame[0]
        reader, digest = self._repository.reader, self._repository.digest
        try:
            payload = reader.payload(copy)
            if copy.frame != FrameKind.DELTA:
                for each, place in frame:
                    if digest.object_id(place.kind, reader.frame_bytes(place)) != each:
                        return  # the rest is seen to afterwards, one by one
            elif digest.object_id(copy.kind, reader.get(Kind(copy.kind), object_id)) != object_id:
                return
            encoder.frames([again(frame, payload)])
        except (Malformed, Damaged, NotFound):
            return

    def _unsaved(
        self, numbers: list[int], get: Get
    ) -> Iterator[tuple[Kind, ObjectId, bytes | bytearray]]:
        """Yield what can be read in whatever way, and is not present yet.

        Also from other packs: a delta may give its object although its base is spoilt, where it
        replaces what is spoilt.
        """
        done: set[ObjectId] = set()
        beside = (row for pack, offset in sorted(self._bad) for row in self._rows(pack, offset))
        for object_id, copy in chain(*map(self._rows, numbers), beside):
            if object_id in done or self.is_present(object_id):
                continue
            done.add(object_id)
            kind = Kind(copy.kind)
            try:
                yield kind, object_id, get(kind, object_id)
            except (Damaged, NotFound):
                continue

    def _store(
        self, encoder: Encoder, kind: Kind, object_id: ObjectId, data: bytes | bytearray
    ) -> None:
        self.moved += 1
        encoder.submit(2 * len(data), lambda: encoder.full(kind, object_id, data))

    def is_present(self, object_id: ObjectId) -> bool:
        """Whether an object can be read without these packs."""
        return resolve(self._repository.catalog, object_id, self._counts) is not None

    def _counts(self, copy: Copy) -> bool:
        if copy.pack in self._own:
            return True
        return copy.pack in self._usable and copy[:2] not in self._bad

    def _finished(self, numbers: list[int], listing: Listing) -> None:
        self._own.update(numbers)

    def _check_epoch(self) -> None:
        if self._repository.catalog.epoch != self._epoch:
            raise CatalogFailed("the catalog failed and was made again", "run it again")
