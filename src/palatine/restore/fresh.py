"""Restoring into a directory that is absent or empty: built beside it, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from palatine import fsio
from palatine.errors import Exists, NoSpace, PalatineError, SourceError
from palatine.events import Reporter
from palatine.model.tree import Entry, Owner
from palatine.restore.directory import DirectoryWriter, Written
from palatine.restore.select import Selection
from palatine.restore.staging import staging_beside
from palatine.store.trees import Source

_OTHERWISE = (
    "name a target that is not there or empty, or say what is to become of it: --replace, --live"
    " or --merge"
)


@dataclass(frozen=True)
class Selected:
    """What is restored: a root and its owner, the part of it that is wanted, and its source.

    `finish` is called with the private directory when all is there and nobody can see it yet.
    """

    source: Source
    root: Entry
    owner: Owner
    selection: Selection
    finish: Callable[[Path], None] | None = None


def check_target(target: Path) -> None:
    """Raise Exists unless `target` is absent or an empty directory."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise Exists(f"{target} exists and is not a directory", _OTHERWISE)
    if target.is_dir() and os.listdir(target):
        raise Exists(f"{target} exists and is not empty", _OTHERWISE)


def is_vacant(target: Path) -> bool:
    """Whether nothing is at a path, or an empty directory."""
    if target.is_dir():
        return not os.listdir(target)
    return not os.path.lexists(target)


def restore_fresh(what: Selected, target: Path, threads: int, reporter: Reporter) -> Written:
    """Restore a root with what the selection wants of it as the directory `target`.

    Until everything is there and verified, nothing stands under that name; whatever goes wrong,
    what was written is removed. Raises Exists, NoSpace, Damaged, SourceError.
    """
    check_target(target)
    with translated(target), staging_beside(target, reporter) as staging:
        writer = DirectoryWriter(what.source, what.selection, threads, reporter)
        writer.write(str(staging), what.root, what.owner)
        if what.finish is not None:
            what.finish(staging)
        fsio.sync_file_system(staging)
        fsio.rename_directory(staging, target)
        return writer.written


@contextlib.contextmanager
def translated(target: Path) -> Iterator[None]:
    """Have what the system refuses told as an error of ours: Exists, NoSpace or SourceError."""
    try:
        yield
    except PalatineError:
        raise
    except OSError as error:
        text = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"the disk of {target} is full; nothing was left there") from error
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise Exists(
                f"{target} cannot be replaced in one step: {text}",
                "it may be a mount point: restore to a new directory inside it, or with --live",
            ) from error
        raise SourceError(f"{target} cannot be written: {text}") from error
