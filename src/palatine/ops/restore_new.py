"""restore into a directory that is not there yet, or is empty: as it was, or as a renamed copy.

What lay outside of the palace goes to directories beside the target, `TARGET.outside/NAME`, or back
to where it was: then several places appear under a note of intent, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from palatine.fsio import remove_tree
from palatine.model.tree import EntryKind
from palatine.ops import parts, present
from palatine.ops.parts import Destination
from palatine.ops.restoring import Action, Request, Restored, RestoredPart
from palatine.restore import intent
from palatine.restore.directory import Written
from palatine.restore.fresh import Selected, check_target, restore_fresh
from palatine.restore.identity import Identities, Renamed
from palatine.restore.replace import replace_places
from palatine.restore.select import Chosen, Selection, choose
from palatine.restore.task import Place, Task
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import walk

_What = tuple[Chosen, Sequence[Destination], Identities | None]
"""What is wanted of the palace, where its parts go, and what a renamed copy says of itself."""


def restore_new(
    repository: Repository, stored: Stored, request: Request, held: bool = False
) -> Restored:
    """Restore a snapshot into a directory that does not exist or is empty.

    Outside parts come with it unless only some paths are wanted. `held`: the caller keeps other
    restores of the target away. Raises Exists, Refused, Locked, PathNotFound, UsageError, NoSpace,
    Damaged, SourceError. Nothing half-written is left.
    """
    repository.refresh()
    what = _what(repository, stored, request)
    _, outside, identities = what
    if request.dry_run:
        return _plan(repository, stored, request, what)
    size = None if request.partial else stored.snapshot.stats.size
    repository.reporter.begin("restoring", size)
    try:
        if not request.outside:
            done = _put_beside(repository, stored, request, what)
        else:
            with nullcontext() if held else _alone(repository, request):
                done = _put_back(repository, stored, request, what)
    finally:
        repository.reporter.end()
    return replace(
        done,
        outside=_told(outside),
        renamed=tuple(identities.changed) if identities else (),
    )


def _what(repository: Repository, stored: Stored, request: Request) -> _What:
    """Return what is to be done; raises what stands against it."""
    chosen = choose(repository, stored.snapshot, request.paths, request.kinds)
    identities = _identities(repository, stored, request)
    check_target(request.target)
    outside = parts.destinations(repository, stored, chosen, request.target, request.outside)
    parts.check_vacant(outside, request.outside)
    return chosen, outside, identities


@contextmanager
def _alone(repository: Repository, request: Request) -> Iterator[None]:
    target = request.target
    target.parent.mkdir(parents=True, exist_ok=True)
    with intent.held(target.resolve(), repository.clock, request.lock_timeout):
        yield


def _put_beside(repository: Repository, stored: Stored, request: Request, what: _What) -> Restored:
    """Restore the palace, the outside parts beside it."""
    chosen, outside, identities = what
    snapshot, threads = stored.snapshot, repository.settings.workers
    with _beside(repository, outside, identities) as written:
        if chosen.palace is not None:
            put = identities.put if identities else None
            one = Selected(repository, snapshot.root, snapshot.owner, chosen.palace, put)
            written.append(restore_fresh(one, request.target, threads, repository.reporter))
    return Restored(
        stored,
        request.target,
        request.mode,
        sum(one.files for one in written),
        sum(one.directories for one in written),
        sum(one.symlinks for one in written),
        sum(one.size for one in written),
    )


def _put_back(repository: Repository, stored: Stored, request: Request, what: _What) -> Restored:
    """Restore the palace and its outside parts, each to its own place."""
    chosen, outside, identities = what
    snapshot, palace = stored.snapshot, chosen.palace
    places = [
        Place(
            "", request.target.resolve(), False, None,
            present.root_of(snapshot) if palace else None,
            palace or Selection(repository, snapshot.root.tree, ()),
            identities.put if identities else None,
        ),
        *(
            Place(
                one.part.name, one.target, one.is_file, None,
                present.root_of(snapshot, one.part), one.selection,
                partial(identities.put, prefix=one.prefix) if identities else None,
            )
            for one in outside
        ),
    ]  # fmt: skip
    task = Task(
        repository, tuple(places), stored.id.hex(), "",
        repository.settings.workers, repository.reporter, repository.clock,
    )  # fmt: skip
    done = replace_places(task, {})
    return Restored(
        stored, request.target, request.mode, done.files, done.directories, done.symlinks, done.size
    )


def _identities(repository: Repository, stored: Stored, request: Request) -> Identities | None:
    if request.as_name is None:
        return None
    from palatine.ops.renaming import identities

    return identities(repository, stored.snapshot, request.as_name, request.target)


@contextmanager
def _beside(
    repository: Repository, outside: Sequence[Destination], identities: Identities | None
) -> Iterator[list[Written]]:
    """Restore the outside parts; they are removed again when what follows fails."""
    written: list[Written] = []
    try:
        for one in outside:
            put = partial(identities.put, prefix=one.prefix) if identities else None
            what = Selected(repository, one.part.root, one.part.owner, one.selection, put)
            threads = repository.settings.workers
            written.append(restore_fresh(what, one.target, threads, repository.reporter))
        yield written
    except BaseException:
        if outside:
            remove_tree(outside[0].target.parent)
        raise


def _plan(repository: Repository, stored: Stored, request: Request, what: _What) -> Restored:
    chosen, outside, identities = what
    roots = [(one.prefix, one.part.root, one.selection) for one in outside]
    if chosen.palace is not None:
        roots.insert(0, (b"", stored.snapshot.root, chosen.palace))
    actions = [
        Action(prefix + item.path, item.entry.kind, item.entry.size)
        for prefix, root, selection in roots
        for item in walk(repository, root.tree)
        if selection.wants(item)
    ]
    kinds = [action.kind for action in actions]
    there = {action.path for action in actions}
    return Restored(
        stored,
        request.target,
        request.mode,
        kinds.count(EntryKind.FILE),
        kinds.count(EntryKind.DIRECTORY),
        kinds.count(EntryKind.SYMLINK),
        sum(action.size for action in actions),
        tuple(actions),
        _told(outside),
        renamed=_renamed(repository, stored, identities, there),
    )


def _renamed(
    repository: Repository, stored: Stored, identities: Identities | None, there: set[bytes]
) -> tuple[Renamed, ...]:
    if identities is None:
        return ()
    from palatine.layouts.image import SnapshotImage

    image = SnapshotImage(repository, stored.snapshot)
    return tuple(identities.preview(image, there.__contains__))


def _told(outside: Sequence[Destination]) -> tuple[RestoredPart, ...]:
    return tuple(RestoredPart(one.part.name, one.part.place, one.target) for one in outside)
