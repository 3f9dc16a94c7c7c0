"""Bringing to new packs what lies in condemned ones and is needed.

What stays are content and kept bases (see `store.census`). An object that stays and is present
without the condemned packs is left alone. Else its frame is copied as it is, if its base stays too;
an object whose base does not stay is stored anew, onto the first of its base's bases that stays.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import groupby, islice
from typing import NamedTuple

from palatine.errors import NotFound, PalatineError
from palatine.events import Reporter
from palatine.ids import ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind
from palatine.store.bitmap import Bitmap
from palatine.store.carrier import Carrier, Moved, Row
from palatine.store.catalog import COLUMNS, Copy
from palatine.store.encoder import Parts
from palatine.store.prospect import AT_ONCE, BROUGHT, Packs, Prospect, Stays


class Care(NamedTuple):
    """How much care is taken that nothing else survives.

    `pure`: no frame is copied as it is that holds anything but content. `thorough`: no base is kept
    for what lies in packs that do not go; that is stored anew.
    """

    pure: bool
    thorough: bool


class WouldBeLost(PalatineError):
    """What was to be brought to new packs is not all there."""


class Transfer:
    """One emptying of packs."""

    def __init__(self, parts: Parts, stays: Stays, packs: Packs, threads: int, care: Care) -> None:
        self._catalog = parts.catalog
        self._index = parts.index
        self._packs = packs
        self._thorough = care.thorough
        self._prospect = Prospect(parts.catalog, parts.reader, stays, packs, care.pure)
        self._carrier = Carrier(parts, self._prospect, threads, care.pure)
        self._names = {row.n: row for row in parts.catalog.packs()}
        self._seen = Bitmap()
        self._awaited = Bitmap()

    @property
    def own(self) -> set[int]:
        """Numbers of the packs that were made."""
        return self._prospect.own

    def run(self, reporter: Reporter) -> Moved:
        """Copy and store anew what has to be; durable and indexed when it returns.

        Raises Damaged, NotFound, and WouldBeLost: then nothing may be deleted.
        """
        prospect = self._prospect
        try:
            left = prospect.left_without_base()
            if not self._thorough:
                left = prospect.keep_bases(left)
            self._gather()
            with closing(self._rows()) as rows:
                for pack, some in groupby(rows, key=lambda row: row.copy.pack):
                    self._pack(pack, some, reporter)
            for object_id in prospect.asked_for(left):
                self._restand(object_id)
            self._carrier.finish()
            self._check()
        finally:
            self._carrier.close()
            self._catalog.work("DROP TABLE IF EXISTS temp.moving")
        return self._carrier.moved

    def _gather(self) -> None:
        """Write down what lies in the packs that go, before new copies come to the catalog."""
        work = self._catalog.work
        work("DROP TABLE IF EXISTS temp.moving")
        work(
            f"CREATE TEMP TABLE moving AS SELECT id, {COLUMNS},"
            " content(number) OR base(number) AS stays,"
            " (SELECT count(*) FROM objects c WHERE c.id = o.id) AS copies,"
            f" {BROUGHT} AS brought"
            " FROM objects o WHERE going(pack) ORDER BY pack, offset, start"
        )

    def _rows(self) -> Generator[Row]:
        with closing(self._catalog.query("SELECT * FROM temp.moving ORDER BY rowid")) as found:
            while some := [
                Row(object_id, Copy._make(copy), bool(stays), copies, bool(brought))
                for object_id, *copy, stays, copies, brought in islice(found, AT_ONCE)
            ]:
                self._prospect.ask(
                    row.copy.base for row in some if row.stays and row.copy.base and not row.brought
                )
                yield from some

    def _pack(self, pack: int, rows: Iterable[Row], reporter: Reporter) -> None:
        intact: bool | None = None
        for _, group in groupby(rows, key=lambda row: row.copy.offset):
            frame = [*group]
            reporter.advance(frame[0].copy.length)
            wanted = [row for row in frame if row.stays and self._is_to_move(row)]
            if not wanted:
                continue
            if intact is None:
                # what is copied as it is, is vouched for by the digest of the pack it comes from
                intact = self._is_intact(pack)
            if not intact:
                for row in wanted:
                    self._carrier.in_full(row)
            elif frame[0].copy.frame == FrameKind.SOLID:
                self._carrier.solid(frame, wanted)
            elif self._has_base(frame[0]):
                self._carrier.as_it_is(wanted)
            else:
                self._carrier.anew(wanted[0].id)

    def _has_base(self, row: Row) -> bool:
        """Whether what a frame of one object stands on, if anything, will be there."""
        if row.copy.frame == FrameKind.PLAIN or row.brought:
            return True
        return self._prospect.stays(row.copy.base)

    def _is_to_move(self, row: Row) -> bool:
        if row.copies == 1:
            return True
        if row.copy.number in self._seen or row.id in self._prospect.present:
            return False
        chosen = self._prospect.chain(row.id)[0][1]
        awaited = row.copy.number in self._awaited
        if chosen.pack in self._packs.going and chosen.number != row.copy.number and not awaited:
            self._awaited.add(chosen.number)
            return False  # that copy's turn comes
        for copy in self._catalog.copies(row.id):
            self._seen.add(copy.number)
        if chosen.number == row.copy.number:
            return True
        if chosen.pack in self._packs.usable:
            self._restand(row.id)
        else:
            # the best copy is another collector's, or was passed over: this one might stand on it
            self._carrier.in_full(row)
        return False

    def _is_intact(self, pack: int) -> bool:
        row = self._names[pack]
        try:
            return self._index.digest_of(pack_name(row.name), row.size) == row.name
        except NotFound:
            return False  # another collector was quicker: the objects have other copies

    def _restand(self, object_id: ObjectId) -> None:
        """Store an object in a pack that does not go anew, unless its base stays."""
        chain = self._prospect.chain(object_id)
        if len(chain) == 1 or not self._prospect.stays(chain[1][0]):
            self._carrier.anew(object_id)

    def _check(self) -> None:
        """Look once more before anything is deleted: workers may have met damage meanwhile."""
        if not self._prospect.is_whole():
            raise WouldBeLost(
                "something that is needed would have been lost; nothing was deleted",
                "this is a bug in palatine: please report it, and run: pal verify",
            )
