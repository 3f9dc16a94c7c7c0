"""Whole trees that go."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from palatine.fsio.durable import DIRECTORY_MODE, opened
from palatine.fsio.newfile import TEMPORARY_PREFIX

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def remove_tree(top: Path) -> None:
    """Remove a directory of ours with everything below it, however deep and whatever its modes.

    Directories are first moved up to the top: no path grows too long and nothing recurses. What is
    not there is no error; what will not go is left, and a symlink, with what it leads to.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        with opened(top, _DIRECTORY | os.O_NOFOLLOW) as root:
            os.fchmod(root, DIRECTORY_MODE)
            while _empty_once(root):
                pass
        top.rmdir()


def _empty_once(root: int) -> bool:
    """Remove files, bring up what directories hold; return whether anything was there."""
    with os.scandir(root) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=root)
            continue
        os.chmod(name, DIRECTORY_MODE, dir_fd=root)
        with opened(name, _DIRECTORY | os.O_NOFOLLOW, root) as inner:
            _bring_up(inner, root)
        os.rmdir(name, dir_fd=root)
    return bool(found)


def _bring_up(inner: int, root: int) -> None:
    with os.scandir(inner) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            os.chmod(name, DIRECTORY_MODE, dir_fd=inner)
            aside = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            os.rename(name, aside, src_dir_fd=inner, dst_dir_fd=root)
        else:
            os.unlink(name, dir_fd=inner)
