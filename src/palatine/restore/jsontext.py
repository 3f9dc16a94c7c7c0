"""Other strings at the top-level keys of a JSON object, and not a byte of its text besides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def strings(data: bytes) -> dict[str, str]:
    """Return the top-level keys of a JSON object that have strings; raises ValueError for others.

    Of a key that comes twice the last one counts, as for most programs.
    """
    return {key: value for key, value, _, _ in _found(_text(data))}


def with_strings(data: bytes, values: Mapping[str, str]) -> bytes:
    """Return a JSON object's text with these strings, wherever a key of theirs has one already.

    Order, white space, numbers and everything else stay as they are. Raises ValueError for what is
    no JSON object.
    """
    text = _text(data)
    pieces, at = [], 0
    for key, _, start, end in _found(text):
        if key in values:
            pieces += [text[at:start], json.dumps(values[key], ensure_ascii=False)]
            at = end
    return "".join([*pieces, text[at:]]).encode()


def _text(data: bytes) -> str:
    text = data.decode()
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return text


def _found(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield key, string, and where the string's text begins and ends, of a well-formed object."""
    at = _past_space(text, _past_space(text, 0) + 1)
    while text[at] != "}":
        key, at = _decode(text, at)
        start = _past_space(text, _past_space(text, at) + 1)
        value, end = _decode(text, start)
        if isinstance(value, str):
            yield key, value, start, end
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
