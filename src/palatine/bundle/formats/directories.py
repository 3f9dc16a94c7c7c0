"""Directories that are archives: copied beside their name, and named when they are whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from palatine import fsio
from palatine.bundle.files import sweep
from palatine.bundle.formats.walking import Item, Kind


def is_vacant(target: Path) -> bool:
    """Whether nothing has the name, or an empty directory."""
    if not os.path.lexists(target):
        return True
    return target.is_dir() and not target.is_symlink() and next(target.iterdir(), None) is None


def copy_items(
    source: Path, target: Path, items: Iterator[Item], complete: Callable[[], None] | None = None
) -> None:
    """Copy items of a directory to a new one: modes and times too, symlinks as they are.

    `complete` may add more, before directories get their modes and times.
    """
    target.mkdir(mode=fsio.DIRECTORY_MODE)
    directories = [(source, target)]
    for item in items:
        place = target / os.fsdecode(item.path)
        if item.kind is Kind.DIRECTORY:
            place.mkdir(mode=fsio.DIRECTORY_MODE)
            directories.append((item.place, place))
            continue
        if item.kind is Kind.SYMLINK:
            os.symlink(os.readlink(item.place), place)  # noqa: PTH115, PTH211 - bytes as they are
        else:
            shutil.copyfile(item.place, place, follow_symlinks=False)
        shutil.copystat(item.place, place, follow_symlinks=False)
    if complete is not None:
        complete()
    for old, new in reversed(directories):
        shutil.copystat(old, new)


@contextlib.contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """Make a directory beside a name to work in, and remove it afterwards, and those left there."""
    fsio.make_directories(target.parent)
    sweep(target.parent)
    scratch = target.with_name(f"{fsio.TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    scratch.mkdir(mode=fsio.DIRECTORY_MODE)
    with fsio.locked_directory(scratch):
        try:
            yield scratch
        finally:
            fsio.remove_tree(scratch)


def put_in_place(scratch: Path, target: Path) -> None:
    """Give a finished directory its name, in place of what may be replaced."""
    fsio.sync_file_system(scratch)
    try:
        fsio.rename_directory(scratch, target)
    except OSError:
        if not target.is_dir() or not fsio.exchange(scratch, target):
            raise
