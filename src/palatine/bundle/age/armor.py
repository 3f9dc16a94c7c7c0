"""Armored age files: what `age -a` writes, base64 between two lines (https://c2sp.org/age)."""

from __future__ import annotations

import binascii
import re
from typing import Protocol

from palatine.errors import Malformed

BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_PIECE = 1 << 18
_FULL = re.compile(rb"(?:[A-Za-z0-9+/]{64}\n)*")
_LAST = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\n?")


class Source(Protocol):
    """What is read from: a file, a pipe."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and none at the end."""


class Armored:
    """What an armored file holds, as a source. Raises Malformed for what age would not write."""

    def __init__(self, source: Source, first: bytes, name: str) -> None:
        """`first` is what was read of the source already: from its beginning, the whole BEGIN."""
        self._source = source
        self._name = name
        # Lines may end as on Windows, and blanks stand before the first one, as age allows.
        text = first.lstrip().removeprefix(BEGIN)
        while b"\n" not in text and (more := source.read(_PIECE)):
            text += more
        self._text = text.replace(b"\r", b"").removeprefix(b"\n")
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Return some bytes, whatever `size` is, and none at the end."""
        while not self._ended:
            more = self._source.read(_PIECE)
            self._text += more.replace(b"\r", b"")
            end = self._text.find(_END)
            if end >= 0:
                return self._last(self._text[:end], self._text[end + len(_END) :])
            if not more:
                break
            # A line that may be the last stays: only the end shows that it was.
            whole = self._text[: max(0, len(self._text) - 2 * 65) // 65 * 65]
            if not _FULL.fullmatch(whole):
                raise Malformed(f"{self._name}: the armor is damaged", "fetch the file again")
            if whole:
                self._text = self._text[len(whole) :]
                return binascii.a2b_base64(whole)
        if not self._ended:
            raise Malformed(f"{self._name}: the armor has no end: the file is cut off")
        return b""

    def _last(self, text: bytes, rest: bytes) -> bytes:
        """Return what the last lines hold; nothing but blanks may follow the end."""
        while more := self._source.read(_PIECE):
            rest = rest.strip() + more
            if rest.strip():
                break
        full = _FULL.match(text)
        last = text[full.end() if full else 0 :]
        if rest.strip() or len(last) > 65 or not _LAST.fullmatch(last) or not text.endswith(b"\n"):
            raise Malformed(f"{self._name}: the armor is damaged", "fetch the file again")
        self._ended = True
        return binascii.a2b_base64(text)
