"""The instant that all databases of a capture are captured as of.

The wal-indexes are read twice. Equal both times, all databases were in that state between the two
readings; without that the second of a pair was ahead of the first in 605 of 3,000 captures. What
has no wal-index is held still by its pin, or is looked at right before the readings, and again
after it was read: who came to it meanwhile is still there then, or has changed the main file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from blake3 import blake3

from palatine.capture.holding import Held, Obstructed, tells
from palatine.capture.outcomes import Terms
from palatine.capture.signatures import SIGNATURE_SIZE, UNKNOWN, settled, signature
from palatine.sqlite.database import State
from palatine.sqlite.wal import IndexHeader

TRIES = 400
"""How often the wal-indexes are read again until two readings of all of them are equal."""
FREEZE = 200
"""After how many tries an incomplete wal-index is taken for one that nobody will complete."""
_SLEEP = 0.0005


class Instant(NamedTuple):
    """A database at the common instant: what to read, and what must not have changed after it."""

    held: Held
    header: IndexHeader | None
    signature: bytes
    stats: tuple[tuple[int, ...], ...]

    @property
    def noted(self) -> bool:
        """Whether it is as it was when it was last captured."""
        root, path, again = self.held.target
        return not again and self.signature != UNKNOWN and root.noted.get(path) == self.signature

    @property
    def rests(self) -> bool:
        """Whether a database that nothing holds still is as it was at the instant."""
        database = self.held.database
        unmoved = database.stats() == self.stats and database.same_files()
        return unmoved and database.state() == self.held.state


def common_instant(held: Sequence[Held], terms: Terms) -> list[Instant] | None:
    """Return all databases as of one instant, or None when they would not hold still.

    Raises Obstructed when somebody writes and does not complete a wal-index.
    """
    now = list(held)
    for attempt in range(TRIES):
        if attempt > TRIES // 20:
            terms.clock.sleep(_SLEEP)
        if attempt >= FREEZE:
            now = [_frozen(one) for one in now]
        # Before the indexes, and looked at once more for what would not show: see `tells`
        stats = [one.database.stats() for one in now]
        if not all(tells(one, terms) for one in now):
            return None
        first = [_header(one) for one in now]
        second = [_header(one) for one in now]
        torn = any(
            header is None and one.state == State.WAL
            for one, header in zip(now, first, strict=True)
        )
        if first != second or torn:
            continue
        return [
            Instant(one, header, _sign(one, header, terms.began_ns), stat)
            for one, header, stat in zip(now, first, stats, strict=True)
        ]
    return None


def _frozen(one: Held) -> Held:
    """Return a database whose wal-index nobody completes as one that is read without it.

    Who died while it wrote to the index may have left it so for as long as nobody reads.
    """
    if one.state != State.WAL or _header(one) is not None:
        return one
    if not one.database.try_freeze():
        raise Obstructed(one.target, "its wal-index is incomplete: somebody is writing to it")
    return one._replace(state=one.database.pinned_as)


def _header(one: Held) -> IndexHeader | None:
    return one.database.index_header() if one.state == State.WAL else None


def _sign(one: Held, header: IndexHeader | None, began_ns: int) -> bytes:
    status, *sidecars = one.database.statuses()
    if one.state in (State.HOT_JOURNAL, State.LOST_INDEX) or not settled(status, began_ns):
        return UNKNOWN
    token = header.token if header is not None and header.max_frame else b""
    if one.state == State.CRASHED_WAL:
        if not all(settled(sidecar, began_ns) for sidecar in sidecars):
            return UNKNOWN
        token = repr(one.database.stats()).encode()
    return blake3(signature(status) + token).digest(length=SIGNATURE_SIZE)
