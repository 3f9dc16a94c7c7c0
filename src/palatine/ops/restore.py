"""restore: put a snapshot, or a part of it, into a directory.

What lay outside of the palace goes to a directory beside the target, `TARGET.outside/NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from palatine.fsio import remove_tree
from palatine.model.tree import EntryKind
from palatine.restore.directory import Written
from palatine.restore.fresh import Selected, check_target, restore_fresh
from palatine.restore.select import Selection
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import walk


@dataclass(frozen=True)
class Action:
    """What restoring does for one path: its kind, and its size in bytes."""

    path: bytes
    kind: EntryKind
    size: int


@dataclass(frozen=True)
class RestoredPart:
    """An outside part: its name, where it was, and the directory it is in now."""

    name: str
    place: bytes
    target: Path


@dataclass(frozen=True)
class Restored:
    """What was restored, or would be (`actions`, only of a dry run); `size` in bytes."""

    target: Path
    files: int
    directories: int
    symlinks: int
    size: int
    actions: tuple[Action, ...] = ()
    outside: tuple[RestoredPart, ...] = ()


def restore(
    repository: Repository,
    stored: Stored,
    target: Path,
    paths: Sequence[bytes] = (),
    dry_run: bool = False,
) -> Restored:
    """Restore a snapshot into a directory that does not exist or is empty.

    Outside parts come with it unless only some `paths` are wanted. Raises Exists, PathNotFound,
    NoSpace, Damaged, SourceError. Nothing half-written is left.
    """
    repository.refresh()
    root = stored.snapshot.root
    selection = Selection(repository, root.tree, paths)
    check_target(target)
    outside = () if paths else _outside(stored, target)
    if dry_run:
        return _plan(repository, stored, target, selection, outside)
    threads = repository.settings.workers
    repository.reporter.begin("restoring", stored.snapshot.stats.size if not paths else None)
    try:
        with _beside(repository, stored, outside) as written:
            what = Selected(repository, root, stored.snapshot.owner, selection)
            written.append(restore_fresh(what, target, threads, repository.reporter))
    finally:
        repository.reporter.end()
    return Restored(
        target,
        sum(one.files for one in written),
        sum(one.directories for one in written),
        sum(one.symlinks for one in written),
        sum(one.size for one in written),
        outside=outside,
    )


def _outside(stored: Stored, target: Path) -> tuple[RestoredPart, ...]:
    """Return where a snapshot's outside parts go; raises Exists when something is there."""
    beside = target.with_name(f"{target.name}.outside")
    parts = stored.snapshot.outside
    if parts:
        check_target(beside)
    return tuple(RestoredPart(part.name, part.place, beside / part.name) for part in parts)


@contextmanager
def _beside(
    repository: Repository, stored: Stored, outside: Sequence[RestoredPart]
) -> Iterator[list[Written]]:
    """Restore the outside parts; they are removed again when what follows fails."""
    written: list[Written] = []
    try:
        for part, to in zip(stored.snapshot.outside, outside, strict=False):
            selection = Selection(repository, part.root.tree, ())
            what = Selected(repository, part.root, part.owner, selection)
            threads = repository.settings.workers
            written.append(restore_fresh(what, to.target, threads, repository.reporter))
        yield written
    except BaseException:
        if outside:
            remove_tree(outside[0].target.parent)
        raise


def _plan(
    repository: Repository,
    stored: Stored,
    target: Path,
    selection: Selection,
    outside: tuple[RestoredPart, ...],
) -> Restored:
    actions = [
        Action(item.path, item.entry.kind, item.entry.size)
        for item in walk(repository, stored.snapshot.root.tree)
        if selection.wants(item)
    ]
    for part, _ in zip(stored.snapshot.outside, outside, strict=False):
        prefix = b"@" + part.name.encode() + b"/"
        items = walk(repository, part.root.tree, prefix)
        actions += [Action(item.path, item.entry.kind, item.entry.size) for item in items]
    kinds = [action.kind for action in actions]
    return Restored(
        target,
        kinds.count(EntryKind.FILE),
        kinds.count(EntryKind.DIRECTORY),
        kinds.count(EntryKind.SYMLINK),
        sum(action.size for action in actions),
        tuple(actions),
        outside,
    )
