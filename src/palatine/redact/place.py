"""A place in the directory that is redacted, and what lies there."""

from __future__ import annotations

import os
from typing import NamedTuple

from palatine.capture.gitdirs import is_git_directory
from palatine.fsio import opened
from palatine.sqlite.sidecars import SUFFIXES, database_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Place(NamedTuple):
    """Something below the top; `shown` is its path for people, as it is called when all is done."""

    path: bytes
    shown: str
    in_git: bool

    @property
    def name(self) -> bytes:
        """Return the last part of the path."""
        return self.path.rpartition(b"/")[2]


def is_sidecar(path: bytes) -> bool:
    """Whether a file belongs to a database beside it."""
    directory, _, name = path.rpartition(b"/")
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
        return database_of(fd, name) is not None


def remove_sidecars(path: bytes) -> None:
    """Remove the journals of a database: what they held is in what takes its place."""
    for suffix in SUFFIXES:
        if os.path.lexists(path + suffix) and is_sidecar(path + suffix):
            os.unlink(path + suffix)


def is_repository(path: bytes) -> bool:
    """Whether a directory is a git repository, bare or not."""
    try:
        with opened(path, _DIRECTORY) as fd:
            return is_git_directory(fd)
    except OSError:
        return False
