"""Presence, and the shortest chain of deltas to an object: pure questions to the catalog.

An object is present if one of its copies lies in a usable pack and, where that copy is a delta, its
base is present too. Of several copies the one of least depth is taken, computed over the index: a
pull and a gc can otherwise leave two copies that are each other's base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Protocol

from palatine.ids import ObjectId
from palatine.model.pack import FrameKind
from palatine.store.catalog import Catalog, Copy

Chain = list[tuple[ObjectId, Copy]]
"""An object's copy, its base's, and so on to one that is no delta."""

CHAIN_MAX = 192
"""Bases followed before a chain is called endless: skip-8 needs 7 for each factor of 8 in age."""


_REMEMBERED = 10_000
"""Objects whose copies are remembered, a few hundred bytes each: chains have links in common."""


class Copies(Protocol):
    """Who knows where objects lie."""

    def copies(self, object_id: ObjectId) -> list[Copy]:
        """Return every place an object lies."""


class Remembered:
    """What the catalog said of some objects, for whoever can bear not to hear of newer copies."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[ObjectId, list[Copy]] = {}

    def copies(self, object_id: ObjectId) -> list[Copy]:
        """Return the places where an object lay when it was asked for first."""
        found = self._known.get(object_id)
        if found is None:
            found = self._catalog.copies(object_id)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            if found:
                self._known[object_id] = found
        return found

    def __contains__(self, object_id: ObjectId) -> bool:
        """Whether an object that was asked for lay anywhere."""
        return object_id in self._known

    def ask(self, ids: Iterable[ObjectId], settled: Set[ObjectId] = frozenset()) -> None:
        """Ask for some objects, and for those that they stand on, at once: twice as quick.

        Nobody wants to know what those that are `settled` stand on, nor where they lie unless they
        are among the objects.
        """
        wanted = {*ids}
        if len(self._known) + len(wanted - self._known.keys()) > _REMEMBERED:
            self._known.clear()  # of those that are asked for, too
        wanted -= self._known.keys()
        while wanted:
            found = self._catalog.find([*wanted])
            self._known |= found
            bases = {
                copy.base
                for object_id, copies in found.items()
                if object_id not in settled
                for copy in copies
                if copy.base
            }
            wanted = bases - self._known.keys() - settled

    def forget(self) -> None:
        """Ask the catalog again from now on."""
        self._known.clear()


class Presence:
    """Which objects are present, for as long as no usable copy ceases to be one."""

    def __init__(self, catalog: Copies, usable: Callable[[Copy], bool]) -> None:
        self._catalog = catalog
        self._usable = usable
        self._depths: dict[ObjectId, int] = {}

    @property
    def found(self) -> Set[ObjectId]:
        """Objects that were found to be present: nothing more is asked about them."""
        return self._depths.keys()

    def __contains__(self, object_id: ObjectId) -> bool:
        """Whether `resolve` finds a chain."""
        path: list[ObjectId] = []
        at = object_id
        while at not in self._depths:
            copies = [copy for copy in self._catalog.copies(at) if self._usable(copy)]
            path.append(at)
            if any(copy.frame != FrameKind.DELTA for copy in copies):
                return self._remember(path, 0)
            if len(copies) != 1 or len(path) >= CHAIN_MAX:
                return bool(copies) and resolve(self._catalog, object_id, self._usable) is not None
            at = copies[0].base
        if len(path) + self._depths[at] > CHAIN_MAX:
            return resolve(self._catalog, object_id, self._usable) is not None
        return self._remember(path, self._depths[at])

    def _remember(self, path: list[ObjectId], below: int) -> bool:
        if len(self._depths) > 4 * _REMEMBERED:
            self._depths.clear()
        self._depths.update((one, below + at) for at, one in enumerate(reversed(path), 1))
        return True


def resolve(catalog: Copies, object_id: ObjectId, usable: Callable[[Copy], bool]) -> Chain | None:
    """Return the shortest chain of usable copies to an object, or None when there is none."""
    chain: Chain = []
    at = object_id
    while len(chain) < CHAIN_MAX:
        copies = [copy for copy in catalog.copies(at) if usable(copy)]
        full = next((copy for copy in copies if copy.frame != FrameKind.DELTA), None)
        if full is not None:
            return [*chain, (at, full)]
        if len(copies) != 1:
            return _search(catalog, object_id, usable) if copies else None
        chain.append((at, copies[0]))
        at = copies[0].base
    return None


def _search(catalog: Copies, object_id: ObjectId, usable: Callable[[Copy], bool]) -> Chain | None:
    known: dict[ObjectId, list[Copy]] = {}
    queue = [object_id]
    while queue and len(known) < CHAIN_MAX * 4:
        at = queue.pop()
        if at not in known:
            known[at] = [copy for copy in catalog.copies(at) if usable(copy)]
            queue += [copy.base for copy in known[at] if copy.frame == FrameKind.DELTA]
    best: dict[ObjectId, tuple[int, Copy]] = {}
    for depth in range(CHAIN_MAX):
        found = {}
        for at, copies in known.items():
            if at in best:
                continue
            for copy in copies:
                if copy.frame != FrameKind.DELTA if depth == 0 else copy.base in best:
                    found[at] = (depth, copy)
                    break
        if not found or object_id in best:
            break
        best.update(found)
    return _follow(best, object_id)


def _follow(best: dict[ObjectId, tuple[int, Copy]], object_id: ObjectId) -> Chain | None:
    chain: Chain = []
    at = object_id
    while at in best:
        copy = best[at][1]
        chain.append((at, copy))
        if copy.frame != FrameKind.DELTA:
            return chain
        at = copy.base
    return None
