"""The collector's side of sessions: waiting until those it saw have ended, or can commit no more.

One whose owner is certainly gone is fenced at once: a void is put on the key that it would commit
under. So is one whose heart has not beaten for long, by this process's own monotonic clock. A
writer that was slow and not dead fails cleanly; no clock decides whether anything is lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from palatine.backends.base import Backend
from palatine.clock import Clock
from palatine.codec.seal import seal
from palatine.errors import Damaged, Malformed, NotFound
from palatine.events import Reporter
from palatine.model.names import check_key
from palatine.model.snapshot import VOID
from palatine.store.session import SESSIONS
from palatine.store.snapshots import SNAPSHOTS

_POLL_FIRST, _POLL_LAST = 0.02, 2.0
"""Seconds between two looks at the sessions."""


@dataclass
class _Heart:
    """What a session's file held when it was last seen to change, and when that was."""

    data: bytes
    since: float


def wait_for_sessions(
    backend: Backend, clock: Clock, patience: float, reporter: Reporter
) -> list[str]:
    """Return when every session that is listed now has ended; the snapshots that were fenced.

    `patience` is in seconds. Raises Damaged for a session that nobody can read.
    """
    fenced = []
    hearts = {stat.name: _Heart(b"", clock.monotonic()) for stat in backend.list(SESSIONS)}
    pause = _POLL_FIRST
    told = False
    while hearts:
        there = {stat.name for stat in backend.list(SESSIONS)}
        for name, heart in [*hearts.items()]:
            if name not in there:
                del hearts[name]
            elif backend.is_abandoned(name) or _is_still(backend, clock, name, heart, patience):
                fenced += _fence(backend, name)
                del hearts[name]
        if hearts:
            if not told:
                reporter.begin("waiting for snapshots that are being written")
                told = True
            clock.sleep(pause)
            pause = min(2 * pause, _POLL_LAST)
    if told:
        reporter.end()
    return fenced


def _is_still(backend: Backend, clock: Clock, name: str, heart: _Heart, patience: float) -> bool:
    """Whether a session's heart has stood for too long."""
    try:
        data = backend.get(name)
    except NotFound:
        return False  # it has ended; the next listing tells
    now = clock.monotonic()
    if data != heart.data:
        heart.data, heart.since = data, now
    return now - heart.since >= patience


def _fence(backend: Backend, name: str) -> list[str]:
    """End a session: nothing will be committed under its key, unless it has been."""
    try:
        snapshot = _announced(backend.get(name), name)
    except NotFound:
        return []
    except Malformed:
        if not backend.is_abandoned(name):
            raise
        backend.delete(name)  # whoever wrote it is gone, so it needs no void
        return []
    voided = backend.create(snapshot, seal(VOID))
    backend.delete(name)
    return [snapshot] if voided else []


def _announced(data: bytes, name: str) -> str:
    """Return the name of the snapshot that a session announced."""
    try:
        snapshot = str(json.loads(data)["snapshot"])
        folder, tenant, palace, key = snapshot.split("/")
        check_key(key)
    except (ValueError, KeyError, TypeError, Damaged) as error:
        raise Malformed(
            f"{name} cannot be read",
            "delete it once you are sure that no snapshot is being written",
        ) from error
    if f"{folder}/" != SNAPSHOTS or not tenant or not palace:
        raise Malformed(f"{name} announces no snapshot")
    return snapshot
