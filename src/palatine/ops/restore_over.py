"""restore over what is there: look at it, keep a snapshot of it, plan, and only then change it.

All of it happens under the palace's lock, after whatever a killed restore left was finished.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from palatine.errors import PalatineError, PathNotFound, Refused, UsageError
from palatine.ops import parts, present
from palatine.ops.palacelock import Patience, palace_lock
from palatine.ops.places import avoided
from palatine.ops.planning import Planned
from palatine.ops.present import Present
from palatine.ops.restore_once import restore_once
from palatine.ops.restoring import Mode, Request, Restored
from palatine.restore import intent, inuse, recovery
from palatine.restore.fresh import is_vacant
from palatine.restore.replace import Moved
from palatine.restore.select import choose
from palatine.restore.staging import remove_stale
from palatine.restore.survey import survey
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

TRIES = 3
"""How often a palace that something else changes meanwhile is tried to be replaced."""


def restore_over(repository: Repository, stored: Stored | None, request: Request) -> Restored:
    """Put a snapshot back over a target; None undoes the last restore over it.

    Raises Refused, NameTaken, Locked, UnknownRevision, PathNotFound, NoSpace,
    Damaged, SourceError; then what is there is what was there, or a note of intent stands.
    """
    target = request.target.resolve()
    request = replace(request, target=target)
    with _alone(repository, request):
        finished = recovered(repository, request)
        repository.refresh()
        if stored is None:
            stored = present.last_pre_restore(repository, target)
        if is_vacant(target):
            return replace(_over_nothing(repository, stored, request), finished=finished)
        _check_choice(repository, stored, request)
        known = present.known_as(repository, target)
        with _palace_held(repository, known, request):
            if not request.dry_run:
                for part in parts.outside_of(known.layout, target):
                    remove_stale(part.place.resolve(), repository.reporter)
            done = _tried(repository, known, stored, _settled(known, request))
    return replace(done, finished=finished)


def recover_first(repository: Repository, request: Request) -> str:
    """Finish an earlier restore that a note of intent tells of; return what it was, in words."""
    request = replace(request, target=request.target.resolve())
    with _alone(repository, request):
        return recovered(repository, request)


def recovered(repository: Repository, request: Request) -> str:
    """Finish what an earlier restore of the target left; return what it was, in words.

    A dry run finishes nothing. Raises Unreadable when it cannot be finished, unless it is undone.
    """
    if request.dry_run:
        killed = intent.stands(request.target)
        return "an earlier restore was killed: the next one finishes it first" if killed else ""
    try:
        note = recovery.recover(request.target, repository.reporter)
    except intent.Unreadable:
        if request.mode != Mode.UNDO:
            raise
        intent.remove(request.target)  # undoing replaces whatever it left
        return "an earlier restore that could not be finished was given up"
    if note is not None and note.mode == Mode.MERGE.value:
        if request.mode == Mode.UNDO:
            intent.remove(request.target)
            return "an earlier merge was killed: it is undone as far as it went"
        from palatine.ops.merging import finish

        finish(repository, request, note, restore_once)
    return f"an earlier restore ({note.mode}) was killed: it is finished now" if note else ""


@contextlib.contextmanager
def _alone(repository: Repository, request: Request) -> Iterator[None]:
    """Keep other restores of the target away; a dry run is in nobody's way."""
    if request.dry_run or not request.target.parent.is_dir():
        yield
        return
    with intent.held(request.target, repository.clock, request.lock_timeout):
        yield


@contextlib.contextmanager
def _palace_held(repository: Repository, known: Planned, request: Request) -> Iterator[None]:
    if request.dry_run:
        yield
        return
    patience = Patience(request.lock_timeout, command="restore")
    with palace_lock(repository, known.tenant, known.palace, request.target, patience):
        yield


def _over_nothing(repository: Repository, stored: Stored, request: Request) -> Restored:
    """Restore over a target that is absent or empty: as if it were new, where that makes sense."""
    if request.mode in (Mode.LIVE, Mode.MERGE):
        raise PathNotFound(
            f"there is nothing at {request.target}", f"leave out --{request.mode.value}"
        )
    from palatine.ops.restore_new import restore_new

    return restore_new(repository, stored, replace(request, mode=Mode.NEW), held=True)


def _check_choice(repository: Repository, stored: Stored, request: Request) -> None:
    """Raise PathNotFound or UsageError for what cannot be chosen, before anything is done."""
    chosen = choose(repository, stored.snapshot, request.paths, request.kinds)
    if chosen.outside and request.partial and not request.outside:
        raise UsageError(
            f"@{next(iter(chosen.outside))} is not in the palace",
            "--outside puts outside parts to their places",
        )


def _settled(known: Planned, request: Request) -> Request:
    """Return a request to undo as one to replace or, where the palace is in use, to change it."""
    if request.mode != Mode.UNDO:
        return request
    if any(inuse.users(place) for place in _changing_places(known, request)):
        return replace(request, mode=Mode.LIVE, delete=True)
    return replace(request, mode=Mode.REPLACE)


def _tried(repository: Repository, known: Planned, stored: Stored, request: Request) -> Restored:
    """Restore; where something else changes the palace meanwhile, again from the beginning."""
    for left in reversed(range(TRIES)):
        try:
            with _looked_at(repository, known, stored, request) as now:
                done = restore_once(repository, stored, request, now)
                if _changed_nothing(done):
                    present.forget_tag(repository, now)
                    return done
                return replace(done, before=now.before)
        except Moved as error:
            if not left:
                raise
            repository.reporter.notice(f"{error.message}: trying again")
    raise AssertionError


def _changed_nothing(done: Restored) -> bool:
    """Whether all was as it shall be: then there is nothing to undo."""
    counts = (done.files, done.directories, done.symlinks, done.removed, done.changed)
    return done.mode in (Mode.REPLACE, Mode.LIVE) and not any(counts)


@contextlib.contextmanager
def _looked_at(
    repository: Repository, known: Planned, stored: Stored, request: Request
) -> Iterator[Present]:
    """Snapshot what is there, or for a dry run look at it; unless something changes, untag it."""
    if request.dry_run:
        whole = request.mode == Mode.MERGE
        with present.looked_at(repository, known, stored.snapshot, whole=whole) as now:
            yield now
        return
    target = request.target
    stamps = _stamps(repository, known, request) if request.mode == Mode.REPLACE else {}
    inode = target.stat().st_ino
    why = f"before restoring {stored.palace} {stored.id.hex()[:16]} over it"
    now = replace(present.pre_restore(repository, known, why), stamps=stamps)
    try:
        yield now
    except BaseException as error:
        told = isinstance(error, PalatineError) or request.mode == Mode.REPLACE
        same = target.exists() and target.stat().st_ino == inode
        if told and same and not intent.stands(target):
            present.forget_tag(repository, now)
        raise


def _changing_places(known: Planned, request: Request) -> list[Path]:
    """Return where a restore may change something: the palace, and its outside parts if asked."""
    beside = parts.outside_of(known.layout, request.target) if request.outside else []
    return [request.target, *(one.place.resolve() for one in beside)]


def _stamps(repository: Repository, known: Planned, request: Request) -> dict[Path, int]:
    """Survey what is to be exchanged; raises Refused when somebody uses it, or must not lose it."""
    target = request.target
    for place in avoided(repository):
        if place.resolve().is_relative_to(target):
            raise Refused(
                f"{place} lies in {target}, and would be exchanged with it",
                "change what differs with --live",
            )
    stamps = {}
    for place in _changing_places(known, request):
        watch = inuse.Watch(place)
        stamps[place] = survey(place, watch.look)
        watch.refuse(place)
    return stamps
