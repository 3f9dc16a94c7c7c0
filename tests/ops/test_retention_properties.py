"""What holds of retention whatever the snapshots and the rules are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.retained import BERLIN, DAY_US, HOUR_US, UTC, moment, snapshot
from tests.support import count

from palatine.model.policy import ALL, Rules
from palatine.ops.periods import PERIODS, local
from palatine.ops.reasons import Judged, Why
from palatine.ops.retention import judge
from palatine.store.snapshots import Stored

START = moment("2025-10-20 00:00")  # a week before the clocks are set back in Berlin
SPAN = 400 * DAY_US
ZONES = st.sampled_from(
    [UTC, BERLIN, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/St_Johns")]
)
COUNTS = st.one_of(st.just(0), st.integers(1, 5), st.just(ALL))
RULES = st.builds(
    Rules,
    last=COUNTS, hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS, yearly=COUNTS,
    within_us=st.one_of(st.just(0), st.integers(1, 60 * DAY_US)),
    tags=st.sampled_from([(), ("a",), ("a", "pre-restore")]),
    group=st.sampled_from(["place", "palace"]),
)  # fmt: skip
MOMENTS = st.one_of(
    st.integers(0, SPAN),
    st.integers(0, 60).map(lambda at: at * HOUR_US // 2),  # near to each other, and equal
    st.integers(0, 20).map(lambda at: 6 * DAY_US + at * HOUR_US // 3),  # where the clocks turn
)


@st.composite
def histories(draw: st.DrawFn, tidy: bool = False) -> list[Stored]:
    """Return what may be in a repository of one palace; `tidy`: one place, sound, clocks right."""
    moments = draw(st.lists(MOMENTS, min_size=1, max_size=40))
    if tidy or draw(st.booleans()):
        moments.sort()
    line: list[Stored] = []
    last_us = 0
    for at in moments:
        host = "a" if tidy else draw(st.sampled_from("aab"))
        parents = [one for one in line if one.snapshot.host == host][-1:]
        last_us = max(START + at, last_us + 1)
        more: Any = {} if tidy else draw(st.fixed_dictionaries(_FLAWS))
        line.append(
            snapshot(
                START + at, time_us=last_us, host=host, parents=[one.id for one in parents], **more
            )
        )
    return line


_FLAWS = {
    "missing": st.sampled_from([False, False, True]),
    "damaged": st.sampled_from([False, False, False, True]),
    "size": st.sampled_from([100, 1000, 1000, 5000]),
    "tags": st.sampled_from([(), (), (), ("a",), ("b",), ("pre-restore",)]),
}
NOW = st.integers(START, START + SPAN + 60 * DAY_US)


def ids(judged: Sequence[Judged], stays: bool = True) -> set[bytes]:
    return {one.stored.id for one in judged if one.stays == stays}


@given(histories(), RULES, ZONES, NOW, st.booleans())
def test_forgetting_twice_changes_nothing(
    line: list[Stored], rules: Rules, zone: ZoneInfo, now_us: int, even_last: bool
) -> None:
    first = judge(line, rules, zone, now_us, even_last)
    rest = [one.stored for one in first if one.stays]
    again = judge(rest, rules, zone, now_us, even_last)
    assert ids(again) == ids(first)


@given(histories(), RULES, ZONES, NOW, st.integers(0, 2**32))
def test_the_order_of_the_input_does_not_matter(
    line: list[Stored], rules: Rules, zone: ZoneInfo, now_us: int, seed: int
) -> None:
    shuffled = Random(seed).sample(line, len(line))
    assert judge(shuffled, rules, zone, now_us) == judge(line, rules, zone, now_us)


@given(histories(), RULES, ZONES, NOW)
def test_the_newest_and_the_newest_sound_one_of_each_place_stay(
    line: list[Stored], rules: Rules, zone: ZoneInfo, now_us: int
) -> None:
    stays = ids(judge(line, rules, zone, now_us))
    past = [one for one in line if one.snapshot.wall_us <= now_us]
    for host in {one.snapshot.host for one in past} if rules.group == "place" else {""}:
        place = [one for one in past if not host or one.snapshot.host == host]
        place.sort(key=lambda one: one.snapshot.time_us)
        for group in (place, [one for one in place if one.snapshot.healthy]):
            # one that is a few minutes ahead may stand after it
            assert not group or stays & {one.id for one in group}
            assert not group or group[-1].id in stays or stays & _ahead(line, now_us)


def _ahead(line: Sequence[Stored], now_us: int) -> set[bytes]:
    return {one.id for one in line if now_us < one.snapshot.wall_us <= now_us + 600_000_000}


@given(histories(), RULES, ZONES, NOW, st.sampled_from([*Rules().counts, "within_us"]))
def test_more_keeps_more(
    line: list[Stored], rules: Rules, zone: ZoneInfo, now_us: int, field: str
) -> None:
    less = getattr(rules, field)
    for more in (less + 1, less * 3 + 2, 10**15) if less != ALL else ():
        wider = msgspec.structs.replace(rules, **{field: more})
        judged = judge(line, wider, zone, now_us)
        assert ids(judge(line, rules, zone, now_us)) <= ids(judged), more


@given(histories(), RULES, RULES, ZONES, NOW)
def test_rules_add_up(
    line: list[Stored], one: Rules, other: Rules, zone: ZoneInfo, now_us: int
) -> None:
    other = msgspec.structs.replace(other, group=one.group)
    joined = Rules(
        **{name: max(number, other.counts[name]) if ALL not in (number, other.counts[name]) else ALL
           for name, number in one.counts.items()},
        within_us=max(one.within_us, other.within_us),
        tags=tuple(sorted({*one.tags, *other.tags})), group=one.group,
    )  # fmt: skip
    apart = [ids(judge(line, rules, zone, now_us)) for rules in (one, other)]
    assert ids(judge(line, joined, zone, now_us)) == apart[0] | apart[1]


@given(histories(), RULES, ZONES, NOW)
def test_no_rule_keeps_more_than_it_may(
    line: list[Stored], rules: Rules, zone: ZoneInfo, now_us: int
) -> None:
    judged = judge(line, rules, zone, now_us)
    for one in judged:
        assert one.reasons
        assert one.stays != (one.reasons[0].why in (Why.REPLACED, Why.BEYOND, Why.NAMED))
    places = {one.stored.snapshot.host for one in judged} if rules.group == "place" else {""}
    for host in places:
        of = [one for one in judged if not host or one.stored.snapshot.host == host]
        for counts in (True, False):
            used = Counter(
                why.detail if why.why == Why.OLDEST else why.why.value
                for one in of
                if one.counts == counts
                for why in one.reasons
            )
            for name, number in rules.counts.items():
                assert number == ALL or used[name] <= number, name


@given(histories(tidy=True), RULES, ZONES)
def test_a_tidy_history_is_thinned_as_restic_does(
    line: list[Stored], rules: Rules, zone: ZoneInfo
) -> None:
    now_us = START + SPAN
    rules = msgspec.structs.replace(rules, tags=())
    assert ids(judge(line, rules, zone, now_us)) == as_restic(line, rules, zone) | {line[-1].id}


def as_restic(line: Sequence[Stored], rules: Rules, zone: ZoneInfo) -> set[bytes]:
    """Do what restic's ApplyPolicy does (internal/restic/snapshot_policy.go, 0.16)."""
    stays: set[bytes] = set()
    left = {name: number for name, number in rules.counts.items() if number}
    last: dict[str, str] = {}
    newest_first = line[::-1]
    for at, one in enumerate(newest_first):
        wall_us = one.snapshot.wall_us
        if rules.within_us and wall_us >= newest_first[0].snapshot.wall_us - rules.within_us:
            stays.add(one.id)
        for name in left:
            named = PERIODS.get(name, lambda moment, at=at: str(at))
            value = named(local(wall_us, zone))
            if left[name] and (value != last.get(name) or at == len(line) - 1):
                stays.add(one.id)
                last[name] = value
                left[name] -= left[name] > 0
    return stays


def test_a_year_of_hourly_snapshots_thinned_each_hour_and_all_at_once() -> None:
    """What daily gc leaves is what one gc at the end leaves, but for what only the oldest was."""
    rules = Rules(hourly=24, daily=14, weekly=8, monthly=12, yearly=10)
    days = count(90, 365)
    line: list[Stored] = []
    whole: list[Stored] = []
    for at in range(days * 24):
        made = snapshot(START + at * HOUR_US, parents=[line[-1].id] if line else ())
        line.append(made)
        whole.append(made)
        if at % 24 == 23:
            judged = judge(line, rules, BERLIN, START + at * HOUR_US)
            line = [one.stored for one in reversed(judged) if one.stays]
    at_once = ids(judge(whole, rules, BERLIN, START + len(whole) * HOUR_US))
    assert {one.id for one in line} == at_once
    assert 40 < len(line) < 60
