"""Which snapshot two others come from, by their parents.

A snapshot is an ancestor of itself. Parents that are in the repository no more end their line.
"""

from __future__ import annotations

from collections.abc import Iterable

from palatine.ids import ObjectId
from palatine.store.snapshots import Stored, newest


def ancestors(snapshots: Iterable[Stored], of: Stored) -> dict[ObjectId, Stored]:
    """Return a snapshot and everything it comes from, by id."""
    by_id = {one.id: one for one in snapshots}
    found: dict[ObjectId, Stored] = {}
    waiting = [of]
    while waiting:
        at = waiting.pop()
        if at.id not in found:
            found[at.id] = at
            waiting += [by_id[parent] for parent in at.snapshot.parents if parent in by_id]
    return found


def common_ancestor(snapshots: Iterable[Stored], one: Stored, other: Stored) -> Stored | None:
    """Return the nearest snapshot that both come from, or None.

    Nearest: no other common ancestor comes from it. Of several, as after merges both ways, it is
    the newest.
    """
    known = list(snapshots)
    theirs = ancestors(known, other)
    common = {at: stored for at, stored in ancestors(known, one).items() if at in theirs}
    # whoever is a parent of a common ancestor is farther than that one
    farther = {parent for stored in common.values() for parent in stored.snapshot.parents}
    return newest(stored for at, stored in common.items() if at not in farther)
