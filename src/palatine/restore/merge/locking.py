"""All databases of a merge locked together, merged, and committed one right after the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palatine.clock import Clock
from palatine.errors import Locked
from palatine.restore.merge.database import DatabaseMerge, Job
from palatine.restore.merge.report import Report
from palatine.restore.merge.tables import Manner

_PAUSE = 0.02


class Patience(NamedTuple):
    """How many seconds locks are waited for."""

    clock: Clock
    seconds: float


@contextlib.contextmanager
def locked(
    jobs: Sequence[Job], manner: Manner, report: Report, patience: Patience
) -> Iterator[list[DatabaseMerge]]:
    """Open databases and hold the write locks of all of them while the block runs.

    What is not committed by its end is taken back. All or none are held, so that nobody waits for
    one while we wait for another. Raises Locked, Refused, SourceError.
    """
    with contextlib.ExitStack() as stack:
        merges = []
        for job in jobs:
            merge = DatabaseMerge(job, manner, report)
            stack.callback(merge.close)
            merges.append(merge)
        deadline = patience.clock.monotonic() + patience.seconds
        while (busy := _try_all(merges)) is not None:
            if patience.clock.monotonic() >= deadline:
                raise Locked(
                    f"{os.fsdecode(busy.path)!r} is locked by another process; nothing was changed",
                    "a service that holds it for good has to be stopped first",
                )
            patience.clock.sleep(_PAUSE)
        since = patience.clock.monotonic()
        yield merges
        report.longest_lock = patience.clock.monotonic() - since


def _try_all(merges: Sequence[DatabaseMerge]) -> DatabaseMerge | None:
    """Take all write locks; return the one that was not to be had, and hold none then."""
    for n, merge in enumerate(merges):
        if not merge.begin():
            for held in merges[:n]:
                held.rollback()
            return merge
    return None
