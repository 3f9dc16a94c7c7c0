"""How names, sizes, times and counts are written for people.

Nothing that comes from a palace or from a user reaches a terminal as it is: control characters,
bytes that are no UTF-8 and characters that reorder a line are escaped.
"""

from __future__ import annotations

import os
import unicodedata

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def name(value: bytes | str) -> str:
    """Return a file name so that it can be read back: backslashes are escaped too."""
    return sentence(os.fsdecode(value).replace("\\", "\\\\"))


def sentence(value: str) -> str:
    """Return text on one line with whatever a terminal might obey escaped."""
    if value.isprintable():
        return value
    return "".join(one if one.isprintable() else _escape(one) for one in value)


def size(count: int) -> str:
    """Return a number of bytes as people read it: `512 B`, `1.3 GiB`."""
    if abs(count) < 1024:
        return f"{count} B"
    power = 1
    # 1023.96 would be written 1024.0
    while abs(count) / 1024**power >= 1023.95 and power < len(_UNITS):
        power += 1
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"


def signed_size(count: int) -> str:
    """Return a difference of sizes with its sign."""
    return f"{'-' if count < 0 else '+'}{size(abs(count))}"


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 file`, `12 files`, `1,234 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def local_time(time_us: int) -> str:
    """Return a moment in local time, to the second."""
    from palatine.ops.moments import utc

    try:
        return f"{utc(time_us).astimezone():%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "?"  # beyond the calendar: a file's time may be any number


def width(value: str) -> int:
    """Return how many columns a text takes."""
    if value.isascii():
        return len(value)
    return sum(_columns(one) for one in value)


def pad(value: str, columns: int, right: bool = False) -> str:
    """Return a text filled up with spaces, which go before it when `right`."""
    space = " " * (columns - width(value))
    return space + value if right else value + space


def _columns(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def _escape(one: str) -> str:
    number = ord(one)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"  # a byte that was no UTF-8 (PEP 383)
    if one in _SHORT:
        return _SHORT[one]
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
