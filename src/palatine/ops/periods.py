"""Hours, days, weeks, months and years as a calendar and a clock on the wall show them.

A period is named by the local time of its moments, so a day has 23 or 25 hours where the clocks
change. An hour that the clocks repeat is two hours: its name says the difference to UTC.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from palatine.errors import UsageError
from palatine.ops.moments import utc

Zone = datetime.tzinfo | None
"""A time zone; None is this system's, as the C library knows it."""

PERIODS: dict[str, Callable[[datetime.datetime], str]] = {
    "hourly": lambda local: f"{local:%Y-%m-%d %H}:00 {local:%z}",
    "daily": lambda local: f"{local:%Y-%m-%d}",
    "weekly": lambda local: "{}-W{:02}".format(*local.isocalendar()),
    "monthly": lambda local: f"{local:%Y-%m}",
    "yearly": lambda local: f"{local:%Y}",
}
"""How the period of a moment in local time is named; weeks are those of ISO 8601."""


def local(time_us: int, zone: Zone) -> datetime.datetime:
    """Return a moment (µs since the epoch) as the clocks in a zone show it."""
    return utc(time_us).astimezone(zone)


def zone_named(name: str) -> Zone:
    """Return the time zone of an IANA name, or the system's for an empty one; UsageError."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"this host knows no time zone {name!r}",
            "write a name like Europe/Berlin or UTC; the system's package tzdata has them",
        ) from None


def system_zone(setting: str | None, root: Path = Path("/")) -> str:
    """Return the IANA name of this system's time zone, or nothing where it has none.

    `setting` is the environment's TZ, None where there is none; `root` is where /etc is.
    """
    if setting is not None:
        return _known(setting.removeprefix(":")) if setting else "UTC"
    link = root / "etc" / "localtime"
    where = re.search(r"/zoneinfo/(?:posix/|right/)?(.+)\Z", str(link.resolve()))
    if where:
        return _known(where[1])
    try:
        return _known((root / "etc" / "timezone").read_text("ascii").strip())
    except (OSError, UnicodeDecodeError):
        return ""


def _known(name: str) -> str:
    try:
        return name if zone_named(name) else ""
    except UsageError:
        return ""
