"""Repositories for a while: a bundle that is to be restored is imported into one first.

They lie in the cache directory, each with a lock that its process holds; what a killed process left
is removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from palatine import fsio
from palatine.backends.local import LocalBackend
from palatine.clock import SYSTEM, Clock
from palatine.errors import SourceError
from palatine.events import SILENT, Reporter
from palatine.ids import DIGESTS, Kind, ObjectId
from palatine.store.repository import Repository, Settings
from palatine.store.resolve import resolve

_PLACE = "bundles"
_LOCK = ".lock"


@dataclass(frozen=True)
class Terms:
    """Where such a repository is made, and with what: `cache` is the user's cache directory."""

    cache: Path
    digest: str = DIGESTS[0]
    settings: Settings | None = None
    reporter: Reporter = SILENT
    clock: Clock = SYSTEM


@contextlib.contextmanager
def temporary_repository(terms: Terms) -> Iterator[Repository]:
    """Make an empty repository, and remove it afterwards. Raises SourceError."""
    with scratch_directory(terms.cache) as directory:
        backend = LocalBackend(directory / "repository")
        Repository.create(backend, terms.digest)
        with Repository(
            backend, directory / "cache", terms.settings, terms.reporter, terms.clock
        ) as repository:
            yield repository


@contextlib.contextmanager
def scratch_directory(cache: Path) -> Iterator[Path]:
    """Make a private directory in the cache, and remove it afterwards, and those left behind.

    Raises SourceError.
    """
    place = cache / _PLACE
    with _told(place):
        fsio.make_directories(place)
        _sweep(place)
        directory = place / secrets.token_hex(8)
        lock = place / f"{directory.name}{_LOCK}"
        # the lock first: a directory without one is left behind
        fd = fsio.try_lock_file(lock)
        if fd < 0:
            raise SourceError(f"{lock} is held by another process", "run it again")
    try:
        with _told(place):
            directory.mkdir(mode=fsio.DIRECTORY_MODE)
        yield directory
    finally:
        fsio.remove_tree(directory)
        fsio.remove(lock)
        os.close(fd)


def _sweep(place: Path) -> None:
    """Remove what processes left that are no more."""
    for path in sorted(place.iterdir()):
        if path.name.endswith(_LOCK) or not path.is_dir():
            continue
        lock = place / f"{path.name}{_LOCK}"
        fd = fsio.try_lock_file(lock)
        if fd < 0:
            continue
        try:
            fsio.remove_tree(path)
            fsio.remove(lock)
        finally:
            os.close(fd)


@contextlib.contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"there is no room to work in at {place}: {error.strerror or error}",
            "the cache directory must be writable; XDG_CACHE_HOME names another",
        ) from error


class Joined(Repository):
    """A repository whose objects are looked for in a second one, too; all else is the first's."""

    def __init__(self, first: Repository, second: Repository) -> None:
        """Neither is closed with this."""
        self.__dict__.update(first.__dict__)
        self._first = first
        self._second = second

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's verified bytes from whichever has it."""
        if resolve(self._second.catalog, object_id, lambda _: True) is not None:
            return self._second.get(kind, object_id)
        return self._first.get(kind, object_id)

    def close(self) -> None:
        """Leave both open."""
