"""Revisions: how people name a snapshot, and a path in it.

1f0c9a2e…       an id, or its first 8 or more hexadecimal digits
PALACE          the newest snapshot of a palace; TENANT/PALACE for another tenant's
PALACE#TAG      the newest of them that bears a tag
tag:TAG         the newest of all that bears a tag
REV~N           N first parents back, forgotten ones left out; REV~ is REV~1
REV@{TIME}      the newest not after TIME
REV:PATH        a path in the snapshot; REV:@NAME/PATH in an outside part

An id also names a snapshot that was forgotten, if none that is here answers to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from palatine.errors import AmbiguousRevision, UnknownRevision, UsageError
from palatine.model.names import DEFAULT_TENANT
from palatine.ops.moments import parse as parse_moment
from palatine.store.forgotten import Forgotten
from palatine.store.snapshots import Stored, newest

_WORD = r"(?:(?!@\{)[^:~#])+"
_REVISION = re.compile(
    rf"(?P<base>tag:{_WORD}|{_WORD}(?:\#{_WORD})?)"
    r"(?P<steps>(?:~\d*|@\{[^}]*\})*)(?::(?P<path>.*))?\Z",
    re.DOTALL,
)
_STEP = re.compile(r"~(?P<back>\d*)|@\{(?P<time>[^}]*)\}")
_HEX = re.compile(r"[0-9a-f]{8,64}\Z")


class Revision(NamedTuple):
    """A revision as written: what names a snapshot, the steps from it, the path in it or None."""

    base: str
    steps: str
    path: str | None


def split(text: str) -> Revision:
    """Split a revision into its parts; raises UsageError for what cannot be one."""
    match = _REVISION.match(text)
    if match is None:
        raise UsageError(f"{text!r} is not a revision", "pal help revisions shows how to write one")
    return Revision(match["base"], match["steps"], match["path"])


def resolve(
    snapshots: Sequence[Stored],
    text: str,
    now_us: int,
    forgotten: Callable[[], Iterable[Forgotten]] = tuple,
) -> Stored:
    """Return the snapshot a revision (without a path) names.

    `forgotten` is asked for those that were forgotten when no other answers to an id. Raises
    UnknownRevision, or AmbiguousRevision with a message that lists what it could mean.
    """
    base, steps, path = split(text)
    if path is not None:
        raise UsageError(f"{text!r} names a path", "a whole snapshot is wanted here")
    try:
        found = _base(snapshots, base)
    except UnknownRevision as error:
        entries = list(forgotten())
        found = _forgotten(entries, base, error)
        snapshots = [*snapshots, *(one.stored for one in entries if one.stored is not None)]
    named = not _HEX.match(base)
    for step in _STEP.finditer(steps):
        if step["time"] is None:
            found = _back(snapshots, found, int(step["back"] or 1), text)
        else:
            moment = parse_moment(step["time"], now_us)
            line = _palace(snapshots, found) if named else _ancestors(snapshots, found)
            found = _not_after(line, moment, text)
        named = False
    return found


def previous(snapshots: Iterable[Stored], at: Stored) -> Stored | None:
    """Return a snapshot's first parent, or None if it never had one.

    In the stead of a parent that was forgotten: the newest one before it from the same place.
    """
    parents = at.snapshot.parents
    if not parents:
        return None
    place = _place(at)
    before: list[Stored] = []
    for one in snapshots:
        if one.id == parents[0]:
            return one
        if _place(one) == place and one.snapshot.time_us < at.snapshot.time_us:
            before.append(one)
    return newest(before)


def _place(stored: Stored) -> tuple[str, str, bytes]:
    """Return the line a snapshot is of: those of one palace, taken on one host from one path."""
    return stored.palace, stored.snapshot.host, stored.snapshot.path


def is_known(snapshots: Sequence[Stored], text: str) -> bool:
    """Whether a revision's base names any snapshot."""
    try:
        _base(snapshots, split(text).base)
    except AmbiguousRevision:
        return True
    except UsageError:
        return False
    return True


def of_palace(snapshots: Iterable[Stored], name: str) -> list[Stored]:
    """Return the snapshots of a palace, oldest first."""
    tenant, _, palace = name.rpartition("/")
    wanted = (tenant or DEFAULT_TENANT, palace)
    return [one for one in snapshots if (one.snapshot.tenant, one.snapshot.palace) == wanted]


def _base(snapshots: Sequence[Stored], base: str) -> Stored:
    if base.startswith("tag:"):
        bearing = [one for one in snapshots if base[4:] in one.tags]
        return _required(newest(bearing), f"no snapshot bears the tag {base[4:]!r}")
    palace, _, tag = base.partition("#")
    of = of_palace(snapshots, palace)
    if tag:
        bearing = [one for one in of if tag in one.tags]
        return _required(newest(bearing), f"no snapshot of {palace!r} bears the tag {tag!r}")
    readings = [one for one in snapshots if _HEX.match(base) and one.id.hex().startswith(base)]
    latest = newest(of)
    if latest is not None and latest not in readings:
        readings.append(latest)
    if len(readings) > 1:
        raise _ambiguous(
            base,
            (
                f"{one.id.hex()[:16]} of {one.palace}" + (" (its newest)" if one is latest else "")
                for one in readings
            ),
        )
    return _required(readings[0] if readings else None, f"no snapshot is called {base!r}")


def _forgotten(entries: Sequence[Forgotten], base: str, unknown: UnknownRevision) -> Stored:
    """Return the forgotten snapshot that an id names, or raise what there is to say."""
    readings = [one for one in entries if _HEX.match(base) and one.id.hex().startswith(base)]
    if not readings:
        raise unknown
    if len(readings) > 1:
        raise _ambiguous(
            base, (f"{one.id.hex()[:16]} of {one.palace} (forgotten)" for one in readings)
        )
    if readings[0].stored is None:
        raise UnknownRevision(
            f"{base!r} of {readings[0].palace} was forgotten, and gc has removed what it held",
            "pal log --forgotten lists what can still be had",
        )
    return readings[0].stored


def _ambiguous(base: str, readings: Iterable[str]) -> AmbiguousRevision:
    return AmbiguousRevision(
        f"{base!r} could be {'; '.join(readings)}", "write more digits of the id"
    )


def _required(found: Stored | None, message: str) -> Stored:
    if found is None:
        raise UnknownRevision(message, "pal log and pal palaces list what there is")
    return found


def _back(snapshots: Sequence[Stored], at: Stored, steps: int, text: str) -> Stored:
    for _ in range(steps):
        before = previous(snapshots, at)
        if before is None:
            raise UnknownRevision(
                f"{text!r} goes back further than there are snapshots", "pal log shows how far"
            )
        at = before
    return at


def _palace(snapshots: Sequence[Stored], like: Stored) -> list[Stored]:
    return [one for one in snapshots if one.palace == like.palace]


def _ancestors(snapshots: Sequence[Stored], at: Stored) -> list[Stored]:
    line = {at.id: at}
    before = previous(snapshots, at)
    while before is not None and before.id not in line:
        line[before.id] = before
        before = previous(snapshots, before)
    return list(line.values())


def _not_after(line: Sequence[Stored], moment_us: int, text: str) -> Stored:
    found = newest(one for one in line if one.snapshot.time_us <= moment_us)
    return _required(found, f"there is no snapshot as old as {text!r} asks for")
