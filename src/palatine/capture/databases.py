"""The databases of a palace, captured together: each a state that some transaction committed, all
of them as of one instant, wherever they lie.

They are pinned (`holding.py`), their wal-indexes are read twice (`instant.py`), what changed is
read (`images.py`), and the pins are let go. Compression and storing come after that. Nothing in the
palace is changed: where pins are locks, they leave no trace.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable
from random import random

from palatine.capture.holding import Obstructed, Wanted, hold
from palatine.capture.images import Images, Moved
from palatine.capture.instant import Instant, common_instant
from palatine.capture.outcomes import Outcome, Taken, Target, Terms
from palatine.capture.sink import Sink
from palatine.capture.spool import Block, Spool
from palatine.events import Reporter
from palatine.model.snapshot import CapturedAs, Missing

ROUNDS = 12
"""How often the whole capture begins again at least when something moved that nothing held still:
services that come and go all the time leave a gap that is long enough, sooner or later. It is
looked for as long as an exclusive lock would be waited for.
"""
ASIDE = 2
"""From this round on all that is read under a pin is kept: somebody checkpoints all the time."""
FIRM = 6
"""From this round on databases at rest are locked too: services that come and go leave their
sidecars then.
"""
_WAIT, _WAIT_MAX = 0.0005, 0.005
"""Seconds between two attempts to pin all, about."""


class DatabaseCapture:
    """Captures the databases of a palace into a sink."""

    def __init__(self, sink: Sink, reporter: Reporter, terms: Terms) -> None:
        self._images = Images(sink, reporter, terms.block)
        self._terms = terms
        self._deadline = 0.0
        self._pinned_at = 0.0
        self.longest_pin = 0.0
        """Seconds the longest pin was held."""

    def capture(self, targets: Iterable[Target]) -> dict[Target, Outcome]:
        """Capture databases, of one root or of several, as of one instant.

        One that turns out to be no database is left out of the result: it is an ordinary file.
        """
        self._deadline = self._terms.clock.monotonic() + self._terms.patience
        wanted = list(targets)
        for attempt in itertools.count():
            outcomes: dict[Target, Outcome] = {}
            spool = Spool(bounded=attempt < ASIDE)
            moved = self._round(Wanted(list(wanted), outcomes, firm=attempt >= FIRM), spool)
            if not moved:
                return outcomes
            if attempt >= ROUNDS and self._terms.clock.monotonic() >= self._deadline:
                break
            self._terms.clock.sleep(_WAIT * random())
        for target in moved:
            outcomes[target] = Missing(target.path, "its files went on changing while it was read")
        return outcomes

    def _round(self, wanted: Wanted, spool: Spool) -> list[Target]:
        """Capture all at a new instant; return those that did not hold still."""
        with contextlib.closing(spool), contextlib.ExitStack() as stack:
            instants = self._instants(wanted, stack)
            if instants is None:
                return wanted.targets
            read = {
                one.held.target: self._images.read_pinned(one, spool)
                for one in instants
                if one.held.database.pinned and not one.noted
            }
            self._unpin(instants)
            moved = []
            for one in instants:
                target = one.held.target
                outcome = self._finish(one, read.get(target), spool)
                if outcome is None:
                    moved.append(target)
                else:
                    wanted.outcomes[target] = outcome
            return moved

    def _instants(self, wanted: Wanted, stack: contextlib.ExitStack) -> list[Instant] | None:
        """Return all databases as of one instant, or None when they would not hold still.

        What cannot be had in time is told, and left out.
        """
        clock, wait = self._terms.clock, _WAIT
        while True:
            attempt = stack.enter_context(contextlib.ExitStack())
            try:
                held = hold(wanted, self._terms, attempt)
                self._pinned_at = clock.monotonic()
                return common_instant(held, self._terms)
            except Obstructed as obstacle:
                attempt.close()
                self._put_off(wanted, obstacle)
            clock.sleep(wait * (0.5 + random()))
            wait = min(_WAIT_MAX, wait * 1.5)

    def _put_off(self, wanted: Wanted, obstacle: Obstructed) -> None:
        target = obstacle.target
        if self._terms.clock.monotonic() >= self._deadline:
            wanted.give_up(target, obstacle.reason)
        else:  # the busiest first: what is locked while the others are tried is locked shortly
            wanted.targets.remove(target)
            wanted.targets.insert(0, target)

    def _unpin(self, instants: Iterable[Instant]) -> None:
        pinned = [one.held.database for one in instants if one.held.database.pinned]
        for database in pinned:
            database.unpin()
        if pinned:
            lasted = self._terms.clock.monotonic() - self._pinned_at
            self.longest_pin = max(self.longest_pin, lasted)

    def _finish(self, one: Instant, blocks: list[Block] | None, spool: Spool) -> Outcome | None:
        """Store what was read, or read what needs no pin; None when that did not hold still."""
        held = one.held
        how = CapturedAs.STABLE if held.moves else CapturedAs.PINNED
        note = _note(one)
        if one.noted:
            # What nothing held still may have been opened, and written to, since it was looked at
            return Taken(one.signature, how, None, note) if not held.moves or one.rests else None
        if blocks is not None:
            try:
                return Taken(one.signature, how, self._images.store(held, blocks, spool), note)
            except Moved:
                return None
        if not held.moves:
            reason = "its WAL is damaged: no committed state can be read"
            return Missing(held.target.path, reason)
        try:
            content = self._images.store_resting(held, spool)
        except sqlite3.Error as error:
            reason = f"its journal cannot be rolled back: {error}"
            return Missing(held.target.path, reason)
        return Taken(one.signature, how, content, note) if one.rests else None


def _note(one: Instant) -> str:
    database = one.held.database
    if database.plain or not database.status.st_size:
        return ""
    return f"encrypted: captured {'as it lay there' if one.held.moves else 'under its lock'}"
