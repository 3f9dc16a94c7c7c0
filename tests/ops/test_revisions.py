"""How snapshots are named, and what is said when a name fits none or several."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palatine.errors import AmbiguousRevision, UnknownRevision, UsageError
from palatine.model.snapshot import Snapshot, Stats
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.ops.moments import parse
from palatine.ops.revisions import is_known, resolve, split
from palatine.store.snapshots import Stored

NOW = 1_777_777_777_000_000
DAY = 86_400_000_000


def made(
    object_id: bytes, palace: str, time_us: int, parents: tuple[bytes, ...] = (),
    tags: tuple[str, ...] = (), tenant: str = "default",
) -> Stored:  # fmt: skip
    root = Entry(b"", EntryKind.DIRECTORY, 0o755, 0, 5, parts=(Part(bytes(32), 0),))
    snapshot = Snapshot(
        tenant, palace, time_us, time_us, "host", "user", b"/p", parents, "", "generic",
        Owner(0, "", 0, ""), root, (), Stats(0, 0, 0, 0, 0), (), (), "palatine",
    )  # fmt: skip
    return Stored(object_id, f"key-{time_us}", snapshot, tags)


def some_id(start: str) -> bytes:
    return bytes.fromhex(start + "0" * (64 - len(start)))


ONE, TWO, THREE = some_id("aabbccdd01"), some_id("aabbccdd02"), some_id("1234567890")
OTHER, DEAD, NEAR = some_id("99"), some_id("deadbeef"), some_id("77")
SNAPSHOTS = [
    made(ONE, "alpha", NOW - 3 * DAY, tags=("first", "kept")),
    made(TWO, "alpha", NOW - 2 * DAY, (ONE,)),
    made(THREE, "alpha", NOW - DAY, (TWO,), tags=("kept",)),
    made(OTHER, "alpha", NOW - DAY // 2, tags=("kept",), tenant="team"),
    made(NEAR, "deadbeef", NOW - DAY // 4),
    made(DEAD, "beta.db-1_x", NOW - DAY // 8),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpha", THREE),
        ("default/alpha", THREE),
        ("team/alpha", OTHER),
        ("alpha~", TWO),
        ("alpha~0", THREE),
        ("alpha~1", TWO),
        ("alpha~2", ONE),
        ("alpha~~", ONE),
        ("alpha~1~1", ONE),
        ("alpha#first", ONE),
        ("alpha#kept", THREE),
        ("team/alpha#kept", OTHER),
        ("tag:first", ONE),
        ("tag:kept", OTHER),
        ("aabbccdd01", ONE),
        (ONE.hex(), ONE),
        ("aabbccdd02~", ONE),
        ("12345678", THREE),
        ("alpha@{1d}", THREE),
        ("alpha@{2d}", TWO),
        ("alpha@{60h}", ONE),
        ("alpha@{1d}~", TWO),
        ("alpha~@{3d}", ONE),
        ("beta.db-1_x", DEAD),
    ],
)
def test_every_way_to_name_a_snapshot(text: str, expected: bytes) -> None:
    assert resolve(SNAPSHOTS, text, NOW).id == expected
    assert is_known(SNAPSHOTS, text)


@pytest.mark.parametrize(
    "text",
    ["gamma", "team/beta", "alpha~3", "alpha~99", "alpha#none", "tag:none", "alpha@{4d}",
     "aabbccdd03", "ffffffff", "other/alpha", "AABBCCDD01", "aabbccd"],
)  # fmt: skip
def test_names_that_fit_nothing_say_so_with_a_hint(text: str) -> None:
    with pytest.raises(UnknownRevision) as raised:
        resolve(SNAPSHOTS, text, NOW)
    assert raised.value.hint


@pytest.mark.parametrize("text", ["aabbccdd", "aabbccdd0", "deadbeef"])
def test_names_that_fit_several_list_them(text: str) -> None:
    with pytest.raises(AmbiguousRevision) as raised:
        resolve(SNAPSHOTS, text, NOW)
    fits = [one for one in SNAPSHOTS if one.id.hex().startswith(text) or one.palace == text]
    assert len(fits) > 1
    for one in fits:
        assert one.id.hex()[:16] in raised.value.message
    assert is_known(SNAPSHOTS, text)


@pytest.mark.parametrize("text", ["", ":", "~1", "alpha~x", "alpha@{", "alpha@{never}",
                                  "#tag", "alpha#", "tag:", "alpha:path",
                                  "alpha@{2026-13-01}"])  # fmt: skip
def test_what_is_no_revision_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        resolve(SNAPSHOTS, text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpha:a/b", ("alpha", "", "a/b")),
        ("alpha~2:a:b", ("alpha", "~2", "a:b")),
        ("alpha#t@{2d}~:x\ny", ("alpha#t", "@{2d}~", "x\ny")),
        ("tag:kept:p", ("tag:kept", "", "p")),
        ("alpha:", ("alpha", "", "")),
        ("alpha:@out/x", ("alpha", "", "@out/x")),
        ("alpha@{2026-05-01T12:00}:p", ("alpha", "@{2026-05-01T12:00}", "p")),
        ("alpha", ("alpha", "", None)),
        ("team/alpha:~x", ("team/alpha", "", "~x")),
    ],
)
def test_a_path_follows_the_first_colon(text: str, expected: tuple[str, str, str | None]) -> None:
    assert tuple(split(text)) == expected


@given(st.text(max_size=30))
def test_no_text_ends_in_anything_but_an_answer_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(UsageError):
        resolve(SNAPSHOTS, text, NOW)


@given(st.text(max_size=20))
def test_no_text_of_a_time_ends_in_a_traceback(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse(text, NOW), int)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("2m", 120),
        ("2min", 120),
        ("3h", 10_800),
        ("2d", 172_800),
        ("1w", 604_800),
        ("0d", 0),
    ],
)
def test_ages_count_back_from_now(text: str, seconds: int) -> None:
    assert parse(text, NOW) == NOW - seconds * 1_000_000


@pytest.mark.parametrize(
    ("text", "moment_us"),
    [
        ("1970-01-02T00:00:00Z", 86_400_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001+00:00", 1),
        ("999999999y", None),
        ("0001-01-01", None),
        ("9999-12-31", None),
    ],
)
def test_dates_with_a_zone_are_exact_and_extremes_do_no_harm(
    text: str, moment_us: int | None
) -> None:
    try:
        found = parse(text, NOW)
    except UsageError:
        assert moment_us is None
    else:
        assert moment_us in (None, found)


def test_a_bare_date_means_its_end() -> None:
    start, end = parse("2026-05-01T00:00", NOW), parse("2026-05-01", NOW)
    assert end - start == DAY - 1
