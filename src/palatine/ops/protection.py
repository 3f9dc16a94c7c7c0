"""What stays whatever the rules' counts say: tagged, from the future, suddenly much smaller."""

from __future__ import annotations

from collections.abc import Sequence

from palatine.ids import ObjectId
from palatine.model.policy import Rules
from palatine.ops.periods import PERIODS, Zone, local
from palatine.ops.reasons import Findings, Reason, Why
from palatine.store.snapshots import Stored

DAY_US = 86400 * 1_000_000
PRE_RESTORE = "pre-restore"
"""The tag of what a restore put away: it protects for a week, other tags for ever."""
PRE_RESTORE_US = 7 * DAY_US
SHRUNK_US = 30 * DAY_US
"""How long a snapshot much smaller than its parent stays, and the parent with it."""
FUTURE_US = 600 * 1_000_000
"""How far ahead of ours another host's clock may be without its snapshots being of the future."""


def tags_that_protect(stored: Stored, now_us: int) -> list[Reason]:
    """Return why a snapshot stays for its tags' sake alone: each of them is a reason."""
    until_us = stored.snapshot.wall_us + PRE_RESTORE_US
    reasons = [Reason(Why.TAG, tag) for tag in stored.tags if tag != PRE_RESTORE]
    if PRE_RESTORE in stored.tags and now_us < until_us:
        reasons.append(Reason(Why.PRE_RESTORE, PRE_RESTORE, until_us=until_us))
    return reasons


def keep_tagged(ordered: Sequence[Stored], rules: Rules, now_us: int, found: Findings) -> None:
    """Keep what bears a tag; one that the rules name protects also where others would cease to."""
    for one in ordered:
        for tag in sorted(set(rules.tags).intersection(one.tags)):
            found.keep(one, Reason(Why.KEEP_TAG, tag))
        for reason in tags_that_protect(one, now_us):
            if reason.detail not in rules.tags:
                found.keep(one, reason)


def keep_future(ordered: Sequence[Stored], now_us: int, found: Findings) -> None:
    """Keep what a clock dated later than now, without counting it, until that time has come."""
    for one in ordered:
        until_us = one.snapshot.wall_us - FUTURE_US
        if now_us < until_us:
            found.keep(one, Reason(Why.FUTURE, until_us=until_us))
            found.uncounted.add(one.id)


def keep_shrunk(ordered: Sequence[Stored], zone: Zone, now_us: int, found: Findings) -> None:
    """Keep for a while what suddenly was much smaller than before, and what was before.

    Of several in one day of one place, the one after the largest: a palace that shrinks and grows
    each hour would keep everything.
    """
    found.shrunk = _shrunk(ordered)
    chosen: dict[tuple[str, bytes, str], Stored] = {}
    for one in reversed(ordered):
        larger = found.shrunk.get(one.id)
        if larger is None or now_us >= one.snapshot.wall_us + SHRUNK_US:
            continue
        day = PERIODS["daily"](local(one.snapshot.wall_us, zone))
        place = (one.snapshot.host, one.snapshot.path, day)
        before = chosen.setdefault(place, one)
        if _size(found.shrunk[before.id]) <= _size(larger):
            chosen[place] = one
    for one in chosen.values():
        larger, until_us = found.shrunk[one.id], one.snapshot.wall_us + SHRUNK_US
        found.keep(one, Reason(Why.SHRUNK, other=larger.id, until_us=until_us))
        found.keep(larger, Reason(Why.BEFORE_SHRINK, other=one.id, until_us=until_us))


def _shrunk(ordered: Sequence[Stored]) -> dict[ObjectId, Stored]:
    """Return the largest parent of each snapshot that is less than half as large as that."""
    by_id = {one.id: one for one in ordered}
    found: dict[ObjectId, Stored] = {}
    for one in ordered:
        parents = [by_id[parent] for parent in one.snapshot.parents if parent in by_id]
        largest = max(parents, key=_size, default=None)
        if largest is not None and _size(one) * 2 < _size(largest):
            found[one.id] = largest
    return found


def _size(stored: Stored) -> int:
    return stored.snapshot.stats.size
