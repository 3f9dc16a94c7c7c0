"""watch: snapshots again and again, on a schedule or when a palace has changed and gone quiet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from palatine.capture.excludes import matching
from palatine.capture.glimpse import glimpse
from palatine.clock import Clock
from palatine.errors import UsageError
from palatine.events import Reporter
from palatine.ops.parts import places
from palatine.ops.places import avoided
from palatine.ops.planning import Planned
from palatine.store.repository import Repository

_RETRY_SECONDS, _RETRY_MAX = 5.0, 3600.0
"""After a failure: what came in the way has often gone again soon."""
_LOOK_MIN, _LOOK_MAX = 0.1, 10.0
"""Seconds between two looks at a palace, at least and at most."""


@dataclass(frozen=True)
class Schedule:
    """In seconds: how often a palace is taken, and how long it is quiet before it is taken."""

    every: float | None
    quiet: float | None

    def __post_init__(self) -> None:
        """Raise UsageError where there is nothing to wait for."""
        if self.every is None and self.quiet is None:
            raise UsageError("nothing says when to take a snapshot")
        if min(one for one in (self.every, self.quiet) if one is not None) <= 0:
            raise UsageError("a schedule needs more than no time at all", "write 30s, 15min or 1h")

    @property
    def look_seconds(self) -> float:
        """How long to wait between two looks at what has changed."""
        if self.quiet is None:
            return float("inf")
        return min(max(self.quiet / 5, _LOOK_MIN), _LOOK_MAX)


class Watched:
    """One palace: when it is due, and what happened when it was.

    `look` returns what is equal while nothing changes; `take` snapshots, and returns whether that
    worked. It tells whoever wants to know itself, and raises no PalatineError. What is not `there`
    when it failed is not tried again, nor told again, before it is.
    """

    def __init__(
        self,
        look: Callable[[], bytes],
        take: Callable[[], bool],
        there: Callable[[], bool] = lambda: True,
    ) -> None:
        self._look = look
        self._take = take
        self._there = there
        self._missing = False
        self._next = 0.0
        self._kept: bytes | None = None
        self._seen: bytes | None = None
        self._seen_at = 0.0
        self._failures = 0
        self._begun = False

    def visit(self, clock: Clock, schedule: Schedule) -> None:
        """Take a snapshot if it is time; the first visit always does."""
        now = clock.monotonic()
        if self._begun and not self._is_due(now, schedule):
            return
        self._begun = True
        looked = self._look() if schedule.quiet is not None else b""
        if self._take():
            self._failures = 0
            self._missing = False
            # what changed since the look, and was captured or not, is looked at again
            self._kept = looked
            pause = schedule.every
        else:
            self._kept = None
            self._missing = not self._there()
            self._failures = 0 if self._missing else self._failures + 1
            pause = min(_RETRY_SECONDS * 2 ** min(max(self._failures - 1, 0), 10), _RETRY_MAX)
            pause = pause if schedule.every is None else min(pause, schedule.every)
        self._next = float("inf") if pause is None else now + pause
        self._seen = looked

    def wait(self, now: float, schedule: Schedule) -> float:
        """Return for how many seconds nothing can be due."""
        if self._missing:
            return min(schedule.look_seconds, _LOOK_MAX)
        return max(0.0, min(self._next - now, schedule.look_seconds))

    def _is_due(self, now: float, schedule: Schedule) -> bool:
        if self._missing:
            return self._there()
        if now >= self._next:
            return True
        if schedule.quiet is None or self._failures:
            return False
        looked = self._look()
        if looked != self._seen:
            self._seen, self._seen_at = looked, now
        return looked != self._kept and now - self._seen_at >= schedule.quiet


def watch(palaces: Sequence[Watched], schedule: Schedule, clock: Clock, once: bool = False) -> None:
    """Visit all palaces, for ever or once; ends by KeyboardInterrupt."""
    while True:
        for one in palaces:
            one.visit(clock, schedule)
        if once:
            return
        now = clock.monotonic()
        clock.sleep(max(_LOOK_MIN, min(one.wait(now, schedule) for one in palaces)))


def looking(
    repository: Repository, planned: Planned, excludes: Sequence[str], reporter: Reporter
) -> Callable[[], bytes]:
    """Return what looks at a palace, with its parts that live outside of it."""
    from palatine.layouts import registry

    layout = registry.by_name(planned.layout, reporter)
    exclude = matching(excludes)
    avoid = avoided(repository)

    def look() -> bytes:
        source = planned.source.resolve()
        beside = [part.place for part in places(layout, planned.source, source)]
        return glimpse([source], exclude, avoid) + glimpse(beside, avoid=avoid)

    return look
