"""Bringing to new packs what lies in condemned ones and is needed.

What stays are content and kept bases (see `store.census`). An object that stays and is present
without the condemned packs is left alone. Else its frame is copied as it is, if its base stays too;
an object whose base does not stay is stored anew, onto the first of its base's bases that stays.

Whatever is written depends on less than it did: on one further down its own chain, or on an object
that was stored anew before it because the same base went. So no two become each other's base. What
is decided rests on what lay where at the beginning, not on what has been written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

from palatine.codec import delta
from palatine.errors import Damaged, Malformed, NotFound, PalatineError
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import FrameKind, Listing, Member
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import COLUMNS, Copy
from palatine.store.census import SOLID_DEAD
from palatine.store.encoder import SOLID_FULL, Base, Encoder, Parts
from palatine.store.resolve import Chain, Copies, Presence, Remembered, resolve

_ROW = 800
"""Bytes that a row takes in memory: a frame may hold ten thousands of tiny objects."""

_AT_ONCE = 1000
"""Objects that the catalog is asked for at once."""

_RUN = 1 << 20
"""Bytes of frames that a worker is given at once to copy."""

_STAND_INS = 100_000
"""Bases that went and what was stored in their stead: forgetting some only costs space."""


class Packs(NamedTuple):
    """Packs by their catalog numbers.

    Those to be emptied, those that may be relied upon, and all but the first: among them are what
    others have condemned.
    """

    going: frozenset[int]
    usable: frozenset[int]
    left: frozenset[int]


class Stays(NamedTuple):
    """What is to stay, by numbers of copies: content, and bases for what stands on them."""

    content: Bitmap
    bases: Bitmap


class Care(NamedTuple):
    """How much care is taken that nothing else survives.

    `pure`: no frame is copied as it is that holds anything but content. `thorough`: no base is kept
    for what lies in packs that do not go; that is stored anew.
    """

    pure: bool
    thorough: bool


class _Row(NamedTuple):
    """A copy in a pack that goes: whether its object stays, and how many copies that has."""

    id: ObjectId
    copy: Copy
    stays: bool
    copies: int


class _Expected:
    """Copies as if each object that is to be moved were stored in full: it will be there."""

    def __init__(self, copies: Copies, brought: Callable[[Copy], bool]) -> None:
        self._copies = copies
        self._brought = brought

    def copies(self, object_id: ObjectId) -> list[Copy]:
        """Return where an object lies."""
        found = self._copies.copies(object_id)
        if not any(self._brought(one) for one in found):
            return found
        return [one._replace(frame=FrameKind.PLAIN, base=b"") for one in found]


class WouldBeLost(PalatineError):
    """What was to be brought to new packs is not all there."""


@dataclass
class Moved:
    """What was done: objects whose frames were copied, objects stored anew, bytes written."""

    copied: int = 0
    renewed: int = 0
    written: int = 0


class Transfer:
    """One emptying of packs."""

    def __init__(self, parts: Parts, stays: Stays, packs: Packs, threads: int, care: Care) -> None:
        self._catalog = parts.catalog
        self._reader = parts.reader
        self._index = parts.index
        self._digest = parts.digest
        self._content = stays.content
        self._bases = Bitmap()
        self._bases.update(stays.bases)
        self._packs = packs
        self._pure, self._thorough = care
        self._names = {row.n: row for row in parts.catalog.packs()}
        self.own: set[int] = set()
        """Numbers of the packs that were made."""
        self._seen = Bitmap()
        self._awaited = Bitmap()
        self._copies = Remembered(parts.catalog)
        self._present = Presence(self._copies, self._counts)
        self._expected = Presence(_Expected(self._copies, self._is_brought), self._will_count)
        self._instead: dict[ObjectId, ObjectId] = {}
        self._encoder = Encoder(parts, threads, self._finished)
        self._run: list[list[_Row]] = []
        self._held = 0
        self._moved = Moved()
        parts.catalog.define("content", stays.content.__contains__)
        parts.catalog.define("base", self._bases.__contains__)
        parts.catalog.define("going", packs.going.__contains__)
        parts.catalog.define("usable", packs.usable.__contains__)

    def run(self, reporter: Reporter) -> Moved:
        """Copy and store anew what has to be; durable and indexed when it returns.

        Raises Damaged, NotFound, and WouldBeLost: then nothing may be deleted.
        """
        try:
            left = self._left_without_base()
            if not self._thorough:
                self._keep_bases(left)
            self._gather()
            with closing(self._rows()) as rows:
                for pack, some in groupby(rows, key=lambda row: row.copy.pack):
                    self._pack(pack, some, reporter)
            self._copy_run()
            for object_id in self._asked_for(left):
                self._restand(object_id)
            self._encoder.finish()
            self._encoder.write_segments()
            self._check()
        finally:
            self._encoder.close()
            self._catalog.work("DROP TABLE IF EXISTS temp.moving")
        self._moved.written = self._encoder.added
        return self._moved

    # What there is to do

    def _gather(self) -> None:
        """Write down what lies in the packs that go, before new copies come to the catalog."""
        work = self._catalog.work
        work("DROP TABLE IF EXISTS temp.moving")
        work(
            f"CREATE TEMP TABLE moving AS SELECT id, {COLUMNS},"
            " content(number) OR base(number) AS stays,"
            " (SELECT count(*) FROM objects c WHERE c.id = o.id) AS copies"
            " FROM objects o WHERE going(pack) ORDER BY pack, offset, start"
        )

    def _keep_bases(self, left: Sequence[ObjectId]) -> None:
        """Have the bases stay by which something in another pack is read."""
        for object_id in self._asked_for(left):
            for base, _ in self._chain(object_id)[1:]:
                for copy in self._copies.copies(base):
                    if copy.pack in self._packs.going:
                        self._bases.add(copy.number)

    def _rows(self) -> Generator[_Row]:
        with closing(self._catalog.query("SELECT * FROM temp.moving ORDER BY rowid")) as found:
            while some := [
                _Row(object_id, Copy._make(copy), bool(stays), copies)
                for object_id, *copy, stays, copies in islice(found, _AT_ONCE)
            ]:
                self._copies.ask(row.copy.base for row in some if row.stays and row.copy.base)
                yield from some

    def _left_without_base(self) -> list[ObjectId]:
        """Return what lies in other packs only, but cannot be read without those that go.

        What can be, although not from packs that may be relied upon, is another collector's to
        move. What cannot, is not left to it: it may have been killed.
        """
        rows = self._catalog.query(
            "SELECT DISTINCT id FROM objects o"
            f" WHERE frame = {FrameKind.DELTA.value} AND NOT going(pack)"
            " AND (content(number) OR base(number)) AND NOT EXISTS ("
            " SELECT 1 FROM objects b WHERE b.id = o.base AND usable(b.pack)"
            " AND (content(b.number) OR base(b.number)))"
            " AND NOT EXISTS (SELECT 1 FROM objects c WHERE c.id = o.id AND going(c.pack))"
        )
        found = [object_id for (object_id,) in rows]
        left = self._packs.left | self.own
        copies = Remembered(self._catalog)
        readable = Presence(copies, lambda copy: copy.pack in left)
        lost = []
        for at in range(0, len(found), _AT_ONCE):
            copies.ask(found[at : at + _AT_ONCE])
            lost += [one for one in found[at : at + _AT_ONCE] if one not in readable]
        return lost

    def _asked_for(self, ids: Sequence[ObjectId]) -> Iterator[ObjectId]:
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]
            self._copies.ask(some)
            yield from some

    def _counts(self, copy: Copy) -> bool:
        whole = not self._catalog.is_cut(copy.pack) and copy[:2] not in self._reader.known_bad
        return whole and (copy.pack in self._packs.usable or copy.pack in self.own)

    def _is_brought(self, copy: Copy) -> bool:
        """Whether the object of a copy will be there, for it is ours to move and stays."""
        stays = copy.number in self._content or copy.number in self._bases
        return stays and copy.pack in self._packs.going

    def _will_count(self, copy: Copy) -> bool:
        return self._is_brought(copy) or self._counts(copy)

    def _stays(self, object_id: ObjectId) -> bool:
        """Whether an object will be there: it is content or a kept base, and not another's to move.

        What lies in packs that a collector beside us has condemned, that one stores anew: onto
        what, we cannot know.
        """
        copies = self._copies.copies(object_id)
        wanted = any(one.number in self._content or one.number in self._bases for one in copies)
        return (wanted or not self._pure) and object_id in self._expected

    def _chain(self, object_id: ObjectId) -> Chain:
        """Return how an object could be read at the beginning, or else how it can be now."""
        old, bad = self._packs.going | self._packs.left, self._reader.known_bad
        chain = resolve(
            self._copies, object_id, lambda copy: copy.pack in old and copy[:2] not in bad
        )
        # where another collector was quicker, old packs are gone
        chain = chain or resolve(self._copies, object_id, lambda copy: copy[:2] not in bad)
        if chain is None:
            raise Damaged(f"object {object_id.hex()} is missing from the repository", "pal verify")
        return chain

    # One pack

    def _pack(self, pack: int, rows: Iterable[_Row], reporter: Reporter) -> None:
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
                    self._in_full(row)
            elif frame[0].copy.frame == FrameKind.SOLID:
                self._solid(frame, wanted)
            elif frame[0].copy.frame == FrameKind.PLAIN or self._stays(frame[0].copy.base):
                self._as_it_is(wanted)
            else:
                self._anew(wanted[0].id)

    def _is_to_move(self, row: _Row) -> bool:
        if row.copies == 1:
            return True
        if row.copy.number in self._seen or row.id in self._present:
            return False
        chosen = self._chain(row.id)[0][1]
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
            self._in_full(row)
        return False

    def _is_intact(self, pack: int) -> bool:
        row = self._names[pack]
        try:
            return self._index.digest_of(pack_name(row.name), row.size) == row.name
        except NotFound:
            return False  # another collector was quicker: the objects have other copies

    def _solid(self, frame: list[_Row], wanted: list[_Row]) -> None:
        """Copy a frame of many objects, or take from it what is wanted."""
        size = sum(row.copy.size for row in frame)
        share = sum(row.copy.size for row in wanted) / size if size else 1.0
        pure = all(row.copy.number in self._content for row in frame)
        full = 2 * size >= SOLID_FULL and share >= 1 - SOLID_DEAD
        if full and (pure or not self._pure):
            self._as_it_is(frame)
            return
        self._moved.renewed += len(wanted)
        self._encoder.submit(2 * size + _ROW * len(wanted), lambda: self._regroup(wanted))

    def _regroup(self, rows: list[_Row]) -> None:
        for row in rows:
            kind = Kind(row.copy.kind)
            self._encoder.full(kind, row.id, self._reader.get(kind, row.id))

    def _as_it_is(self, rows: list[_Row]) -> None:
        self._moved.copied += len(rows)
        self._run.append(rows)
        self._held += rows[0].copy.length + _ROW * len(rows)
        if self._held >= _RUN:
            self._copy_run()

    def _copy_run(self) -> None:
        """Have a worker copy frames that were put off: most are small."""
        run, held = self._run, self._held
        if run:
            self._run, self._held = [], 0
            self._encoder.submit(held, lambda: self._copy_all(run))

    def _copy_all(self, run: Sequence[list[_Row]]) -> None:
        for rows in run:
            self._copy(rows)

    def _copy(self, rows: list[_Row]) -> None:
        copy = rows[0].copy
        try:
            payload = self._reader.payload(copy)
            if copy.frame == FrameKind.DELTA:
                head = delta.read_head(payload)
                if (head.base, head.ordinal, head.length) != (copy.base, copy.ordinal, copy.size):
                    raise Malformed("a delta is not what the index says of it")
        except (NotFound, Malformed):
            self._regroup([row for row in rows if row.stays])
            return
        members = tuple(Member(Kind(row.copy.kind), row.id, row.copy.size) for row in rows)
        self._encoder.frame(FrameKind(copy.frame), payload, members, copy.base, copy.ordinal)

    def _in_full(self, row: _Row) -> None:
        self._moved.renewed += 1
        self._encoder.submit(2 * row.copy.size, lambda: self._regroup([row]))

    # One object

    def _restand(self, object_id: ObjectId) -> None:
        """Store an object in a pack that does not go anew, unless its base stays."""
        chain = self._chain(object_id)
        if len(chain) == 1 or not self._stays(chain[1][0]):
            self._anew(object_id)

    def _anew(self, object_id: ObjectId) -> None:
        """Store an object onto something that stays: its base goes."""
        chain = self._chain(object_id)
        at, below = self._onto(chain)
        for base, _ in chain[1:at]:
            if len(self._instead) >= _STAND_INS:
                self._instead.clear()
            self._instead.setdefault(base, object_id)
        self._moved.renewed += 1
        self._encoder.submit(3 * chain[0][1].size, lambda: self._encode(chain, below))

    def _onto(self, chain: Chain) -> tuple[int, ObjectId | None]:
        """Return what next down a chain stays, or was stored in that one's stead; and how far down.

        What lies deeper has no stand-in by that: whatever is stored anew there could come to stand
        on something that stands on it.
        """
        for at, (base, _) in enumerate(chain[1:], 1):
            if base in self._instead:
                return at, self._instead[base]
            if self._stays(base):
                return at, base
        return len(chain), None

    def _encode(self, chain: Chain, below: ObjectId | None) -> None:
        object_id, copy = chain[0]
        kind = Kind(copy.kind)
        if below is None or copy.ordinal == 0:
            self._encoder.full(kind, object_id, self._reader.get(kind, object_id))
            return
        under = self._chain(below)
        base = bytearray(self._reader.get(Kind(under[0][1].kind), below))
        data = self._upwards(chain, below, base) or self._reader.get(kind, object_id)
        self._encoder.delta(kind, object_id, data, Base(below, base, copy.ordinal, under[-1][1]))

    def _upwards(self, chain: Chain, below: ObjectId, base: bytearray) -> bytearray | None:
        """Return an object's bytes from those of one further down its chain, where that is so."""
        at = next((at for at, (one, _) in enumerate(chain) if one == below), 0)
        data = bytearray(base)
        try:
            for _, copy in reversed(chain[:at]):
                self._reader.apply(copy, data)
        except (Malformed, NotFound):
            return None
        good = at and self._digest.object_id(Kind(chain[0][1].kind), data) == chain[0][0]
        return data if good else None

    def _check(self) -> None:
        """Look once more: everything that stays has to be present without the packs that go."""
        copies = Remembered(self._catalog)
        present = Presence(copies, self._counts)  # workers may have met damage meanwhile
        whole = True
        with closing(self._catalog.query("SELECT id FROM temp.moving WHERE stays")) as rows:
            while whole and (some := [one for (one,) in islice(rows, _AT_ONCE)]):
                copies.ask(some)
                whole = all(one in present for one in some)
        if not whole or self._left_without_base():
            raise WouldBeLost(
                "something that is needed would have been lost; nothing was deleted",
                "this is a bug in palatine: please report it, and run: pal verify",
            )

    def _finished(self, numbers: list[int], listing: Listing) -> None:
        self.own.update(numbers)
