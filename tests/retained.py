"""Snapshots for tests of retention, written as a line each, and what becomes of them in words.

    2026-05-01 14:00 10MB #release !incomplete !damaged host=b after=09:00 time=2027-01-01 00:00

The first two words are the local time on the clock; `+2` behind them chooses the second of two
hours of equal name. `after=` is the parent, by the name below; `time=` an order of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from palatine.model.names import snapshot_key
from palatine.model.policy import Rules
from palatine.model.snapshot import Artifact, CapturedAs, Health, Missing, Snapshot, Stats
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.ops.reasons import Judged, Reason, Why
from palatine.ops.retention import judge
from palatine.store.snapshots import Stored

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")
_LINE = re.compile(r"(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d)(?P<fold> ?\+2)?(?P<rest>.*)\Z")
_ROOT = Entry(b"", EntryKind.DIRECTORY, 0o700, 0, 5, parts=(Part(bytes(32), 0),))


def moment(text: str, zone: ZoneInfo = UTC, fold: int = 0) -> int:
    """Return `2026-05-01 14:00` in a zone as µs since the epoch."""
    local = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(local.timestamp()) * 1_000_000


def snapshot(  # noqa: PLR0913
    wall_us: int, *, time_us: int | None = None, size: int = 1000, tags: Sequence[str] = (),
    missing: bool = False, damaged: bool = False, host: str = "host", path: bytes = b"/p",
    parents: Sequence[bytes] = (), palace: str = "alpha",
) -> Stored:  # fmt: skip
    """Return a snapshot that was never taken; its id follows from what it says."""
    time_us = wall_us if time_us is None else time_us
    made = Snapshot(
        "default", palace, time_us, wall_us, host, "user", path, tuple(parents), "", "generic",
        Owner(0, "", 0, ""), _ROOT, (), Stats(1, 1, 0, size, 0),
        (Artifact(b"a.db", "sqlite", CapturedAs.PINNED, Health.DAMAGED),) if damaged else (),
        (Missing(b"x", "gone"),) if missing else (), "palatine",
    )  # fmt: skip
    object_id = hashlib.sha256(repr(made).encode()).digest()
    return Stored(object_id, snapshot_key(time_us, object_id[:8]), made, tuple(sorted(tags)))


def written(lines: Iterable[str], zone: ZoneInfo) -> dict[str, Stored]:
    """Return the snapshots of some lines by the time each begins with, in order."""
    made: dict[str, Stored] = {}
    for line in lines:
        match = _LINE.match(line.strip())
        assert match is not None, line
        name = match["when"] + (match["fold"] or "")
        wall_us = moment(match["when"], zone, 1 if match["fold"] else 0)
        order = re.search(r"time=(\S+ \S+)", match["rest"])
        words = (match["rest"].replace(order[0], "") if order else match["rest"]).split()
        said = dict(word.split("=") for word in words if "=" in word)
        sizes = [int(word[:-2]) << 20 for word in words if word.endswith("MB")]
        parents = [made[one].id for one in made if one.endswith(said.get("after", "none"))]
        made[name] = snapshot(
            wall_us, time_us=moment(order[1], zone) if order else None, size=(sizes or [1000])[0],
            tags=[word[1:] for word in words if word.startswith("#")],
            missing="!incomplete" in words, damaged="!damaged" in words,
            host=said.get("host", "host"), parents=parents,
        )  # fmt: skip
    return made


def verdicts(
    lines: Sequence[str], rules: Rules, zone: ZoneInfo = UTC, now: str | None = None,
    even_last: bool = False,
) -> dict[str, str]:  # fmt: skip
    """Return what becomes of the snapshots of some lines: `stays: daily 2026-05-01, last`."""
    made = written(lines, zone)
    newest = max(one.snapshot.wall_us for one in made.values())
    now_us = moment(now, zone) if now else newest
    names = {one.id: name for name, one in made.items()}
    judged = {one.stored.id: one for one in judge(made.values(), rules, zone, now_us, even_last)}
    return {name: _in_words(judged[made[name].id], names, zone) for name in made}


def kept(lines: Sequence[str], rules: Rules, zone: ZoneInfo = UTC, **more: object) -> list[str]:
    """Return the names of those that stay."""
    found = verdicts(lines, rules, zone, **more)  # type: ignore[arg-type]
    return [name for name, verdict in found.items() if verdict.startswith("stays")]


def _in_words(one: Judged, names: dict[bytes, str], zone: ZoneInfo) -> str:
    said = ", ".join(_reason(why, names, zone) for why in one.reasons)
    uncounted = "" if one.counts else " (does not count)"
    return f"{'stays' if one.stays else 'goes'}: {said}{uncounted}"


def _reason(why: Reason, names: dict[bytes, str], zone: ZoneInfo) -> str:
    if why.why == Why.REPLACED:
        return f"{why.detail} is that of {names[why.other or b'']}"
    words = [why.why.value.replace("-", " "), why.detail if why.why != Why.PRE_RESTORE else ""]
    words += [names[why.other]] if why.other else []
    if why.until_us is not None:
        until = datetime.fromtimestamp(why.until_us / 1_000_000, zone)
        words.append(f"until {until:%Y-%m-%d %H:%M}")
    return " ".join(word for word in words if word)


def every(step_us: int, count: int, start_us: int) -> list[Stored]:
    """Return a line of snapshots, each the parent of the next."""
    line: list[Stored] = []
    for at in range(count):
        parents = [line[-1].id] if line else []
        line.append(snapshot(start_us + at * step_us, parents=parents))
    return line


def pairs(items: Sequence[Stored]) -> Iterable[tuple[Stored, Stored]]:
    """Return neighbours."""
    return itertools.pairwise(items)
