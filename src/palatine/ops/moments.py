"""Times as people write them: `2d`, `2026-05-01`, `2026-05-01T12:00`, local unless they say so."""

from __future__ import annotations

import datetime
import re

from palatine.errors import UsageError

_AGO = re.compile(r"(\d{1,9})(min|[smhdwy])\Z")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def parse(text: str, now_us: int) -> int:
    """Return the moment a text means, microseconds since the epoch.

    An age counts back from `now_us`; a bare date means its end. Raises UsageError.
    """
    ago = _AGO.match(text)
    if ago:
        return now_us - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000
    try:
        moment = datetime.datetime.fromisoformat(text)
        if len(text) == 10:
            moment += datetime.timedelta(days=1) - _MICROSECOND
        return (moment.astimezone(datetime.UTC) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time", "write 2d, 3h, 2026-05-01 or 2026-05-01T12:00"
        ) from None


def duration(text: str) -> float:
    """Return the seconds in `90s`, `30min`, `3h`, `2d` or a bare number; raises UsageError."""
    found = _AGO.match(text)
    if found:
        return float(int(found[1]) * _SECONDS[found[2]])
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        return float(text)
    raise UsageError(f"{text!r} is not a length of time", "write 30s, 15min, 1h or 2d")


def span(text: str) -> int:
    """Return the microseconds in `12h`, `30d` or `1y` (a day is 24 hours); raises UsageError.

    `m` is refused: minutes here, months elsewhere, and who means months must not get minutes.
    """
    found = _AGO.match(text)
    if found is None or found[2] == "m":
        hint = f"write {found[1]}min, or months in days" if found else "write 12h, 30d, 8w or 1y"
        raise UsageError(f"{text!r} is not a length of time", hint)
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000


def span_text(span_us: int) -> str:
    """Return how `span` reads a length of time, in the largest unit that fits."""
    seconds = span_us // 1_000_000
    units = sorted(_SECONDS.items(), key=lambda unit: unit[1], reverse=True)
    name, length = next((unit for unit in units if not seconds % unit[1]), units[-1])
    return f"{seconds // length}{'min' if name == 'm' else name}"


def utc(time_us: int) -> datetime.datetime:
    """Return a time as a datetime in UTC."""
    return _EPOCH + datetime.timedelta(microseconds=time_us)
