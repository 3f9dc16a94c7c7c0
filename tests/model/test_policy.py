"""Policies as they are stored: canonical bytes, and nothing that is amiss is believed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palatine.errors import FormatTooNew, Malformed, UsageError
from palatine.model.checked import checked_line, with_checksum
from palatine.model.policy import (
    ALL,
    PalaceRules,
    Policy,
    Rules,
    check_policy,
    check_rules,
    decode_policy,
    encode_policy,
)

EXAMPLE = Policy(
    palaces=(
        PalaceRules("", "", "Europe/Berlin", Rules(hourly=24, daily=14)),
        PalaceRules("default", "archive", "", Rules(last=ALL, tags=("release",), group="palace")),
    )
)
LINE = (
    b'{"palatine":1,"palaces":[{"tenant":"","palace":"","zone":"Europe/Berlin","rules":{"last":0,'
    b'"hourly":24,"daily":14,"weekly":0,"monthly":0,"yearly":0,"within_us":0,"tags":[],'
    b'"group":"place"}},{"tenant":"default","palace":"archive","zone":"","rules":{"last":-1,'
    b'"hourly":0,"daily":0,"weekly":0,"monthly":0,"yearly":0,"within_us":0,"tags":["release"],'
    b'"group":"palace"}}]}'
)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
COUNTS = st.integers(-1, 1000)
RULES = st.builds(
    Rules,
    last=COUNTS, hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS, yearly=COUNTS,
    within_us=st.integers(0, 2**50), tags=st.sets(NAMES).map(lambda tags: tuple(sorted(tags))),
    group=st.sampled_from(["place", "palace"]),
).filter(lambda rules: not rules.empty)  # fmt: skip
POLICIES = st.dictionaries(
    st.one_of(st.just(("", "")), st.tuples(NAMES, NAMES)),
    st.tuples(st.sampled_from(["", "UTC", "Asia/Calcutta"]), RULES),
    max_size=4,
).map(lambda found: Policy(palaces=tuple(PalaceRules(*key, *found[key]) for key in sorted(found))))


def test_the_stored_bytes() -> None:
    checksum = hashlib.sha256(LINE).hexdigest().encode()
    assert encode_policy(EXAMPLE) == LINE + b"\nsha256 " + checksum + b"\n"
    assert decode_policy(encode_policy(EXAMPLE), "policy/1") == EXAMPLE


@given(POLICIES)
def test_what_is_stored_comes_back(policy: Policy) -> None:
    check_policy(policy)
    assert decode_policy(encode_policy(policy), "policy/1") == policy


@given(POLICIES, st.data())
def test_no_flipped_bit_is_believed(policy: Policy, data: st.DataObject) -> None:
    stored = bytearray(encode_policy(policy))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Malformed, match="policy/7"):
        decode_policy(bytes(stored), "policy/7")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"hourly":24', b'"hourly":"24"'),
        (b'"hourly":24', b'"hourly":-2'),
        (b'"hourly":24', b'"hourly":24.0'),
        (b'"hourly":24', b'"hourly": 24'),
        (b'"hourly":24', b'"hourly":24,"every":1'),
        (b'"hourly":24', b'"minutely":24'),
        (b'"hourly":24', b'"hourly":24,"hourly":24'),
        (b'"hourly":24,"daily":14', b'"hourly":0,"daily":0'),
        (b'"group":"place"', b'"group":"host"'),
        (b'"within_us":0,"tags":[]', b'"within_us":-1,"tags":[]'),
        (b'"tags":["release"]', b'"tags":["release","release"]'),
        (b'"tags":["release"]', b'"tags":["release","a"]'),
        (b'"tags":["release"]', b'"tags":[""]'),
        (b'"palace":"archive"', b'"palace":".archive"'),
        (b'"tenant":"default"', b'"tenant":""'),
        (b'"tenant":"default","palace":"archive"', b'"tenant":"","palace":""'),
        (b'"zone":"Europe/Berlin"', b'"zone":"Europe/Berlin\\n"'),
        (b'"palatine":1', b'"palatine":0'),
        (b"]}", b"]"),
        (LINE, b"[]"),
        (LINE, b"\xff"),
    ],
)
def test_what_no_palatine_writes(old: bytes, new: bytes) -> None:
    assert old in LINE
    with pytest.raises(Malformed):
        decode_policy(with_checksum(LINE.replace(old, new, 1)), "policy/1")


def test_a_later_version_is_told_from_damage() -> None:
    later = LINE.replace(b'"palatine":1', b'"palatine":2').replace(b'"hourly"', b'"minutely"')
    with pytest.raises(FormatTooNew):
        decode_policy(with_checksum(later), "policy/1")


def test_rules_that_keep_nothing_are_refused() -> None:
    for rules in (Rules(), Rules(group="palace")):
        with pytest.raises(UsageError, match="no rule"):
            check_rules(rules)


def test_a_palaces_own_rules_hold_in_the_stead_of_the_general_ones() -> None:
    assert EXAMPLE.of("default", "archive") == EXAMPLE.palaces[1]
    assert EXAMPLE.of("default", "alpha") == EXAMPLE.of("team", "archive") == EXAMPLE.palaces[0]
    assert Policy().of("default", "alpha") is None
    without = EXAMPLE.changed("default", "archive", None)
    assert without.of("default", "archive") == EXAMPLE.palaces[0]
    again = without.changed("default", "archive", EXAMPLE.palaces[1])
    assert again == EXAMPLE


@given(st.binary(max_size=60).filter(lambda line: b"\n" not in line))
def test_lines_with_checksums(line: bytes) -> None:
    assert checked_line(with_checksum(line)) == line
    assert checked_line(line) is None
    assert checked_line(with_checksum(line) + b"\n") is None
