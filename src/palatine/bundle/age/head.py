"""The header of an age file (https://c2sp.org/age): what the file is encrypted for."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from palatine.errors import Malformed

VERSION = b"age-encryption.org/v1\n"
# pyrage parses a header once for each 8 KiB of it: 2 s for this, and more than 8 minutes for 4 MiB.
# There is room for 2,000 recipients of age, and for 300 SSH keys of 4096 bits.
MOST = 256 << 10
_END = re.compile(rb"\n--- ([A-Za-z0-9+/]{43})\n")
_STANZA = re.compile(
    rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)"
)


class Stanza(NamedTuple):
    """The file key, wrapped for one recipient: its kind, what belongs to the kind, the key."""

    kind: str
    arguments: tuple[bytes, ...]
    body: bytes


class Header(NamedTuple):
    """A whole header: its stanzas, and its bytes with the code over all but that code."""

    stanzas: tuple[Stanza, ...]
    raw: bytes

    @property
    def passphrase(self) -> bool:
        """Whether the file is encrypted with a passphrase."""
        return any(one.kind == "scrypt" for one in self.stanzas)

    def kinds(self) -> str:
        """Return what the file is encrypted for, in words; the kinds made up as grease left out."""
        kinds = [one.kind for one in self.stanzas if not one.kind.endswith("-grease")]
        counted = {kind: kinds.count(kind) for kind in kinds}
        return ", ".join(f"{kind} × {many}" if many > 1 else kind for kind, many in counted.items())


def parse(data: bytes, name: str) -> tuple[Header, int] | None:
    """Return the header that `data` begins with and its length; None if there must be more.

    Raises Malformed for anything that is no header of version 1.
    """
    if not data.startswith(VERSION[: len(data)]):
        raise Malformed(f"{name}: not an age file of version 1", "was it made by a newer age?")
    end = _END.search(data, 0, MOST)
    if end is None:
        if len(data) > MOST:
            raise Malformed(
                f"{name}: the age header has no end in its first {MOST:,} bytes",
                "if you trust it, decrypt it with age -d first",
            )
        return None
    at, stanzas = len(VERSION), []
    while at < end.start() + 1:
        match = _STANZA.match(data, at, end.start() + 1)
        if match is None:
            raise Malformed(f"{name}: the age header is damaged", "fetch the file again")
        kind, *arguments = match[1].split(b" ")
        body = decoded(match[2].replace(b"\n", b""), name)
        stanzas.append(Stanza(kind.decode("ascii"), tuple(arguments), body))
        at = match.end()
    return Header(tuple(stanzas), data[: end.end()]), end.end()


def encoded(data: bytes) -> bytes:
    """Encode as age does: base64 without padding."""
    return base64.b64encode(data).rstrip(b"=")


def decoded(text: bytes, name: str) -> bytes:
    """Decode base64 without padding, in the one way there is to write it."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        data = None
    if data is None or encoded(data) != text:
        raise Malformed(f"{name}: the age header is damaged", "fetch the file again")
    return data
