"""Names: what users may choose, and how they become file names that nothing folds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.strategies import PALACES

from palatine.errors import Malformed, PalatineError, UsageError
from palatine.model.names import (
    check_key,
    check_label,
    check_palace,
    escape,
    join_palace,
    pack_name,
    snapshot_key,
    snapshot_name,
    split_palace,
    unescape,
)

LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(LABELS)
def test_an_escaped_name_comes_back(name: str) -> None:
    assert unescape(escape(name)) == name


@given(LABELS)
def test_an_escaped_name_is_one_no_file_system_minds(name: str) -> None:
    escaped = escape(name)
    assert escaped == escaped.lower()
    assert escaped.isascii()
    assert not set(escaped) & set('/\\:*?"<>| \0')
    assert escaped not in (".", "..")
    assert not escaped.startswith(".")


@given(LABELS, LABELS)
def test_two_names_never_share_a_file(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize("name", ["%61", "A", "%2E", "a b", "%zz", "%", ".a", "ä"])
def test_names_palatine_would_not_write_are_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        unescape(name)


@given(PALACES, PALACES)
def test_a_palace_is_written_and_read_alike(tenant: str, palace: str) -> None:
    assert split_palace(join_palace(tenant, palace)) == (tenant, palace)


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "a b", "a\n", "ä", "x" * 129, "a:b", "~"])
def test_bad_palace_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_palace(name)
    assert "128" in raised.value.hint


@pytest.mark.parametrize("label", ["", " a", "a ", "a\nb", "a\0b", "x" * 81, "ä" * 41, "\u200b"])
def test_bad_tags_are_refused(label: str) -> None:
    with pytest.raises(UsageError):
        check_label(label)


@pytest.mark.parametrize("label", ["a", "Before the move", "x" * 80, "ä" * 40, "..", "a/b", "%"])
def test_good_tags_make_good_file_names(label: str) -> None:
    name = escape(check_label(label))
    assert len(name) <= 255
    assert "/" not in name
    assert unescape(name) == label


@given(st.integers(0, 253402300799_999999), st.integers(0, 253402300799_999999))
def test_keys_sort_by_time(one: int, other: int) -> None:
    first, second = (snapshot_key(time, bytes(8)) for time in (one, other))
    assert check_key(first) == first
    assert (first < second) == (one < other)


@pytest.mark.parametrize("key", ["", "x", "20260501T120000.000000Z", "20260501T120000.000000Z-0\n"])
def test_other_keys_are_malformed(key: str) -> None:
    with pytest.raises(PalatineError):
        check_key(key)


def test_names_in_the_repository_are_as_the_format_says() -> None:
    key = snapshot_key(0, bytes.fromhex("0123456789abcdef"))
    assert key == "19700101T000000.000000Z-0123456789abcdef"
    assert snapshot_name("default", "My.Palace", key) == f"snapshots/default/%4dy.%50alace/{key}"
    assert pack_name(bytes(31) + b"\1") == f"packs/00/{'00' * 31}01"
