"""Which snapshots of a palace stay under a set of rules, and why: no input but its arguments.

Order is that of the snapshots' times, which no clock that is set back can turn round; hours, days
and so on are those the wall clock showed when they were taken. docs/retention.md tells the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palatine.ids import ObjectId
from palatine.model.policy import ALL, Rules
from palatine.ops.moments import span_text
from palatine.ops.periods import PERIODS, Zone, local
from palatine.ops.protection import keep_future, keep_shrunk, keep_tagged
from palatine.ops.reasons import Findings, Judged, Reason, Why
from palatine.store.snapshots import Stored


def judge(
    snapshots: Iterable[Stored],
    rules: Rules,
    zone: Zone,
    now_us: int,
    even_last: bool = False,
) -> list[Judged]:
    """Return what becomes of each snapshot of one palace, newest first.

    `even_last` lets go of the newest, and of the newest healthy one, that no rule keeps.
    """
    ordered = sorted(snapshots, key=_order, reverse=True)
    found = Findings()
    keep_future(ordered, now_us, found)
    for line in _lines(ordered, rules, found):
        _judge_line(line, rules, zone, found)
        if not even_last:
            _keep_newest(line, found)
    keep_tagged(ordered, rules, now_us, found)
    keep_shrunk(ordered, zone, now_us, found)
    return [found.of(one) for one in ordered]


def _order(stored: Stored) -> tuple[int, str, ObjectId]:
    return stored.snapshot.time_us, stored.key, stored.id


def _lines(ordered: Sequence[Stored], rules: Rules, found: Findings) -> list[list[Stored]]:
    """Return the snapshots that the counts are of, a line for each place, or one for all."""
    lines: dict[tuple[str, bytes], list[Stored]] = {}
    for one in ordered:
        if one.id not in found.uncounted:
            place = (one.snapshot.host, one.snapshot.path)
            lines.setdefault(place if rules.group == "place" else ("", b""), []).append(one)
    return list(lines.values())


def _judge_line(line: Sequence[Stored], rules: Rules, zone: Zone, found: Findings) -> None:
    """Apply the counts to the newest healthy one and what is before it, and to the rest apart.

    So what is incomplete or damaged takes the place of none while no healthy one came after it; it
    is thinned by the same rules all the same, or a palace that is never complete would keep all.
    """
    first = next((at for at, one in enumerate(line) if one.snapshot.healthy), len(line))
    found.uncounted.update(one.id for one in line[:first])
    for part in (line[:first], line[first:]):
        if part:
            _apply(part, rules, zone, found)


def _apply(part: Sequence[Stored], rules: Rules, zone: Zone, found: Findings) -> None:
    for one in part[: len(part) if rules.last == ALL else rules.last]:
        found.keep(one, Reason(Why.LAST))
    since_us = part[0].snapshot.wall_us - rules.within_us
    for one in part:
        if rules.within_us and one.snapshot.wall_us >= since_us:
            found.keep(one, Reason(Why.WITHIN, span_text(rules.within_us)))
    times = [local(one.snapshot.wall_us, zone) for one in part]
    counts = rules.counts
    for rule, named in PERIODS.items():
        if counts[rule]:
            _keep_periods(part, [named(time) for time in times], Why(rule), counts[rule], found)


def _keep_periods(
    part: Sequence[Stored], names: Sequence[str], rule: Why, count: int, found: Findings
) -> None:
    """Keep the newest healthy snapshot of each of the newest `count` periods that have one."""
    periods: dict[str, list[Stored]] = {}
    for one, name in zip(part, names, strict=True):
        periods.setdefault(name, []).append(one)
    chosen = {name: _standing(members) for name, members in periods.items()}
    newest_first = sorted(periods, key=lambda name: _order(chosen[name]), reverse=True)
    reached = newest_first if count == ALL else newest_first[:count]
    for name in reached:
        found.keep(chosen[name], Reason(rule, name))
        reason = Reason(Why.REPLACED, f"{rule} {name}", chosen[name].id)
        for one in periods[name]:
            found.replaced.setdefault(one.id, reason)
    oldest = _standing(part[::-1])
    room = count == ALL or len(reached) < count
    if room and oldest.id not in {chosen[name].id for name in reached}:
        found.keep(oldest, Reason(Why.OLDEST, rule))


def _standing(members: Sequence[Stored]) -> Stored:
    """Return the one that stands for several: the first that is healthy, else the first."""
    return next((one for one in members if one.snapshot.healthy), members[0])


def _keep_newest(line: Sequence[Stored], found: Findings) -> None:
    """Keep a line's newest snapshot and its newest healthy one, whatever the rules say."""
    for why, one in ((Why.NEWEST, line[0]), (Why.NEWEST_HEALTHY, _standing(line))):
        if one.id not in found.stays:
            found.keep(one, Reason(why))
