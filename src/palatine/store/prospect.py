"""What lies where while packs are emptied, and what will be there afterwards.

What is decided rests on what lay where at the beginning, not on what has been written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import islice
from typing import NamedTuple

from palatine.errors import Damaged
from palatine.ids import ObjectId
from palatine.model.pack import FrameKind
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Catalog, Copy
from palatine.store.reader import Reader
from palatine.store.resolve import Chain, Presence, Remembered, resolve

AT_ONCE = 1000
"""Objects that the catalog is asked for at once."""

_FORESEEN = 40_000
"""Objects of which it is remembered whether they will be there, 200 bytes each."""

# of a copy `o`: its base stays where it may be relied upon
_SUPPORTED = (
    "EXISTS (SELECT 1 FROM objects b WHERE b.id = o.base"
    " AND (own(b.pack) OR usable(b.pack) AND (content(b.number) OR base(b.number))))"
)
# its base does not, and it is not among what is moved
_UNSUPPORTED = (
    f"NOT {_SUPPORTED} AND NOT EXISTS (SELECT 1 FROM objects c WHERE c.id = o.id AND going(c.pack))"
)
BROUGHT = (
    "EXISTS (SELECT 1 FROM objects b WHERE b.id = o.base AND going(b.pack)"
    " AND (content(b.number) OR base(b.number)))"
)
"""Said of a copy `o` in a question to the catalog: its base is moved, too."""

# its object has a copy on another base
_TURNS = "EXISTS (SELECT 1 FROM objects t WHERE t.id = o.id AND t.base != o.base)"


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


class Prospect:
    """What stays, and what of it is there already. `pure`: nothing may stay but content."""

    def __init__(
        self, catalog: Catalog, reader: Reader, stays: Stays, packs: Packs, pure: bool
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self.packs = packs
        self.content = stays.content
        self._bases = Bitmap()
        self._bases.update(stays.bases)
        self._old = packs.going | packs.left
        self._pure = pure
        self.own: set[int] = set()
        """Numbers of the packs that were made."""
        self.copies = Remembered(catalog)
        self.present = Presence(self.copies, self._counts)
        """What may be relied upon now."""
        self._foreseen: dict[ObjectId, bool] = {}
        catalog.define("content", stays.content.__contains__)
        catalog.define("base", self._bases.__contains__)
        catalog.define("going", packs.going.__contains__)
        catalog.define("usable", packs.usable.__contains__)
        catalog.define("own", self.own.__contains__)

    def stays(self, object_id: ObjectId) -> bool:
        """Whether an object will be there: it is content or a kept base, and not another's to move.

        What lies in packs that a collector beside us has condemned, that one stores anew: onto
        what, we cannot know.
        """
        wanted = not self._pure or self._is_marked(self.copies.copies(object_id))
        return wanted and self._will_be(object_id)

    def _will_be(self, object_id: ObjectId) -> bool:
        """Whether an object will be there, by the way in which it was read at the beginning.

        By no other way: that may lead through what is about to be stored onto this object.
        """
        will = self._foreseen.get(object_id)
        if will is not None:
            return will
        passed: list[ObjectId] = []
        for link, copy in self.chain(object_id):
            passed.append(link)
            will = self._foresee(link, copy)
            if will is not None:
                break
        if len(self._foreseen) > _FORESEEN:
            self._foreseen.clear()
        self._foreseen.update(dict.fromkeys(passed, bool(will)))
        return bool(will)

    def _foresee(self, object_id: ObjectId, copy: Copy) -> bool | None:
        """Whether an object will be there; None if that depends on what the copy stands on."""
        if object_id in self._foreseen:
            return self._foreseen[object_id]
        if any(map(self._is_brought, self.copies.copies(object_id))):
            return True
        if not self._counts(copy):
            return False
        return None if copy.frame == FrameKind.DELTA else True

    def chain(self, object_id: ObjectId) -> Chain:
        """Return how an object could be read at the beginning, or else how it can be now."""
        old, bad = self._old, self._reader.known_bad
        chain = resolve(
            self.copies, object_id, lambda copy: copy.pack in old and copy[:2] not in bad
        )
        # where another collector was quicker, old packs are gone
        chain = chain or resolve(self.copies, object_id, lambda copy: copy[:2] not in bad)
        if chain is None:
            raise Damaged(f"object {object_id.hex()} is missing from the repository", "pal verify")
        return chain

    def keep_bases(self, left: Sequence[ObjectId]) -> list[ObjectId]:
        """Have the bases stay by which something in another pack is read.

        Down to the first that stays where it is: that is seen to itself. Returns those of which the
        base is not moved: whether it may be relied upon is another question.
        """
        rest: list[ObjectId] = []
        for at in range(0, len(left), AT_ONCE):
            standing = self._catalog.find(left[at : at + AT_ONCE])
            below = {copy.base for copies in standing.values() for copy in copies if copy.base}
            moved = self._keep(below)
            rest += [
                object_id
                for object_id, copies in standing.items()
                if not any(copy.base in moved for copy in copies)
            ]
        return rest

    def _keep(self, bases: Set[ObjectId]) -> set[ObjectId]:
        """Have bases stay that lie in packs that go, and theirs; return which of all these do."""
        asked: set[ObjectId] = set()
        moved: set[ObjectId] = set()
        while bases:
            asked |= bases
            below: set[ObjectId] = set()
            for object_id, copies in self._catalog.find([*bases]).items():
                going = [copy for copy in copies if copy.pack in self.packs.going]
                if going or not self._is_marked(copies):
                    below.update(copy.base for copy in copies if copy.base)
                if going:
                    moved.add(object_id)
                for copy in going:
                    self._bases.add(copy.number)
            bases = below - asked
        return moved

    def _is_marked(self, copies: Iterable[Copy]) -> bool:
        return any(one.number in self.content or one.number in self._bases for one in copies)

    def left_without_base(self) -> list[ObjectId]:
        """Return what lies in other packs only, but cannot be read without those that go.

        What can be, although not from packs that may be relied upon, is another collector's to
        move. What cannot, is not left to it: it may have been killed.
        """
        return self._unreadable(_UNSUPPORTED)

    def is_whole(self) -> bool:
        """Whether everything that stays is present without the packs that go.

        It is if each object has a copy that may be relied upon, whose base has one, and so on;
        unless some stand on each other in a circle. As they could be read before, one of these has
        copies on different bases: such objects are looked at link by link. So are all that were
        moved when there is damage.
        """
        spoilt = bool(self._reader.known_bad) or any(
            self._catalog.is_cut(pack) for pack in self.packs.usable | self.own
        )
        rows = self._catalog.query(
            f"SELECT id FROM temp.moving o WHERE stays AND (? OR {_TURNS} OR NOT EXISTS ("
            " SELECT 1 FROM objects n WHERE n.id = o.id AND (own(n.pack) OR usable(n.pack))"
            f" AND (n.base = X'' OR n.base = o.base AND {_SUPPORTED})))",
            [spoilt],
        )
        if self._absent((one for (one,) in rows), self._counts):
            return False
        return not self._unreadable(f"({_TURNS} OR {_UNSUPPORTED})")

    def _unreadable(self, suspicion: str) -> list[ObjectId]:
        """Return what stays, lies in packs that do not go, and cannot be read from these alone.

        Looked at is only what there is a suspicion of.
        """
        rows = self._catalog.query(
            # without another copy, nor a base in a pack that does not go, nothing has to be asked
            "SELECT id, EXISTS (SELECT 1 FROM objects c WHERE c.id = o.id AND c.number != o.number)"
            " OR EXISTS (SELECT 1 FROM objects b WHERE b.id = o.base AND NOT going(b.pack))"
            f" FROM objects o WHERE frame = {FrameKind.DELTA.value} AND NOT going(pack)"
            f" AND (content(number) OR base(number)) AND {suspicion}"
        )
        lost: list[ObjectId] = []
        doubtful: set[ObjectId] = set()
        for object_id, doubt in rows:
            if doubt:
                doubtful.add(object_id)
            else:
                lost.append(object_id)
        left = self.packs.left | self.own
        return lost + self._absent(doubtful, lambda copy: copy.pack in left)

    def _absent(self, ids: Iterable[ObjectId], usable: Callable[[Copy], bool]) -> list[ObjectId]:
        """Return which of some objects cannot be read from usable copies, as is known by now."""
        copies = Remembered(self._catalog)
        present = Presence(copies, usable)
        rest, absent = iter(ids), []
        while asked := [*islice(rest, AT_ONCE)]:
            some = [one for one in asked if one not in present.found]
            copies.ask(some, present.found)
            absent += [one for one in some if one not in present]
        return absent

    def ask(self, bases: Iterable[ObjectId]) -> None:
        """Ask the catalog for many whose staying will be asked for."""
        self.copies.ask(bases, self._foreseen.keys())

    def asked_for(self, ids: Sequence[ObjectId]) -> Iterator[ObjectId]:
        """Yield ids, after the catalog was asked for many at once."""
        for at in range(0, len(ids), AT_ONCE):
            some = ids[at : at + AT_ONCE]
            self.copies.ask(some)
            yield from some

    def _counts(self, copy: Copy) -> bool:
        whole = not self._catalog.is_cut(copy.pack) and copy[:2] not in self._reader.known_bad
        return whole and (copy.pack in self.packs.usable or copy.pack in self.own)

    def _is_brought(self, copy: Copy) -> bool:
        """Whether the object of a copy will be there, for it is ours to move and stays."""
        return copy.pack in self.packs.going and self._is_marked([copy])
