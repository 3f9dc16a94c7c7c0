"""A merge from beginning to end: staged, locked, merged, noted, and only then seen.

Everything can be done again without another result. So who finds the note of a merge that was
killed merges once more, and has finished it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palatine.layouts.base import Layout
from palatine.restore import intent
from palatine.restore.fresh import translated
from palatine.restore.merge.locking import Patience, locked
from palatine.restore.merge.report import Report
from palatine.restore.merge.sorting import Sides
from palatine.restore.merge.spot import Spot
from palatine.restore.merge.tables import Manner
from palatine.restore.staging import staging_beside
from palatine.restore.task import Place, Root, Task
from palatine.restore.unfinished import unfinished


@dataclass(frozen=True)
class Terms:
    """What a merge goes by besides its task.

    `bases` are the roots that both sides come from, by the names of the places. `missing` are paths
    that the snapshot should have and lacks: they were not removed. `said` is what the note of
    intent says besides, for whoever has to do it again. `seconds` is how long locks are waited for.
    """

    layout: Layout
    bases: Mapping[str, Root]
    manner: Manner = field(default_factory=Manner)
    missing: Set[bytes] = frozenset()
    said: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 30.0


def merge(task: Task, terms: Terms) -> Report:
    """Merge the wanted side of a task's places into what is there, under whoever uses it.

    Raises Locked, Refused, NoSpace, Damaged, SourceError; then nothing was changed, or a note of
    intent stands and the next restore finishes what it says.
    """
    report = Report()
    with contextlib.ExitStack() as stack:
        spots = [stack.enter_context(_staged(task, one, terms, report)) for one in task.places]
        busy = [spot for spot in spots if not spot.is_idle]
        for spot in busy:
            spot.fill()
        _change(task, terms, busy, report)
        if report.changed:
            report.stale += [one for spot in spots for one in spot.stale()]
    return report


def rehearse(task: Task, terms: Terms) -> Report:
    """Return what `merge` would report; nothing at the places is changed, or even opened.

    The task's source must have the bytes of what is there.
    """
    report = Report()
    with contextlib.ExitStack() as stack:
        spots = []
        for place in task.places:
            staging = stack.enter_context(tempfile.TemporaryDirectory(prefix="palatine-merge-"))
            sides = _sides(task, place, terms)
            spots.append(Spot(task, sides, Path(staging), terms.manner.prefer, report))
        jobs = [job for spot in spots for job in spot.jobs(rehearsed=True)]
        with locked(jobs, terms.manner, report, Patience(task.clock, 0.0)) as merges:
            for one in merges:
                one.merge()
            for spot in spots:
                spot.choose_indexes(merges)
        for spot in spots:
            spot.merge_lists(None)
        if report.changed:
            report.stale += [one for spot in spots for one in spot.stale()]
    return report


def _change(task: Task, terms: Terms, spots: list[Spot], report: Report) -> None:
    if not spots:
        return
    jobs = [job for spot in spots for job in spot.jobs()]
    note = intent.Note(
        task.target, "merge", task.wanted_id, task.before_id, (), (dict(terms.said),)
    )
    patience = Patience(task.clock, terms.seconds)
    with unfinished(task.target):
        with locked(jobs, terms.manner, report, patience) as merges:
            for one in merges:
                one.merge()
            for spot in spots:
                spot.choose_indexes(merges)
                spot.check()
            intent.write(note)
            for one in merges:
                one.commit()
        for spot in spots:
            spot.put()
    intent.remove(task.target)


@contextlib.contextmanager
def _staged(task: Task, place: Place, terms: Terms, report: Report) -> Iterator[Spot]:
    with translated(place.target), staging_beside(place.target, task.reporter) as staging:
        yield Spot(task, _sides(task, place, terms), staging, terms.manner.prefer, report)


def _sides(task: Task, place: Place, terms: Terms) -> Sides:
    return Sides(task.source, place, terms.bases.get(place.name), terms.layout, terms.missing)
