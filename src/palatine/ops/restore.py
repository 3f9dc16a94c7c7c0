"""restore: put a snapshot, or a part of it, into a directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palatine.model.tree import EntryKind
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
class Restored:
    """What was restored, or would be (`actions`, only of a dry run); `size` in bytes."""

    target: Path
    files: int
    directories: int
    symlinks: int
    size: int
    actions: tuple[Action, ...] = ()


def restore(
    repository: Repository,
    stored: Stored,
    target: Path,
    paths: Sequence[bytes] = (),
    dry_run: bool = False,
) -> Restored:
    """Restore a snapshot into a directory that does not exist or is empty.

    Raises Exists, PathNotFound, NoSpace, Damaged, SourceError. Nothing half-written is left.
    """
    repository.refresh()
    root = stored.snapshot.root
    selection = Selection(repository, root.tree, paths)
    if dry_run:
        check_target(target)
        return _plan(repository, stored, target, selection)
    threads = repository.settings.workers
    repository.reporter.begin("restoring", stored.snapshot.stats.size if not paths else None)
    try:
        what = Selected(repository, root, stored.snapshot.owner, selection)
        written = restore_fresh(what, target, threads, repository.reporter)
    finally:
        repository.reporter.end()
    return Restored(target, written.files, written.directories, written.symlinks, written.size)


def _plan(repository: Repository, stored: Stored, target: Path, selection: Selection) -> Restored:
    actions = tuple(
        Action(item.path, item.entry.kind, item.entry.size)
        for item in walk(repository, stored.snapshot.root.tree)
        if selection.wants(item)
    )
    kinds = [action.kind for action in actions]
    return Restored(
        target,
        kinds.count(EntryKind.FILE),
        kinds.count(EntryKind.DIRECTORY),
        kinds.count(EntryKind.SYMLINK),
        sum(action.size for action in actions),
        actions,
    )
