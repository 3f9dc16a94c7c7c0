"""Secrets in one string replaced, whatever it comes from.

Rules are applied one after the other, and all again until nothing is found, so that a second
redaction finds nothing. A placeholder is never matched, and none is cut.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from palatine.redact.detectors import is_random, is_secret_value, names_secret, value_rules
from palatine.redact.library import library_rules
from palatine.redact.rules import MARK, NEXO, OWN, PLACEHOLDER, Rule, Span, user_rules

Tally = Counter[str]
"""Matches of each rule."""

_ROUNDS = 50
_NESTED = 4
"""How deep escapes may be nested: JSON in JSON in JSON."""
_ESCAPE = re.compile(r"""\\(?:u00([2-7][0-9a-fA-F])|x([2-7][0-9a-fA-F])|(["'/\\]))""")
_MAY_ESCAPE = re.compile(r"\\(?:u00[2-7]|x[2-7]|/)")


class Scrubber:
    """All rules of one redaction. Stateless apart from them: any thread may use it."""

    def __init__(self, extra: Sequence[str] = ()) -> None:
        """`extra` are texts of the form NAME=REGEX; raises UsageError for others."""
        self.rules: tuple[Rule, ...] = (
            *NEXO,
            *user_rules(extra),
            *OWN,
            *value_rules(),
            *library_rules(),
        )
        by_literal: dict[str, set[int]] = {}
        for number, rule in enumerate(self.rules):
            for literal in rule.literals or ("",):
                by_literal.setdefault(literal, set()).add(number)
        self._by_literal = list(by_literal.items())

    @property
    def names(self) -> list[str]:
        """The names of all rules, in the order in which they are applied."""
        return list(dict.fromkeys(one.name for one in self.rules))

    def scrub(self, text: str, tally: Tally, structured: bool = True) -> str:
        """Return a text without secrets; what was found is counted.

        `structured` also goes by what stands around values: `password = …`, quoted random text.
        """
        for _ in range(_ROUNDS):
            before = text
            for rule in self._worth(text, structured):
                text = _replaced(text, rule.spans(text), rule, tally)
            if "\\" in text and _MAY_ESCAPE.search(text):
                text = self._unescaped(text, tally, structured)
            if text == before:
                break
        return text

    def scrub_value(self, text: str, tally: Tally, name: str = "") -> str:
        """Return a whole value without secrets, which may be one: by its name or by itself."""
        if PLACEHOLDER.fullmatch(text):
            return text
        if names_secret(name) and is_secret_value(text):
            tally["secret-keyword"] += 1
            return f"{MARK}secret-keyword]"
        scrubbed = self.scrub(text, tally)
        if scrubbed == text and is_random(text, name):
            tally["high-entropy-string"] += 1
            return f"{MARK}high-entropy-string]"
        return scrubbed

    def crosses(self, text: str, at: int) -> int:
        """Return where the matches in a text begin that reach across a place in it, or the place.

        To cut a text there: nothing that a rule would find is taken apart.
        """
        while True:
            spans = [one.span() for rule in self._worth(text, True) for one in rule.matches(text)]
            begin = min((start for start, end in spans if start < at < end), default=at)
            if begin == at:
                return at
            at = begin

    def _unescaped(self, text: str, tally: Tally, structured: bool) -> str:
        r"""Replace what is a secret only once `\u0073`, `\x73` and `\/` are read as characters.

        Escapes in escapes too: each round reads one level more and looks.
        """
        view, places = text, _Places([(0, 0)])
        for _ in range(_NESTED):
            if not _MAY_ESCAPE.search(view):
                break
            view, inner = _decoded(view)
            places = inner.then(places)
            for rule in self._worth(view, structured):
                spans = [(places.of(start), places.of(end)) for start, end in rule.spans(view)]
                changed = _replaced(text, spans, rule, tally)
                if changed != text:
                    return changed  # the caller comes again
        return text

    def _worth(self, text: str, structured: bool) -> list[Rule]:
        """Return the rules that can match a text at all, in order."""
        lowered = text.lower()
        numbers: set[int] = set()
        for literal, those in self._by_literal:
            if literal in lowered:
                numbers |= those
        found = [self.rules[number] for number in sorted(numbers)]
        return found if structured else [one for one in found if not one.structured]


def _replaced(text: str, spans: Iterable[Span], rule: Rule, tally: Tally) -> str:
    pieces, at = [], 0
    keep = [one.span() for one in PLACEHOLDER.finditer(text)] if MARK in text else []
    for start, end in spans:
        start, end = _outside(start, end, keep)
        if start >= end or start < at or not PLACEHOLDER.sub("", text[start:end]):
            continue
        tally[rule.name] += 1
        pieces += [text[at:start], rule.placeholder]
        at = end
    return "".join([*pieces, text[at:]])


def _outside(start: int, end: int, keep: Sequence[Span]) -> Span:
    """Return what of a span begins and ends in no placeholder."""
    left, right = _around(start, keep)
    start = right if left < start < right else start
    left, right = _around(end, keep)
    return start, left if left < end < right else end


def _around(at: int, keep: Sequence[Span]) -> Span:
    number = bisect_left(keep, (at, at)) - 1
    return keep[number] if number >= 0 else (at, at)


class _Places:
    """Where the characters of a decoded text stand in the raw one.

    Breaks are pairs of places, ascending: from each on, both advance alike.
    """

    def __init__(self, breaks: list[Span], outer: _Places | None = None) -> None:
        self._breaks = breaks
        self._outer = outer

    def of(self, at: int) -> int:
        """Return the raw place of a decoded one."""
        decoded, raw = self._breaks[bisect_right(self._breaks, (at, sys.maxsize)) - 1]
        inner = raw + at - decoded
        return self._outer.of(inner) if self._outer else inner

    def then(self, outer: _Places) -> _Places:
        """Return the places in the text that the raw one was decoded from."""
        return _Places(self._breaks, outer)


def _decoded(text: str) -> tuple[str, _Places]:
    pieces, breaks, at, length = [], [(0, 0)], 0, 0
    for match in _ESCAPE.finditer(text):
        code = match[1] or match[2]
        character = chr(int(code, 16)) if code else match[3]
        pieces += [text[at : match.start()], character]
        length += match.start() - at + 1
        at = match.end()
        breaks.append((length, at))
    return "".join([*pieces, text[at:]]), _Places(breaks)
