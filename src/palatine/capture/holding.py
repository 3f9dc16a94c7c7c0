"""Opening databases and holding all of them still, from before the first is read.

All or none: when one cannot be held, all are let go, and after a moment it begins again. Whoever
held some of them while it waits for another would stand in their writers' way.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import NamedTuple

from palatine.capture.outcomes import Outcome, Target, Terms
from palatine.capture.signatures import settled
from palatine.model.snapshot import Missing
from palatine.sqlite.database import Database, State
from palatine.sqlite.pin import open_database
from palatine.sqlite.wal import committed_by_checksums

_TO_PIN = (State.WAL, State.ROLLBACK, State.EXCLUSIVE)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Obstructed(Exception):
    """One of the databases cannot be had now; later it may."""

    def __init__(self, target: Target, reason: str) -> None:
        super().__init__(reason)
        self.target = target
        self.reason = reason


class Held(NamedTuple):
    """An open database, and the state it was found or pinned in."""

    target: Target
    database: Database
    state: State

    @property
    def moves(self) -> bool:
        """Whether nothing keeps it from being written to: it was found with nobody at work."""
        return self.state not in (State.WAL, State.LOST_INDEX, State.ROLLBACK)


@dataclass
class Wanted:
    """The databases to capture; those that are none, or cannot be had, go from `targets`.

    `firm`: those at rest are locked, too.
    """

    targets: list[Target]
    outcomes: dict[Target, Outcome]
    firm: bool

    def give_up(self, target: Target, reason: str) -> None:
        """Record one as missing."""
        self.outcomes[target] = Missing(target.path, reason)
        self.targets.remove(target)


def hold(wanted: Wanted, terms: Terms, stack: contextlib.ExitStack) -> list[Held]:
    """Open all databases and pin those that may be written to; `stack` closes them.

    Raises Obstructed.
    """
    held = []
    for target in list(wanted.targets):
        try:
            one = _open(target, stack)
            if one is not None and _is_to_pin(one, wanted, terms):
                one = _pinned(one)
        except FileNotFoundError:
            wanted.targets.remove(target)
            continue
        except OSError as error:
            wanted.give_up(target, error.strerror or str(error))
            continue
        if one is None:
            wanted.targets.remove(target)
            continue
        if not tells(one, terms):
            raise Obstructed(target, "it cannot be held still, and was written to all the time")
        held.append(one)
    return held


def tells(one: Held, terms: Terms) -> bool:
    """Whether a database is held still, or is sure to show it when it is written to from now on."""
    return one.database.pinned or _is_settled(one.database, terms)


def _is_settled(database: Database, terms: Terms) -> bool:
    """Whether a later change of the files of a database is sure to show in their times."""
    return all(settled(status, terms.clock.now_ns()) for status in database.statuses())


def _open(target: Target, stack: contextlib.ExitStack) -> Held | None:
    """Open a database; None for a file that is none although its name says so."""
    root, path = target.root, target.path
    directory = os.open(path.rpartition(b"/")[0] or b".", _DIRECTORY, dir_fd=root.directory)
    stack.callback(os.close, directory)
    database = open_database(directory, os.path.join(root.place, path))
    stack.callback(database.close)
    state = database.state()
    if not database.plain and not _is_used_as_one(database, state):
        return None
    return Held(target, database, state)


def _is_to_pin(one: Held, wanted: Wanted, terms: Terms) -> bool:
    if one.state == State.REST:
        return wanted.firm or not _is_settled(one.database, terms)
    return one.state in _TO_PIN


def _pinned(one: Held) -> Held:
    database = one.database
    if not database.try_pin():
        raise Obstructed(one.target, "somebody else holds it exclusively")
    # not what it was found in: somebody may have come or gone since
    return one._replace(state=database.pinned_as)


def _is_used_as_one(database: Database, state: State) -> bool:
    """Whether a file without SQLite's header (new, or encrypted) is a database all the same."""
    if state == State.CRASHED_WAL:
        return database.in_use or committed_by_checksums(database.wal) is not None
    return state == State.WAL or (state != State.HOT_JOURNAL and database.in_use)
