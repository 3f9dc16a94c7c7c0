"""Merging JSON item by item: lists by `id`, objects (where the layout says so) by name.

Items without an id are told by all they hold. What cannot be read is never taken for empty: it is
left as it is, and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from palatine.restore.merge.jsons import Container, Member, canonical, container, parse
from palatine.restore.merge.report import Counts, Why
from palatine.restore.merge.verdicts import Verdict, counted, decided

Tell = Callable[[str, Why], bool]
"""Takes which item is a conflict, and why; returns whether theirs wins."""


class NotMergeable(Exception):
    """The two are no lists of objects, or no objects: they are taken whole or not at all."""


class Items:
    """One merge of JSON documents."""

    def __init__(self, names: bool, counts: Counts, tell: Tell) -> None:
        """`names`: objects are merged name by name, and lists may be of anything."""
        self._names = names
        self._counts = counts
        self._tell = tell

    def merge(self, ours: bytes, theirs: bytes, base: bytes | None) -> bytes:
        """Return ours with what theirs changed. Raises ValueError, NotMergeable.

        A base that cannot be read is none.
        """
        before, mine, after = parse(ours)
        _, its, _ = parse(theirs)
        try:
            old = parse(base)[1] if base is not None else None
        except ValueError:
            old = None
        text = self._merged(mine, its, old, "")
        if text is None:
            raise NotMergeable
        return f"{before}{text}{after}".encode("utf-8", "surrogatepass")

    def _merged(self, ours: Member, theirs: Member, base: Member | None, at: str) -> str | None:
        """Return the text of two values merged, None where that can only be done whole."""
        values = [ours.value, theirs.value]
        kind = type(ours.value)
        if type(theirs.value) is not kind or kind not in (list, dict):
            return None
        old = container(base) if base is not None and type(base.value) is kind else None
        mine, its = container(ours), container(theirs)
        objects = all(isinstance(item, dict) for one in values for item in one)
        if kind is list and (self._names or objects):
            return mine.with_members(self._list(mine, its, old, at), its)
        mine_by, its_by, old_by = mine.names, its.names, old.names if old else {}
        if kind is dict and self._names and mine_by is not None and its_by is not None:
            return mine.with_members(self._object(mine_by, its_by, old_by or {}, at), its)
        return None

    def _object(
        self,
        ours: Mapping[str | None, Member],
        theirs: Mapping[str | None, Member],
        base: Mapping[str | None, Member],
        at: str,
    ) -> list[Member]:
        found = []
        for name in dict.fromkeys((*ours, *theirs)):
            sides = ours.get(name), theirs.get(name), base.get(name)
            member = self._one(sides, f"{at}.{name}" if at else str(name), whole=False)
            if member is not None:
                found.append(member)
        return found

    def _list(
        self, ours: Container, theirs: Container, base: Container | None, at: str
    ) -> list[Member]:
        lists = [ours.members, theirs.members, base.members if base else ()]
        twice = {one for side in lists for one, many in Counter(map(_id, side)).items() if many > 1}
        keyed, loose = [], []
        for side in lists:
            keyed.append({_id(one): one for one in side if _id(one) not in (None, *twice)})
            loose.append([one for one in side if _id(one) in (None, *twice)])
        wanted = self._wanted(loose)
        found: list[Member | None] = []
        for one in (*ours.members, *theirs.members):
            key = _id(one)
            if wanted.get(one.canonical):
                wanted[one.canonical] -= 1
                found.append(one)
            elif key in keyed[0] or key in keyed[1]:
                sides = keyed[0].pop(key, None), keyed[1].pop(key, None), keyed[2].get(key)
                where = f"{at} id={key}" if at else f"id={key}"
                found.append(self._one(sides, where, whole=True))
        return [one for one in found if one is not None]

    def _wanted(self, loose: Sequence[Sequence[Member]]) -> dict[str, int]:
        """Return how many of the items without an id there shall be, by what they hold."""
        ours, theirs, base = (Counter(one.canonical for one in side) for side in loose)
        wanted = {}
        for key in (*ours, *theirs):
            wanted[key] = counted(ours[key], theirs[key], base[key])
        for key, number in wanted.items():
            self._counts.added += max(0, number - ours[key])
            self._counts.removed += max(0, ours[key] - number)
            self._counts.kept += min(number, ours[key])
        return wanted

    def _one(
        self, sides: tuple[Member | None, Member | None, Member | None], at: str, whole: bool
    ) -> Member | None:
        """Return what becomes of one item or name; `whole`: nothing in it is merged on its own."""
        ours, theirs, base = sides
        mine, its, old = (one and one.canonical for one in sides)
        verdict = Verdict.KEEP if mine == its else decided(its == old, mine == old)
        if verdict == Verdict.CONFLICT and not whole and ours is not None and theirs is not None:
            text = self._merged(ours, theirs, base, at)
            if text is not None:
                return ours._replace(text=text)
        if verdict == Verdict.CONFLICT:
            why = Why.REMOVED_THERE if theirs is None else Why.BOTH
            self._counts.conflicting += 1
            if not self._tell(at, Why.REMOVED_HERE if ours is None else why):
                return ours
        if verdict == Verdict.KEEP:
            self._counts.kept += ours is not None
            return ours
        self._counts.added += ours is None
        self._counts.removed += theirs is None
        self._counts.updated += ours is not None and theirs is not None
        return theirs


def _id(member: Member) -> str | None:
    """Return an item's id as a text, None where it has none."""
    found = member.value.get("id") if isinstance(member.value, dict) else None
    return canonical(found) if isinstance(found, str | int) else None
