"""Every block of docs/retention.md is what the rules say of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.retained import BERLIN, DAY_US, HOUR_US, every, moment, verdicts

from palatine.cli import keeping
from palatine.cli.runner import group
from palatine.model.policy import PalaceRules, Rules
from palatine.ops.policy import SUGGESTED
from palatine.ops.protection import FUTURE_US, PRE_RESTORE_US, SHRUNK_US
from palatine.ops.retention import judge

TEXT = (Path(__file__).parents[2] / "docs" / "retention.md").read_text("utf-8")
BLOCKS = re.findall(r"^```retention (.*?)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FORGET: Any = group()
COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def rules_of(options: str) -> tuple[Rules, ZoneInfo]:
    """Return the rules and the zone that the options of a command line ask for."""
    context = FORGET.commands["forget"].make_context("forget", shlex.split(options))
    given = context.params
    counts = {name: given[f"keep_{name}"] for name in COUNTS}
    rules = keeping.rules(counts, given["keep_within"], given["keep_tag"], given["group_by"])
    return rules, ZoneInfo(given["zone"] or "UTC")


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 10


@pytest.mark.parametrize(
    ("options", "block"), BLOCKS, ids=[f"{at} {one[0]}" for at, one in enumerate(BLOCKS)]
)
def test_block(options: str, block: str) -> None:
    told = [re.split(r"\s{2,}(?=stays: |goes: )", line) for line in block.splitlines()]
    options, _, now = options.partition(" --now ")
    rules, zone = rules_of(options)
    lines = [line for line, _ in told]
    found = verdicts(lines, rules, zone, now.replace("T", " ") or None)
    assert list(found.values()) == [verdict for _, verdict in told]


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    assert PRE_RESTORE_US == 7 * DAY_US
    assert "for a week" in TEXT
    assert SHRUNK_US == 30 * DAY_US
    assert "for 30 days" in TEXT
    assert FUTURE_US == 10 * 60 * 1_000_000
    assert "more than ten minutes ahead" in TEXT


def test_what_is_suggested_and_what_it_leaves() -> None:
    (told,) = re.findall(r"^```suggested\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    assert told == keeping.command(PalaceRules("", "", "", SUGGESTED))
    start, days = moment("2026-01-01 00:00", BERLIN), 730
    line = every(HOUR_US, days * 24, start)
    # one gc at the end leaves what one a day leaves: test_retention_properties.py
    now_us = start + days * DAY_US
    judged = judge(line, SUGGESTED, BERLIN, now_us)
    stays = [one for one in judged if one.stays]
    ages = [(now_us - one.stored.snapshot.wall_us) // DAY_US for one in stays]
    assert f"({len(line):,} snapshots), gc leaves {len(ages)}: the last 24; one of each" in TEXT
    assert [one.stored for one in stays[:24]] == line[:-25:-1]
    assert ages[24:37] == [1, *range(2, 14)]
    weeks = [age for age in ages if 14 <= age < 50 and age != 31]
    assert f"{', '.join(map(str, weeks[:-1]))} and {weeks[-1]} days old" in TEXT
    assert [age for age in ages if age > 50] == [
        61, 92, 122, 153, 184, 214, 245, 275, 306, 334, 365, 730,
    ]  # fmt: skip
