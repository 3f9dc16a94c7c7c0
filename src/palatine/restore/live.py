"""Restoring into a palace whose service keeps running.

Everything is staged beside the palace, and what cannot be done is refused, before anything changes.
Then SQLite puts the databases' content into the live ones, all in one moment
(`sqlite/transplant.py`), files are renamed over those that are there, and what shall go is removed.
From just before the first commit until all is done a note of intent says what is under way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from palatine import fsio
from palatine.clock import SYSTEM, Clock
from palatine.errors import NoSpace
from palatine.events import Reporter
from palatine.restore import intent
from palatine.restore.carry import Carrier
from palatine.restore.liveplan import LivePlan, Stage
from palatine.restore.task import Changed, Task
from palatine.restore.unfinished import unfinished
from palatine.sqlite.transplant import (
    Job,
    Moments,
    Terms,
    schema_cookie,
    translated_error,
    transplant,
)

_ROOM = 16 << 20
"""Bytes that must be left on a disk besides: for what the service writes meanwhile."""


def restore_live(task: Task, delete: bool) -> Changed:
    """Change what differs at the places of a task under whoever uses them.

    Raises Refused and Locked (then nothing is changed), NoSpace, SourceError, Damaged; when a note
    of intent stands after an error, the next restore finishes what it says.
    """
    changed = Changed()
    with contextlib.ExitStack() as stack:
        plans = [stack.enter_context(LivePlan.begun(task, one, delete)) for one in task.places]
        for plan in plans:
            plan.decide(changed)
        _check_room(plans)
        task.reporter.begin("restoring", changed.size)
        try:
            for plan in plans:
                plan.fill()
        finally:
            task.reporter.end()
        for plan in plans:
            plan.look_again()
        note = intent.Note(task.target, "live", task.wanted_id, task.before_id)
        _carry_out(note, [plan.stage for plan in plans], task.clock)
        intent.remove(task.target)
    return changed


def finish(note: intent.Note, reporter: Reporter) -> None:
    """Finish a live restore that was killed, and take its note away.

    Databases that had been changed are left as they are: what their service wrote since is newer.
    Raises Unreadable when what was staged is gone, and what `restore_live` raises.
    """
    try:
        if not all(staged.waits for staged in note.staged):
            raise ValueError
        stages = [
            _said(Path(staged.path), said, reporter)
            for staged, said in zip(note.staged, note.steps, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise intent.unreadable(note.target, "what it had staged is gone") from None
    for stage in stages:
        to_do = {p: cookie for p, cookie in stage.cookies.items() if _waits(stage, p, cookie)}
        stage.cookies = to_do
    _carry_out(note, stages, SYSTEM)
    intent.remove(note.target)
    for stage in stages:
        fsio.remove_tree(stage.carrier.staging)


def _said(staging: Path, said: dict[str, Any], reporter: Reporter) -> Stage:
    """Return a stage as a note describes it."""
    cookies = {os.fsencode(path): int(cookie) for path, cookie in said["databases"].items()}
    return Stage(Carrier(staging, Path(said["directory"]), reporter), cookies)


def _waits(stage: Stage, path: bytes, cookie: int) -> bool:
    """Whether a database still is what it was when the note was written.

    Putting content into it raised its schema cookie, in the same transaction.
    """
    live = stage.carrier.live(path)
    if not live.exists():
        stage.carrier.put_image(path)
        return False
    try:
        return schema_cookie(live) == cookie
    except sqlite3.Error as error:
        raise translated_error(error, live) from error


def _carry_out(note: intent.Note, stages: Sequence[Stage], clock: Clock) -> None:
    """Change everything; the note is written when all is locked and only commits are left."""
    jobs = [(stage, path) for stage in stages for path in stage.cookies]
    staged = tuple(intent.Staged.of(stage.carrier.staging) for stage in stages)

    def written(cookies: list[int]) -> None:
        for (stage, path), cookie in zip(jobs, cookies, strict=True):
            stage.cookies[path] = cookie
        intent.write(replace(note, staged=staged, steps=tuple(map(_steps, stages))))

    def committed() -> None:
        for stage in stages:
            stage.carrier.put()
            stage.carrier.remove()

    with unfinished(note.target):
        pairs = [Job(one.carrier.image(path), one.carrier.live(path)) for one, path in jobs]
        transplant(pairs, Moments(written, committed), Terms(clock=clock))
        for stage in stages:
            stage.carrier.set_facts()
            fsio.sync_file_system(stage.carrier.staging)


def _steps(stage: Stage) -> dict[str, Any]:
    """Return what the note of intent says of a stage."""
    cookies = {os.fsdecode(path): cookie for path, cookie in stage.cookies.items()}
    return {"directory": str(stage.carrier.directory), "databases": cookies}


def _check_room(plans: Sequence[LivePlan]) -> None:
    """Raise NoSpace when a disk has no room for what is staged and for the growth of WALs."""
    needed: Counter[int] = Counter()
    places = {}
    for plan in plans:
        staging = plan.stage.carrier.staging
        device = staging.stat().st_dev
        needed[device] += plan.needed
        places[device] = staging
    for device, staging in places.items():
        free = shutil.disk_usage(staging).free
        if needed[device] and free < needed[device] + _ROOM:
            raise NoSpace(
                f"the disk of {staging.parent} has {free:,} bytes free, and a live restore needs"
                f" {needed[device] + _ROOM:,}; nothing was changed",
                "make room, or restore a part of it with --path",
            )
