"""What of each pack stays in a collection, and what that gains.

Kept are the objects that snapshots need (their content), one copy of each, and those bases that
cost less than storing anew what stands on them. A delta that no snapshot needs itself and on which
one object stands is not kept: onto its own base that object costs no more than both did.
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
        self._spare = Bitmap()
        self._needed = Bitmap()
        self.bases = Bitmap()
        """Numbers of the bases that are kept for what stands on them."""
        catalog.define("content", content.__contains__)
        catalog.define("spare", self._spare.__contains__)
        catalog.define("needed", self._needed.__contains__)
        catalog.define("base", self.bases.__contains__)

    def take(self, erase: bool = False, absent: Set[int] = frozenset()) -> list[Account]:
        """Return the account of every pack; with `erase`, no base is kept for its dependents.

        A copy in one of the packs that are `absent` stays only if there is no other.
        """
        self._find_spares(absent)
        self._find_bases(erase)
        self._check_bases()
        self._catalog.work("DROP TABLE temp.links")
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
        """Find the bases that are no content; those on which more than one object stands are kept,
        and full copies: to store what stands on one in full gains no more than its delta.

        That of an object's copies one is no delta, and its base not needed, is not looked at: too
        many are found then, never too few.
        """
        work = self._catalog.work
        work("DROP TABLE IF EXISTS temp.links")
        work(
            "CREATE TEMP TABLE links AS SELECT o.number AS upper, b.number AS lower,"
            f" b.frame != {FrameKind.DELTA.value} AS root"
            " FROM objects o JOIN objects b ON b.id = o.base"
            f" WHERE o.frame = {FrameKind.DELTA.value} AND NOT content(b.number)"
        )
        work("CREATE INDEX temp.by_upper ON links(upper)")
        # from content down to the first base that is content
        question = (
            "WITH RECURSIVE needed(number) AS ("
            " SELECT lower FROM links WHERE content(upper) UNION"
            " SELECT links.lower FROM needed JOIN links ON links.upper = needed.number)"
            " SELECT lower, count(*), root FROM links WHERE content(upper) OR upper IN needed"
            " GROUP BY lower"
        )
        for number, dependents, root in self._catalog.query(question):
            self._needed.add(number)
            if (dependents > 1 or root) and not erase:
                self.bases.add(number)

    def _check_bases(self) -> None:
        """Raise Damaged when something that a snapshot needs stands on nothing."""
        broken = (
            f"SELECT number FROM objects o WHERE frame = {FrameKind.DELTA.value}"
            " AND (content(number) OR needed(number))"
            " AND NOT EXISTS (SELECT 1 FROM objects b WHERE b.id = o.base)"
        )
        if next(self._catalog.query(broken + " LIMIT 1"), None) is None:
            return
        self._catalog.work("CREATE INDEX temp.by_lower ON links(lower)")
        for (object_id,) in self._catalog.query(
            f"WITH RECURSIVE broken(number) AS ({broken} UNION"
            " SELECT links.upper FROM broken JOIN links ON links.lower = broken.number)"
            " SELECT id FROM objects WHERE content(number) AND number IN broken"
        ):
            # a copy that was left behind stands on nothing, too: the object has a better one
            if resolve(self._catalog, object_id, lambda copy: True) is None:
                what = f"{object_id.hex()} cannot be read: the base of a delta is missing"
                raise Damaged(what, "run: pal verify")

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
