"""Secrets in a text file of any size: whole as JSON, by lines as JSON lines, or window by window.

Windows are cut where no match is cut, as long as a match has at most MATCH_MAX characters. What is
no UTF-8 between text (Latin-1, a broken character) goes through as it is.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import BinaryIO

from palatine.redact.jsontext import is_json, scrub_json
from palatine.redact.scrub import Scrubber, Tally

WINDOW = 4 << 20
"""Characters held at a time."""
MATCH_MAX = 64 << 10
"""Characters of the longest match that is found wherever it stands."""
WHOLE_MAX = 16 << 20
"""Bytes up to which a file is held whole, to be read as JSON; also the longest line so read."""
_BLOCK = 1 << 20
_BLANK = "\ufeff \t\r\n"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROLS_MAX = 0.02
_NULS_MIN = 0.4
"""Share of every second byte that is NUL in UTF-16 that does not say so."""


def encoding_of(head: bytes) -> str | None:
    """Return the encoding of a text by its first bytes, None for what is no text."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if b"\0" not in head:
        few = len(_CONTROLS.findall(head)) <= _CONTROLS_MAX * len(head)
        return "utf-8" if few or _is_utf8(head) else None
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        nuls, others = head[first::2], head[1 - first :: 2]
        many = len(nuls) > 3 and nuls.count(0) >= _NULS_MIN * len(nuls)
        if many and others.count(0) == 0:
            return name
    return None


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def scrub_file(
    scrubber: Scrubber, file: BinaryIO, size: int, encoding: str, tally: Tally
) -> Iterator[bytes]:
    """Yield a text file's bytes without secrets; a byte order mark is kept as it is.

    `size` is that of the file, in bytes. Raises UnicodeError where the encoding is another.
    """
    # Broken UTF-8 survives; a lone surrogate in UTF-16 does too
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    reader = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        if size <= WHOLE_MAX:
            pieces: Iterator[str] = iter([scrub_text(scrubber, reader.read(), tally)])
        elif _begins_with_json_line(reader):
            pieces = _lines(scrubber, reader, tally)
        else:
            pieces = _windows(scrubber, reader.read, tally)
        for piece in pieces:
            yield piece.encode(encoding, errors)
    finally:
        reader.detach()


def scrub_text(scrubber: Scrubber, text: str, tally: Tally) -> str:
    """Return a whole text without secrets, read as what it is."""
    if is_json(text):
        return scrub_json(scrubber, text, tally)
    reader = io.StringIO(text, newline="")
    if is_json(text.lstrip(_BLANK).partition("\n")[0]):
        return "".join(_lines(scrubber, reader, tally))
    return "".join(_windows(scrubber, reader.read, tally))


def _begins_with_json_line(reader: io.TextIOBase) -> bool:
    first = reader.read(WHOLE_MAX).lstrip(_BLANK).partition("\n")[0]
    reader.seek(0)
    return is_json(first)


def _windows(scrubber: Scrubber, read: Callable[[int], str], tally: Tally) -> Iterator[str]:
    held: list[str] = []
    length = 0
    while block := read(_BLOCK):
        held.append(block)
        length += len(block)
        if length >= WINDOW:
            text = "".join(held)
            cut = _cut(scrubber, text)
            yield scrubber.scrub(text[:cut], tally)
            held, length = [text[cut:]], length - cut
    yield scrubber.scrub("".join(held), tally)


def _cut(scrubber: Scrubber, text: str) -> int:
    """Return where a text is cut: after a line if there is one, and not inside of a match."""
    end = len(text) - MATCH_MAX
    start = end - MATCH_MAX
    at = text.rfind("\n", start, end) + 1 or end
    begin = at - MATCH_MAX
    crossed = begin + scrubber.crosses(text[begin : at + MATCH_MAX], MATCH_MAX)
    return crossed if crossed > begin else at


def _lines(scrubber: Scrubber, reader: io.TextIOBase, tally: Tally) -> Iterator[str]:
    """Scrub lines of JSON one by one, and what stands between them together."""
    lines = ((is_json(line), line) for line in _split(scrubber, reader))
    for whether, some in groupby(lines, key=itemgetter(0)):
        if whether:
            yield from (scrub_json(scrubber, line, tally) for _, line in some)
        else:
            yield from _windows(scrubber, _Joined(line for _, line in some).read, tally)


def _split(scrubber: Scrubber, reader: io.TextIOBase) -> Iterator[str]:
    """Yield lines with their ends; one that is too long for JSON in pieces."""
    held = ""
    while block := reader.read(_BLOCK):
        held += block
        *lines, held = held.split("\n")
        yield from (line + "\n" for line in lines)
        if len(held) > WHOLE_MAX:
            cut = _cut(scrubber, held)
            yield held[:cut]
            held = held[cut:]
    yield held


class _Joined:
    """Pieces of text, to be read on in larger ones."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces

    def read(self, size: int) -> str:
        """Return at least `size` characters, fewer at the end."""
        found, length = [], 0
        for piece in self._pieces:
            found.append(piece)
            length += len(piece)
            if length >= size:
                break
        return "".join(found)
