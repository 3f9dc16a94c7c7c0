"""Exchanging a palace that nobody uses for another one, whole.

The new palace is built beside the old one, of whose files it takes over those that stay. Right
before the exchange, and once more right after it, the old one is looked at again: it must be what
the pre-restore snapshot has. One directory is one exchange and needs no note of intent. Several
places, a database that is a single file, and file systems that cannot exchange need one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from palatine import fsio
from palatine.errors import Exists, PalatineError, Refused
from palatine.events import Reporter
from palatine.restore import intent, inuse
from palatine.restore.directory import DirectoryWriter
from palatine.restore.fresh import is_vacant, translated
from palatine.restore.handles import Handle
from palatine.restore.reuse import Old
from palatine.restore.staging import (
    OLD,
    aside,
    forget_old,
    note_old,
    remove_stale,
    staging_beside,
)
from palatine.restore.survey import moved, stamp, survey
from palatine.restore.task import Changed, Place, Task
from palatine.sqlite.fold import clear_sidecars, fold

MODE = "replace"


class Moved(Refused):
    """What is there changed while it was being replaced: another try may find it still."""

    code = "changed"


@dataclass(frozen=True)
class Built:
    """A place whose new content is finished and waits: the directory `staging`, or a file in it.

    `expected` is the survey of the old content, None where nothing was.
    """

    target: Path
    is_file: bool
    staging: Path
    expected: int | None

    @property
    def path(self) -> Path:
        """The new directory or file."""
        return self.staging / self.target.name if self.is_file else self.staging


def replace_places(task: Task, stamps: Mapping[Path, int]) -> Changed:
    """Exchange what is at the places of a task for what is wanted there.

    `stamps` are surveys of the targets from before they were captured. Raises Moved when one is not
    what it was then, Refused when somebody uses it, Exists for a mount point, NoSpace, Damaged,
    SourceError; then all is as it was, or a note of intent stands.
    """
    changed = Changed()
    with contextlib.ExitStack() as stack:
        stack.enter_context(translated(task.target))
        built = []
        for place in task.places:
            if place.count(task.source, changed):
                _check_mount(place.target)
                built.append(stack.enter_context(_built(task, place, stamps)))
        for one in built:
            fsio.sync_file_system(one.staging)
        for one in built:
            _check_still(one, one.target)
            if not one.is_file and one.expected is not None:
                note_old(one.target, one.staging, one.expected)
        if len(built) > 1 or not all(_exchange_alone(one) for one in built):
            # The palace last: until it is there nobody takes its parts for a whole one
            _put_noted(task, built[::-1])
    return changed


def finish(note: intent.Note, reporter: Reporter) -> None:
    """Do what a note of intent says and a killed restore did not; see `recovery.recover`.

    What was changed since in a place that is still to be exchanged is kept beside it. Raises
    Refused while somebody uses such a place, Unreadable when what was staged is gone.
    """
    for staged, step in zip(note.staged, note.steps, strict=True):
        target, is_file = Path(step["target"]), bool(step["file"])
        if staged.is_at(target):
            continue
        if not staged.waits:
            raise intent.unreadable(note.target, f"what was staged for {target} is gone")
        inuse.refuse(target)
        if not is_vacant(target) and str(survey(target)) not in step["as_left"]:
            _keep_changed(target, is_file, reporter)
        path = Path(staged.path)
        _put(Built(target, is_file, path.parent if is_file else path, None))
    for step in note.steps:
        remove_stale(Path(step["target"]), reporter)


@contextlib.contextmanager
def _built(task: Task, place: Place, stamps: Mapping[Path, int]) -> Iterator[Built]:
    """Build a place's new content beside it; what is in the staging at the end is removed."""
    target = place.target
    with staging_beside(target, task.reporter, lambda: intent.stands(task.target)) as staging:
        old = _old(task, place)
        try:
            writer = DirectoryWriter(task.source, place.selection, task.threads, task.reporter, old)
            root = place.new_root
            writer.write(str(staging), root.entry, root.owner)
            if place.finish is not None:
                place.finish(staging)
        finally:
            if old is not None:
                old.top.release()
        done = writer.written
        task.reporter.detail(f"{target}: {done.files} files written, {done.kept} taken over")
        if old is not None and target not in stamps:
            raise Moved(f"{target} appeared meanwhile")
        expected = moved(stamps[target], old.before, old.after) if old is not None else None
        yield Built(target, place.is_file, staging, expected)


def _old(task: Task, place: Place) -> Old | None:
    if place.present is None:
        return None
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    top = Handle(os.open(place.directory, flags))
    return Old(task.source, top, place.present.entry.tree, place.present.torn)


def _check_mount(target: Path) -> None:
    if target.is_dir() and target.stat().st_dev != target.parent.stat().st_dev:
        raise Exists(
            f"{target} is a mount point and cannot be exchanged", "change what is in it with --live"
        )


def _check_still(one: Built, old_at: Path) -> None:
    """Raise Moved unless the old content, wherever it is now, is what was captured; or Refused."""
    if one.expected is None:
        if not is_vacant(one.target):
            raise Moved(f"something appeared at {one.target} meanwhile")
        return
    watch = inuse.Watch(old_at)
    total = survey(old_at, watch.look)
    watch.refuse(one.target)
    if total != one.expected:
        raise Moved(
            f"{one.target} was changed while it was being replaced",
            "find out who writes to it, or change it under them with --live",
        )


def _exchange_alone(one: Built) -> bool:
    """Exchange one directory in one step; False, and nothing done, where that cannot be had."""
    if one.is_file or one.expected is None or not fsio.exchange(one.staging, one.target):
        return False
    try:
        _check_still(one, one.staging)
    except PalatineError as error:
        fsio.exchange(one.staging, one.target)
        if inuse.users(one.staging):  # somebody came just now and would lose what they write
            kept = aside(one.target, "not-restored")
            fsio.rename_directory(one.staging, kept)
            error.hint += f"; what was to be there is in use already, and is {kept} now"
        raise
    forget_old(one.staging)
    return True


def _put_noted(task: Task, built: Sequence[Built]) -> None:
    """Exchange several places, or what takes several steps, under a note of intent."""
    for one in built:
        if one.is_file:
            fold(one.target)  # so that it is whole at each moment from here on
    note = intent.Note(
        task.target, MODE, task.wanted_id, task.before_id,
        tuple(intent.Staged.of(one.path) for one in built),
        tuple(
            {"target": str(one.target), "file": one.is_file, "as_left": _as_left(one)}
            for one in built
        ),
    )  # fmt: skip
    with intent.noted(note):
        for one in built:
            _put(one)
    for one in built:
        remove_stale(one.target, task.reporter)


def _as_left(one: Built) -> list[str]:
    """Return what old content adds up to that nobody has changed since; of a file, also alone."""
    if not one.is_file:
        return [str(one.expected or 0)]
    name = os.fsencode(one.target.name)
    return [
        str(survey(one.target)),
        str(stamp(name, one.target.lstat()) if one.target.exists() else 0),
    ]


def _put(one: Built) -> None:
    """Put new content in the place of the old, of which no sidecar survives."""
    if one.is_file:
        with fsio.opened(one.target.parent, os.O_RDONLY | os.O_DIRECTORY) as directory:
            clear_sidecars(directory, os.fsencode(one.target.name))
        fsio.rename(one.path, one.target)
    elif is_vacant(one.target):
        fsio.rename_directory(one.staging, one.target)
    elif not fsio.exchange(one.staging, one.target):
        fsio.rename_directory(one.target, one.staging.with_name(one.staging.name + OLD))
        fsio.rename_directory(one.staging, one.target)


def _keep_changed(target: Path, is_file: bool, reporter: Reporter) -> None:
    """Keep old content that was changed since the restore that is now finished, beside it."""
    kept = aside(target, "changed")
    if is_file:
        fold(target)
        fsio.hard_link_to(target, kept)
    else:
        fsio.rename_directory(target, kept)
    reporter.notice(f"{target} was changed since: what it held is kept as {kept}")
