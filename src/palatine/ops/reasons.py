"""Why a snapshot stays or goes, as values: what retention finds and the command line tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from palatine.ids import ObjectId
from palatine.store.snapshots import Stored


class Why(StrEnum):
    """Stable words for programs. The periods have the names of their rules."""

    LAST = "last"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    OLDEST = "oldest"
    """A period's rule has room left: the oldest of all stays with it."""
    WITHIN = "within"
    KEEP_TAG = "keep-tag"
    TAG = "tag"
    PRE_RESTORE = "pre-restore"
    NEWEST = "newest"
    NEWEST_HEALTHY = "newest-healthy"
    FUTURE = "future"
    SHRUNK = "shrunk"
    """It is much smaller than its parent."""
    BEFORE_SHRINK = "before-shrink"
    """The next one is much smaller."""

    REPLACED = "replaced"
    """Goes: another one stands for its period."""
    BEYOND = "beyond"
    """Goes: it is older than the rules reach."""
    NAMED = "named"
    """Goes: it was asked for by its name."""


@dataclass(frozen=True)
class Reason:
    """Why a snapshot stays or goes.

    `detail` is a period or a tag, `other` the snapshot that it has to do with, `until_us` when the
    reason ceases to hold.
    """

    why: Why
    detail: str = ""
    other: ObjectId | None = None
    until_us: int | None = None


@dataclass(frozen=True)
class Judged:
    """A snapshot and what becomes of it.

    `counts` is False for one of the future, and for one that is incomplete or damaged with no
    healthy one after it: these take nobody's place. `shrunk_from` is its parent, where that is more
    than twice as large.
    """

    stored: Stored
    stays: bool
    reasons: tuple[Reason, ...]
    counts: bool = True
    shrunk_from: Stored | None = None


@dataclass
class Findings:
    """What was found out so far about the snapshots of one palace, by id."""

    stays: dict[ObjectId, list[Reason]] = field(default_factory=dict)
    replaced: dict[ObjectId, Reason] = field(default_factory=dict)
    uncounted: set[ObjectId] = field(default_factory=set)
    shrunk: dict[ObjectId, Stored] = field(default_factory=dict)

    def keep(self, stored: Stored, reason: Reason) -> None:
        """Note that a snapshot stays; the first reason is the one that is told first."""
        self.stays.setdefault(stored.id, []).append(reason)

    def of(self, stored: Stored) -> Judged:
        """Return what becomes of a snapshot: what nothing keeps goes."""
        reasons = self.stays.get(stored.id)
        goes = self.replaced.get(stored.id, Reason(Why.BEYOND))
        return Judged(
            stored,
            reasons is not None,
            tuple(reasons or (goes,)),
            stored.id not in self.uncounted,
            self.shrunk.get(stored.id),
        )
