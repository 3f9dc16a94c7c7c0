"""Secrets in JSON: in strings and keys, read with their escapes; not another byte is changed.

A key that became a placeholder is told from others of its document by a number, `[REDACTED:x]-2`:
two secrets that were keys of one object must not become one key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from itertools import count

import msgspec

from palatine.redact.rules import PLACEHOLDER
from palatine.redact.scrub import Scrubber, Tally

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|\}', re.DOTALL)
_COLON = re.compile(r"[ \t\n\r]*:")
_LEFT = re.compile(rf'"[^"]*{PLACEHOLDER.pattern}[^"]*"')
_BEGINNINGS = "{["
_WELL_FORMED = msgspec.json.Decoder(msgspec.Raw)
"""Reads, and keeps nothing of it."""
_LENIENT_MAX = 1 << 20
_DEPTH = 4
"""How deep JSON in strings of JSON is followed."""


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    if text.lstrip("\ufeff \t\n\r")[:1] not in _BEGINNINGS:
        return False
    text = text.removeprefix("\ufeff")
    try:
        _WELL_FORMED.decode(text)
    except (ValueError, RecursionError):
        return len(text) <= _LENIENT_MAX and _is_lenient_json(text)
    return True


def _is_lenient_json(text: str) -> bool:
    """Whether Python reads it as JSON: NaN and halves of surrogate pairs are met in palaces."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def scrub_json(scrubber: Scrubber, text: str, tally: Tally, depth: int = _DEPTH) -> str:
    """Return a JSON text without secrets; it has to be well-formed, and stays so."""
    return _Document(scrubber, text, tally, depth).scrubbed()


def scrub_any(
    scrubber: Scrubber, text: str, tally: Tally, name: str = "", depth: int = _DEPTH
) -> str:
    """Return a value without secrets, be it JSON or any other text, called `name` where it is."""
    if depth and len(text) > 1 and text[0] in _BEGINNINGS and is_json(text):
        return scrub_json(scrubber, text, tally, depth - 1)
    return scrubber.scrub_value(text, tally, name)


class _Document:
    def __init__(self, scrubber: Scrubber, text: str, tally: Tally, depth: int) -> None:
        self._scrubber = scrubber
        self._text = text
        self._tally = tally
        self._depth = depth
        self._keys: dict[str, str] = {}
        # What an earlier redaction left: such strings may be keys, later in the document too
        self._taken = {one[0].strip('"') for one in _LEFT.finditer(text)}

    def scrubbed(self) -> str:
        """Walk the strings: a key names all strings up to the next key or the object's end."""
        pieces, at, name = [], 0, ""
        text = self._text
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token == "}":
                name = ""
                continue
            value = json.loads(token) if "\\" in token else token[1:-1]
            if _COLON.match(text, match.end()):
                name = value
                new = self._key(value)
            else:
                new = scrub_any(self._scrubber, value, self._tally, name, self._depth)
            if new != value:
                pieces += [text[at : match.start()], json.dumps(new, ensure_ascii=token.isascii())]
                at = match.end()
        return "".join([*pieces, text[at:]])

    def _key(self, key: str) -> str:
        new = self._scrubber.scrub(key, self._tally, structured=False)
        if new != key:
            if key not in self._keys:
                self._keys[key] = numbered(new, self._taken)
                self._taken.add(self._keys[key])
            return self._keys[key]
        return key


def numbered(text: str, taken: Container[str], start: int = 1) -> str:
    """Return a text with a number after its first placeholder, the first from `start` that is free.

    A number of 1 is not written.
    """
    for number in count(start):
        found = PLACEHOLDER.sub(f"\\g<0>-{number}", text, count=1) if number > 1 else text
        if found not in taken:
            break
    return found
