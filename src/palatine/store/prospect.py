"""What lies where while packs are emptied, and what will be there afterwards.

What is decided rests on what lay where at the beginning, not on what has been written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from palatine.errors import Damaged
from palatine.ids import ObjectId
from palatine.model.pack import FrameKind
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Catalog, Copy
from palatine.store.reader import Reader
from palatine.store.resolve import Chain, Copies, Presence, Remembered, resolve

AT_ONCE = 1000
"""Objects that the catalog is asked for at once."""


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
        self._expected = Presence(_Expected(self.copies, self._is_brought), self._will_count)
        catalog.define("content", stays.content.__contains__)
        catalog.define("base", self._bases.__contains__)
        catalog.define("going", packs.going.__contains__)
        catalog.define("usable", packs.usable.__contains__)

    def stays(self, object_id: ObjectId) -> bool:
        """Whether an object will be there: it is content or a kept base, and not another's to move.

        What lies in packs that a collector beside us has condemned, that one stores anew: onto
        what, we cannot know.
        """
        copies = self.copies.copies(object_id)
        wanted = any(one.number in self.content or one.number in self._bases for one in copies)
        return (wanted or not self._pure) and object_id in self._expected

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

    def keep_bases(self, left: Sequence[ObjectId]) -> None:
        """Have the bases stay by which something in another pack is read."""
        for object_id in self.asked_for(left):
            for base, _ in self.chain(object_id)[1:]:
                for copy in self.copies.copies(base):
                    if copy.pack in self.packs.going:
                        self._bases.add(copy.number)

    def left_without_base(self) -> list[ObjectId]:
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
        left = self.packs.left | self.own
        copies = Remembered(self._catalog)
        readable = Presence(copies, lambda copy: copy.pack in left)
        lost = []
        for at in range(0, len(found), AT_ONCE):
            copies.ask(found[at : at + AT_ONCE])
            lost += [one for one in found[at : at + AT_ONCE] if one not in readable]
        return lost

    def asked_for(self, ids: Sequence[ObjectId]) -> Iterator[ObjectId]:
        """Yield ids, after the catalog was asked for many at once."""
        for at in range(0, len(ids), AT_ONCE):
            some = ids[at : at + AT_ONCE]
            self.copies.ask(some)
            yield from some

    def present_afresh(self) -> tuple[Remembered, Presence]:
        """Return what may be relied upon as the catalog and the reader know it by now."""
        copies = Remembered(self._catalog)
        return copies, Presence(copies, self._counts)

    def _counts(self, copy: Copy) -> bool:
        whole = not self._catalog.is_cut(copy.pack) and copy[:2] not in self._reader.known_bad
        return whole and (copy.pack in self.packs.usable or copy.pack in self.own)

    def _is_brought(self, copy: Copy) -> bool:
        """Whether the object of a copy will be there, for it is ours to move and stays."""
        stays = copy.number in self.content or copy.number in self._bases
        return stays and copy.pack in self.packs.going

    def _will_count(self, copy: Copy) -> bool:
        return self._is_brought(copy) or self._counts(copy)


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
