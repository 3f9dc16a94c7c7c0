"""What of each pack stays in a collection, and what that gains.

Kept are the objects that snapshots need (their content), one copy of each, and bases for what
stands on them. Bases that no snapshot needs, each the only thing that the one below carries, are a
run. What is on it can be stored anew onto what is below it, for no more than both took; but hardly
for less as long as they are small: see `RUN_WORTH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from math import ceil

from palatine.errors import Damaged
from palatine.model.pack import FrameKind
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Catalog, PackRow
from palatine.store.resolve import resolve

SOLID_DEAD = 0.25
"""A solid frame is copied as it is unless more than this share of its bytes is dead."""

RUN_WORTH = 8
"""A run is not kept if it takes more than this part of what the object on it has in plain.

Measured on three nights of thinning, without it: 1,900 objects were stored anew for 0.9 kB each,
a tenth of their runs, in 1.9 ms each, two fifths of the collections' time. What changes in
different hours are different pages, until most have changed.
"""

_KEPT = "((content(number) AND NOT spare(number)) OR base(number))"
_RENEWED = "(needed(number) AND NOT base(number))"
_MIXED = "min(content(number)) = 0"
_IDLE = "max(content(number) OR needed(number)) = 0"


@dataclass
class Account:
    """A pack: its bytes in frames that are kept, and in frames that are not.

    `renewed` is how much of the waste is the base of something: so much may be written for that.
    `mixed`: it holds something that no snapshot needs. `idle`: nothing of it is needed in any way;
    what is not kept may still be the base of something, until that is stored anew.
    """

    row: PackRow
    kept: int = 0
    waste: int = 0
    renewed: int = 0
    mixed: bool = False
    idle: bool = True

    @property
    def gain(self) -> int:
        """How many bytes of it serve nothing, not even as a base."""
        return max(0, self.waste - self.renewed)


class Census:
    """Counts what is kept, given what is content; see `Reach`."""

    def __init__(self, catalog: Catalog, content: Bitmap) -> None:
        self._catalog = catalog
        self._content = content
        self._spare = Bitmap()
        self._needed = Bitmap()
        self._broken = Bitmap()
        self.bases = Bitmap()
        """Numbers of the bases that are kept for what stands on them."""
        catalog.define("content", content.__contains__)
        catalog.define("spare", self._spare.__contains__)
        catalog.define("broken", self._broken.__contains__)
        catalog.define("needed", self._needed.__contains__)
        catalog.define("base", self.bases.__contains__)

    def take(self, erase: bool = False, absent: Set[int] = frozenset()) -> list[Account]:
        """Return the account of every pack; with `erase`, no base is kept for its dependents.

        A copy in one of the packs that are `absent` stays only if there is no other.
        """
        self._find_broken()
        self._find_spares(absent)
        self._find_bases(erase)
        accounts = {row.n: Account(row) for row in self._catalog.packs()}
        for pack, stored, kept, renewed, mixed, idle in (*self._alone(), *self._solid(erase)):
            if pack in accounts:
                one = accounts[pack]
                one.kept += kept
                one.waste += stored - kept
                one.renewed += renewed
                one.mixed |= bool(mixed)
                one.idle &= bool(idle)
        return [*accounts.values()]

    def _find_spares(self, absent: Set[int]) -> None:
        """Find copies that are not read, because there is a better one of the same object."""
        several = "SELECT id FROM objects GROUP BY id HAVING count(*) > 1"
        for (object_id,) in self._catalog.query(several):
            chain = resolve(self._catalog, object_id, lambda copy: copy.pack not in absent)
            chain = chain or resolve(self._catalog, object_id, lambda copy: True)
            for copy in self._catalog.copies(object_id):
                if chain is not None and copy.number != chain[0][1].number:
                    self._spare.add(copy.number)

    def _find_bases(self, erase: bool) -> None:
        """Find the bases that are no content, and those of them that are kept: what more than one
        object stands on, full copies, and runs that are not worth storing anew what is on them.

        That of an object's copies one is no delta, and its base not needed, is not looked at: too
        many are found then, never too few.
        """
        self._tabulate(
            "links",
            "SELECT o.number AS upper, b.number AS lower, o.size, b.length,"
            f" b.frame != {FrameKind.DELTA.value} AS root"
            " FROM objects o JOIN objects b ON b.id = o.base"
            f" WHERE o.frame = {FrameKind.DELTA.value} AND NOT content(b.number)"
            " AND NOT broken(o.number)",
        )
        self._catalog.work("CREATE INDEX temp.by_upper ON links(upper)")
        # from content down to the first base that is content; min() has no type, and without one
        # SQLite does not use the index
        self._tabulate(
            "bases",
            "WITH RECURSIVE needed(number) AS ("
            " SELECT lower FROM links WHERE content(upper) UNION"
            " SELECT links.lower FROM needed JOIN links ON links.upper = needed.number)"
            " SELECT lower, CAST(min(upper) AS INTEGER) AS upper, size, length,"
            " count(*) > 1 OR root AS firm"
            " FROM links WHERE content(upper) OR upper IN needed GROUP BY lower",
        )
        for number, firm in self._catalog.query("SELECT lower, firm FROM bases"):
            self._needed.add(number)
            if firm and not erase:
                self.bases.add(number)
        if not erase:
            self._keep_runs()
        for table in ("links", "bases"):
            self._catalog.work(f"DROP TABLE temp.{table}")

    def _keep_runs(self) -> None:
        """Keep those bases, each under one object, that are small all together."""
        self._catalog.work("DELETE FROM bases WHERE firm")
        self._catalog.work("CREATE INDEX temp.base_upper ON bases(upper)")
        self._tabulate(
            "runs",
            "WITH RECURSIVE run(top, size, lower, length) AS ("
            " SELECT upper, size, lower, length FROM bases"
            " WHERE upper NOT IN (SELECT lower FROM bases) UNION ALL"
            " SELECT run.top, run.size, bases.lower, bases.length"
            " FROM run JOIN bases ON bases.upper = run.lower) SELECT * FROM run",
        )
        for (number,) in self._catalog.query(
            "SELECT lower FROM runs WHERE top IN"
            f" (SELECT top FROM runs GROUP BY top HAVING {RUN_WORTH} * sum(length) <= max(size))"
        ):
            self.bases.add(number)
        self._catalog.work("DROP TABLE temp.runs")

    def _tabulate(self, table: str, question: str) -> None:
        self._catalog.work(f"DROP TABLE IF EXISTS temp.{table}")
        self._catalog.work(f"CREATE TEMP TABLE {table} AS {question}")

    def _find_broken(self) -> None:
        """Find copies that stand on nothing, as what was left behind when a base went.

        Raises Damaged when something that a snapshot needs has no other.
        """
        catalog = self._catalog
        delta = f"frame = {FrameKind.DELTA.value}"
        found = [*catalog.query(
            f"SELECT number, id FROM objects o WHERE {delta}"
            " AND NOT EXISTS (SELECT 1 FROM objects b WHERE b.id = o.base)"
        )]  # fmt: skip
        if not found:
            return
        self._tabulate("standing", f"SELECT number, id, base FROM objects WHERE {delta}")
        catalog.work("CREATE INDEX temp.by_base ON standing(base)")
        while found:
            number, object_id = found.pop()
            if number in self._broken:
                continue
            self._broken.add(number)
            if any(copy.number not in self._broken for copy in catalog.copies(object_id)):
                continue
            if number in self._content:
                what = f"{object_id.hex()} cannot be read: the base of a delta is missing"
                raise Damaged(what, "run: pal verify")
            found += catalog.query("SELECT number, id FROM standing WHERE base = ?", [object_id])
        catalog.work("DROP TABLE temp.standing")

    def _alone(self) -> Iterator[tuple[int, ...]]:
        """Yield pack, bytes stored, kept and renewed, mixed, idle, of frames with one object."""
        yield from self._catalog.query(
            f"SELECT pack, sum(length), sum(length * {_KEPT}), sum(length * {_RENEWED}),"
            f" {_MIXED}, {_IDLE}"
            f" FROM objects WHERE frame != {FrameKind.SOLID.value} GROUP BY pack"
        )

    def _solid(self, erase: bool) -> Iterator[tuple[int, ...]]:
        """The same for each frame that holds many."""
        rows = self._catalog.query(
            f"SELECT pack, length, sum(size), sum(size * {_KEPT}), {_MIXED}, {_IDLE}"
            f" FROM objects WHERE frame = {FrameKind.SOLID.value} GROUP BY pack, offset"
        )
        for pack, length, size, kept, mixed, idle in rows:
            share = kept / size if size else 1.0
            whole = share >= 1 - SOLID_DEAD and not erase
            yield pack, length, length if whole else ceil(length * share), 0, mixed, idle
