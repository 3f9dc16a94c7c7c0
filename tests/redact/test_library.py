"""Each pattern of the library finds what it describes, through our rules and in any text."""

from __future__ import annotations

import re
import socket
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palatine.redact.library import library_rules
from palatine.redact.rules import PLACEHOLDER, Rule
from palatine.redact.scrub import Scrubber


@cache
def scrubber() -> Scrubber:
    return Scrubber()


def test_there_are_as_many_as_there_were() -> None:
    names = {one.name for one in library_rules()}
    assert len(names) == 19
    assert names <= set(scrubber().names)


@pytest.mark.parametrize("number", range(len(library_rules())))
@given(data=st.data(), before=st.sampled_from(["", "a ", "x: "]))
def test_what_a_pattern_describes_is_found(number: int, data: st.DataObject, before: str) -> None:
    rule: Rule = library_rules()[number]
    alphabet = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
    pattern = re.compile(rf"(?:{rule.pattern.pattern})\Z", rule.pattern.flags)
    one = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=alphabet))
    text = f"{before}{one}"
    if next(rule.spans(text), None) is None:
        return  # part of a longer token
    tally: Counter[str] = Counter()
    found = scrubber().scrub(text, tally)
    assert tally
    assert PLACEHOLDER.search(found)
    assert scrubber().scrub(found, Counter()) == found


def test_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket, "socket", refuse)
    text = (
        "AKIA"
        + "A1" * 8
        + " https://hooks.slack.com/services/TAAA/BAAA/AAA "
        + "gl"
        + "pat-"
        + "a" * 20
    )
    assert len(PLACEHOLDER.findall(Scrubber().scrub(text, Counter()))) == 3
