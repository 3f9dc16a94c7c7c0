"""Lines as `sha256sum` of GNU coreutils writes and checks them.

The hash in hexadecimal, two spaces, the name, a line feed. A name with a backslash, a line feed or
a carriage return has those escaped, and its line begins with a backslash.
"""

from __future__ import annotations

import re

_ESCAPED = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"))


_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *]([^\n\0]+)\n\Z")
_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)
_PLAIN = {written[1:]: plain for plain, written in _ESCAPED}


def line(digest: str, name: bytes) -> bytes:
    """Return the line for a file; `digest` is hexadecimal."""
    escaped = name
    for plain, written in _ESCAPED:
        escaped = escaped.replace(plain, written)
    mark = b"\\" if escaped != name else b""
    return b"%s%s  %s\n" % (mark, digest.encode(), escaped)


def parse(data: bytes) -> tuple[str, bytes] | None:
    """Return the hash and the name of a line, or None for one that `sha256sum` would not take."""
    match = _LINE.match(data)
    if match is None:
        return None
    escaped, digest, name = match.groups()
    if escaped:
        if any(one not in _PLAIN for one in _ESCAPE.findall(name)):
            return None
        name = _ESCAPE.sub(lambda found: _PLAIN[found[1]], name)
    return digest.decode().lower(), name
