"""Presence, and the shortest chain of deltas to an object: pure questions to the catalog.

An object is present if one of its copies lies in a usable pack and, where that copy is a delta, its
base is present too. Of several copies the one of least depth is taken, computed over the index: a
pull and a gc can otherwise leave two copies that are each other's base.
"""

from __future__ import annotations

from collections.abc import Callable

from palatine.ids import ObjectId
from palatine.model.pack import FrameKind
from palatine.store.catalog import Catalog, Copy

Chain = list[tuple[ObjectId, Copy]]
"""An object's copy, its base's, and so on to one that is no delta."""

CHAIN_MAX = 192
"""Bases followed before a chain is called endless: skip-8 needs 7 for each factor of 8 in age."""


def resolve(catalog: Catalog, object_id: ObjectId, usable: Callable[[Copy], bool]) -> Chain | None:
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


def _search(catalog: Catalog, object_id: ObjectId, usable: Callable[[Copy], bool]) -> Chain | None:
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
