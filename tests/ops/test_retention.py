"""Each rule of retention by examples: what stays, what goes, and the reason that is told."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.retained import (
    BERLIN,
    DAY_US,
    HOUR_US,
    UTC,
    every,
    kept,
    moment,
    snapshot,
    verdicts,
)

from palatine.errors import UsageError
from palatine.model.policy import ALL, Rules
from palatine.ops.moments import span
from palatine.ops.periods import PERIODS, local, system_zone, zone_named
from palatine.ops.retention import judge

LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
CALCUTTA = ZoneInfo("Asia/Calcutta")


def test_the_newest_of_each_of_the_newest_periods() -> None:
    lines = [
        "2026-05-01 09:00",
        "2026-05-01 18:00",
        "2026-05-02 09:00",
        "2026-05-02 18:00",
        "2026-05-03 09:00",
        "2026-05-03 18:00",
    ]
    assert verdicts(lines, Rules(daily=2)) == {
        "2026-05-01 09:00": "goes: beyond",
        "2026-05-01 18:00": "goes: beyond",
        "2026-05-02 09:00": "goes: daily 2026-05-02 is that of 2026-05-02 18:00",
        "2026-05-02 18:00": "stays: daily 2026-05-02",
        "2026-05-03 09:00": "goes: daily 2026-05-03 is that of 2026-05-03 18:00",
        "2026-05-03 18:00": "stays: daily 2026-05-03",
    }


def test_periods_without_a_snapshot_are_passed_over() -> None:
    lines = ["2026-01-01 09:00", "2026-02-01 09:00", "2026-05-01 09:00"]
    assert kept(lines, Rules(daily=2)) == lines[1:]


def test_rules_add_up_and_share_what_they_keep() -> None:
    lines = ["2026-04-30 23:00", "2026-05-01 09:00", "2026-05-02 08:00", "2026-05-02 09:00"]
    found = verdicts(lines, Rules(last=1, daily=2, monthly=2))
    assert found == {
        "2026-04-30 23:00": "stays: monthly 2026-04",
        "2026-05-01 09:00": "stays: daily 2026-05-01",
        "2026-05-02 08:00": "goes: daily 2026-05-02 is that of 2026-05-02 09:00",
        "2026-05-02 09:00": "stays: last, daily 2026-05-02, monthly 2026-05",
    }


def test_a_rule_with_room_left_keeps_the_oldest_too() -> None:
    lines = ["2026-05-01 09:00", "2026-05-01 18:00", "2026-05-02 09:00", "2026-05-02 18:00"]
    found = verdicts(lines, Rules(monthly=3))
    assert found["2026-05-01 09:00"] == "stays: oldest monthly"
    assert kept(lines, Rules(monthly=1)) == ["2026-05-02 18:00"]
    assert kept(lines, Rules(daily=2)) == ["2026-05-01 18:00", "2026-05-02 18:00"]


def test_all_means_every_one() -> None:
    lines = [f"2026-05-{day:02} 09:00" for day in range(1, 29)]
    assert kept(lines, Rules(last=ALL)) == lines
    assert kept(lines, Rules(daily=ALL)) == lines
    assert len(kept(lines, Rules(weekly=ALL))) == 6  # five weeks, and the oldest


def test_keep_within_counts_from_the_newest_and_not_from_now() -> None:
    lines = ["2026-03-31 08:59", "2026-04-01 09:00", "2026-05-01 09:00"]
    assert kept(lines, Rules(within_us=30 * DAY_US), now="2027-05-01 09:00") == lines[1:]
    assert kept(lines, Rules(within_us=30 * DAY_US - 1), now="2027-05-01 09:00") == lines[2:]


def test_weeks_are_those_of_iso_8601() -> None:
    # 2026-12-31 is a Thursday, and 2027 begins in week 53 of 2026
    lines = ["2026-12-27 09:00", "2026-12-28 09:00", "2026-12-31 09:00", "2027-01-03 09:00"]
    found = verdicts(lines, Rules(weekly=2))
    assert found["2027-01-03 09:00"] == "stays: weekly 2026-W53"
    assert found["2026-12-27 09:00"] == "stays: weekly 2026-W52"
    assert kept(lines, Rules(weekly=2)) == [lines[0], lines[3]]


def test_days_are_local() -> None:
    lines = ["2026-05-01 23:30", "2026-05-02 00:30"]
    assert len(kept(lines, Rules(daily=2), BERLIN)) == 2
    made = [snapshot(moment(line, BERLIN)) for line in lines]
    in_utc = judge(made, Rules(daily=1), UTC, moment("2026-05-03 00:00"))
    assert [one.stays for one in in_utc] == [True, False]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-05-01", 24)]
)
def test_days_of_23_and_25_hours(day: str, hours: int) -> None:
    start = moment(f"{day} 00:00", BERLIN)
    line = every(HOUR_US, hours, start)
    named = {PERIODS["daily"](local(one.snapshot.wall_us, BERLIN)) for one in line}
    assert named == {day}
    # each hour that passed counts once, also the one of which the clocks show two
    stays = judge(line, Rules(hourly=ALL), BERLIN, start + DAY_US * 2)
    assert sum(one.stays for one in stays) == hours
    stays = judge([*line, snapshot(start - 1)], Rules(hourly=hours), BERLIN, start + DAY_US * 2)
    assert [one.stays for one in stays] == [True] * hours + [False]


def test_the_repeated_hour_is_two_hours() -> None:
    lines = ["2026-10-25 02:10", "2026-10-25 02:50", "2026-10-25 02:10 +2", "2026-10-25 02:50 +2"]
    assert verdicts(lines, Rules(hourly=2), BERLIN) == {
        lines[0]: f"goes: hourly 2026-10-25 02:00 +0200 is that of {lines[1]}",
        lines[1]: "stays: hourly 2026-10-25 02:00 +0200",
        lines[2]: f"goes: hourly 2026-10-25 02:00 +0100 is that of {lines[3]}",
        lines[3]: "stays: hourly 2026-10-25 02:00 +0100",
    }


def test_the_skipped_hour_is_none() -> None:
    before, after = "2026-03-29 01:59", "2026-03-29 03:00"
    assert kept([before, after], Rules(hourly=2), BERLIN) == [before, after]
    assert moment(after, BERLIN) - moment(before, BERLIN) == 60_000_000


def test_hours_are_those_of_the_wall_also_where_they_begin_at_half_past_in_utc() -> None:
    lines = ["2026-05-01 09:45", "2026-05-01 10:15", "2026-05-01 10:45"]
    assert kept(lines, Rules(hourly=1), CALCUTTA) == lines[2:]
    assert kept(lines, Rules(hourly=2), CALCUTTA) == [lines[0], lines[2]]


def test_a_zone_that_turns_by_half_an_hour() -> None:
    # at 2:00 on 5 April 2026 the clocks of Lord Howe Island went back to 1:30
    lines = ["2026-04-05 01:15", "2026-04-05 01:45", "2026-04-05 01:45 +2", "2026-04-05 02:15"]
    assert kept(lines, Rules(hourly=3), LORD_HOWE) == lines[1:]


def test_the_systems_own_zone_serves_too() -> None:
    # the tests run in whatever zone there is: a day is at least one bucket, a moment has a name
    line = every(HOUR_US, 48, moment("2026-05-01 00:00"))
    stays = [one for one in judge(line, Rules(daily=ALL), None, DAY_US * 30_000) if one.stays]
    assert 2 <= len(stays) <= 4
    expected = local(line[-1].snapshot.wall_us, None)
    assert expected.timestamp() * 1_000_000 == line[-1].snapshot.wall_us


def test_tags_protect() -> None:
    lines = ["2026-01-01 09:00 #release", "2026-02-01 09:00", "2026-05-01 09:00"]
    found = verdicts(lines, Rules(last=1))
    assert found["2026-01-01 09:00"] == "stays: tag release"
    assert found["2026-02-01 09:00"] == "goes: beyond"
    found = verdicts(lines, Rules(tags=("release",)))
    assert found["2026-01-01 09:00"] == "stays: keep tag release"
    assert found["2026-05-01 09:00"] == "stays: newest"
    assert found["2026-02-01 09:00"] == "goes: beyond"


def test_what_a_restore_put_away_stays_for_a_week() -> None:
    lines = ["2026-05-01 09:00 #pre-restore", "2026-05-01 10:00", "2026-05-12 09:00"]
    before = verdicts(lines, Rules(last=1), now="2026-05-08 08:59")
    assert before["2026-05-01 09:00"] == "stays: pre restore until 2026-05-08 09:00"
    assert verdicts(lines, Rules(last=1), now="2026-05-08 09:00")["2026-05-01 09:00"].startswith(
        "goes"
    )
    both = [lines[0] + " #mine", *lines[1:]]
    assert verdicts(both, Rules(last=1))["2026-05-01 09:00"] == "stays: tag mine"
    asked = verdicts(lines, Rules(last=1, tags=("pre-restore",)))
    assert asked["2026-05-01 09:00"] == "stays: keep tag pre-restore"


def test_a_tagged_one_counts_like_any_other() -> None:
    lines = ["2026-05-01 09:00", "2026-05-01 10:00 #release", "2026-05-02 09:00"]
    found = verdicts(lines, Rules(daily=2))
    assert found["2026-05-01 10:00"] == "stays: daily 2026-05-01, tag release"
    assert found["2026-05-01 09:00"].startswith("goes")


def test_the_newest_stays_unless_it_may_go() -> None:
    lines = ["2026-05-01 09:00 #x", "2026-05-02 09:00"]
    assert kept(lines, Rules(tags=("x",))) == [line[:16] for line in lines]
    assert kept(lines, Rules(tags=("x",)), even_last=True) == ["2026-05-01 09:00"]


@pytest.mark.parametrize("flaw", ["!incomplete", "!damaged"])
def test_what_is_flawed_pushes_out_nothing_sound(flaw: str) -> None:
    lines = [
        "2026-05-01 09:00",
        "2026-05-02 09:00",
        *(f"2026-05-03 {hour:02}:00 {flaw}" for hour in range(9, 18)),
    ]
    assert kept(lines, Rules(last=2)) == [
        "2026-05-01 09:00",
        "2026-05-02 09:00",
        "2026-05-03 16:00",
        "2026-05-03 17:00",
    ]
    found = verdicts(lines, Rules(daily=1))
    assert found["2026-05-02 09:00"] == "stays: daily 2026-05-02"
    assert found["2026-05-03 17:00"] == "stays: daily 2026-05-03 (does not count)"
    assert found["2026-05-03 09:00"].startswith("goes")


def test_a_sound_one_stands_for_its_period_before_a_later_flawed_one() -> None:
    lines = ["2026-05-01 09:00", "2026-05-01 10:00 !incomplete", "2026-05-02 09:00"]
    assert kept(lines, Rules(daily=2)) == ["2026-05-01 09:00", "2026-05-02 09:00"]


def test_a_flawed_one_counts_once_a_sound_one_came_after_it() -> None:
    lines = ["2026-05-01 09:00", "2026-05-02 09:00 !damaged", "2026-05-03 09:00"]
    assert kept(lines, Rules(daily=2)) == ["2026-05-02 09:00", "2026-05-03 09:00"]


def test_what_is_never_complete_is_thinned_all_the_same() -> None:
    lines = [f"2026-05-{day:02} 09:00 !incomplete" for day in range(1, 20)]
    assert kept(lines, Rules(daily=3)) == [line[:16] for line in lines[-3:]]


def test_the_newest_sound_one_stays_even_where_no_rule_reaches_it() -> None:
    lines = ["2026-05-01 09:00", "2026-05-02 09:00 !incomplete", "2026-05-03 09:00 !incomplete"]
    found = verdicts(lines, Rules(tags=("none",)))
    assert found["2026-05-01 09:00"] == "stays: newest healthy"
    assert found["2026-05-02 09:00"] == "goes: beyond (does not count)"
    assert found["2026-05-03 09:00"] == "stays: newest (does not count)"


SHRINKING = [
    "2026-05-01 09:00 100MB",
    "2026-05-01 10:00 100MB after=09:00",
    "2026-05-01 11:00 20MB after=10:00",
    "2026-05-01 12:00 21MB after=11:00",
]


def test_the_last_before_it_shrank_stays_for_a_month() -> None:
    assert verdicts(SHRINKING, Rules(daily=1)) == {
        "2026-05-01 09:00": "goes: daily 2026-05-01 is that of 2026-05-01 12:00",
        "2026-05-01 10:00": "stays: before shrink 2026-05-01 11:00 until 2026-05-31 11:00",
        "2026-05-01 11:00": "stays: shrunk 2026-05-01 10:00 until 2026-05-31 11:00",
        "2026-05-01 12:00": "stays: daily 2026-05-01",
    }
    assert kept(SHRINKING, Rules(daily=1), now="2026-05-31 11:00") == ["2026-05-01 12:00"]


def test_half_as_large_is_not_much_smaller() -> None:
    lines = ["2026-05-01 09:00 100MB", "2026-05-01 10:00 50MB after=09:00"]
    assert kept(lines, Rules(last=1)) == ["2026-05-01 10:00"]


def test_shrinking_each_hour_keeps_one_pair_a_day() -> None:
    line = every(HOUR_US, 0, 0)
    for at in range(96):
        size = (100 + at % 24) << 20 if at % 2 else 1000
        parents = [line[-1].id] if line else []
        line.append(snapshot(moment("2026-05-01 00:00") + at * HOUR_US, size=size, parents=parents))
    found = judge(line, Rules(last=1), UTC, moment("2026-05-06 00:00"))
    assert sum(one.stays for one in found) == 2 * 4 + 1
    largest = [one for one in found if one.stays and one.stored.snapshot.stats.size > 1000]
    # the day's largest that a smaller one followed: at 21:00 with 121 MB, for 23:00 precedes 0:00
    assert {local(one.stored.snapshot.wall_us, UTC).hour for one in largest} <= {21, 23}


def test_what_is_of_the_future_takes_nobodys_place() -> None:
    lines = [
        "2026-05-01 09:00",
        "2026-05-01 10:00",
        *(f"2027-06-01 {hour:02}:00" for hour in range(24)),
        "2026-05-01 11:00 time=2027-06-01 23:01",
    ]
    stays = kept(lines, Rules(hourly=3), now="2026-05-01 12:00")
    assert stays == [line[:16] for line in lines]
    stays = kept(lines, Rules(hourly=2), now="2026-05-01 12:00")
    assert stays == [line[:16] for line in lines[1:]]
    found = verdicts(lines, Rules(hourly=2), now="2026-05-01 12:00")
    assert found["2027-06-01 05:00"] == "stays: future until 2027-06-01 04:50 (does not count)"


def test_a_clock_that_is_a_little_ahead_is_no_matter() -> None:
    lines = ["2026-05-01 09:00", "2026-05-01 12:09"]
    assert kept(lines, Rules(last=1), now="2026-05-01 12:00") == lines[1:]


def test_order_is_that_of_the_parents_when_the_clock_was_set_back() -> None:
    lines = [
        "2026-05-03 09:00",
        "2026-05-01 09:00 time=2026-05-03 09:01",
        "2026-05-01 10:00 time=2026-05-03 09:02",
    ]
    assert kept(lines, Rules(last=1), now="2026-06-01 00:00") == ["2026-05-01 10:00"]
    assert kept(lines, Rules(daily=2), now="2026-06-01 00:00") == [
        "2026-05-03 09:00",
        "2026-05-01 10:00",
    ]


def test_a_clock_that_is_set_back_again_and_again_takes_one_place() -> None:
    lines = []
    for day in range(1, 8):
        lines.append(f"1970-01-01 00:0{day} time=2026-05-0{day} 08:00")
        lines.append(f"2026-05-0{day} 09:00")
    stays = kept(lines, Rules(daily=7), now="2026-05-08 00:00")
    assert stays == [
        *(f"2026-05-0{day} 09:00" for day in range(2, 7)),
        "1970-01-01 00:07",
        "2026-05-07 09:00",
    ]


def test_a_period_stands_where_the_snapshot_stands_that_is_kept_of_it() -> None:
    lines = [
        "2026-05-01 09:00",
        "2026-05-02 09:00 #release",
        "2026-05-01 10:00 time=2026-05-02 09:01 !incomplete",
        "2026-05-03 09:00",
    ]
    stays = kept(lines, Rules(daily=2))
    assert stays == ["2026-05-02 09:00", "2026-05-03 09:00"]
    assert kept([line for line in lines if line[:16] in stays], Rules(daily=2)) == stays


def test_each_place_counts_for_itself() -> None:
    lines = [
        "2026-05-01 09:00 host=a",
        "2026-05-01 09:10 host=b",
        "2026-05-01 10:00 host=a",
        "2026-05-01 10:10 host=b",
    ]
    assert kept(lines, Rules(last=1)) == ["2026-05-01 10:00", "2026-05-01 10:10"]
    assert kept(lines, Rules(last=1, group="palace")) == ["2026-05-01 10:10"]


@pytest.mark.parametrize(
    ("text", "us"),
    [("30d", 30 * DAY_US), ("12h", 12 * HOUR_US), ("1y", 365 * DAY_US), ("30min", HOUR_US // 2)],
)
def test_lengths_of_time(text: str, us: int) -> None:
    assert span(text) == us


@pytest.mark.parametrize("text", ["30", "6m", "", "d", "-1d", "1.5d", "1d2h"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError):
        span(text)


def test_the_systems_zone_has_a_name(tmp_path: Path) -> None:
    assert system_zone("Europe/Berlin") == "Europe/Berlin"
    assert system_zone(":Europe/Berlin") == "Europe/Berlin"
    assert system_zone("") == "UTC"
    assert system_zone("CET-1CEST,M3.5.0,M10.5.0/3") == ""
    (tmp_path / "etc").mkdir()
    assert system_zone(None, tmp_path) == ""
    (tmp_path / "etc" / "timezone").write_text("Asia/Calcutta\n")
    assert system_zone(None, tmp_path) == "Asia/Calcutta"
    (tmp_path / "etc" / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Lisbon")
    assert system_zone(None, tmp_path) == "Europe/Lisbon"


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_a_zone_nobody_knows(name: str) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        zone_named(name)
