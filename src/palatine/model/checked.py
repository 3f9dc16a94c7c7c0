"""Text files of one line that must not be believed when a bit of them has flipped.

The line, a line feed, `sha256`, a space, the SHA-256 of the line in hexadecimal, a line feed.
SHA-256 whatever digest the repository uses: these files are read before that is known.
"""

from __future__ import annotations

import hashlib


def with_checksum(line: bytes) -> bytes:
    """Return the file's bytes for a line, which is given without its line feed."""
    return b"%s\nsha256 %s\n" % (line, _checksum(line))


def checked_line(data: bytes) -> bytes | None:
    """Return the line without its line feed, or None when the checksum does not fit."""
    line, _, rest = data.partition(b"\n")
    return line if rest == b"sha256 %s\n" % _checksum(line) else None


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()
