"""One place of a capture, open: a directory, or a single file as a tree of one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from palatine.capture.context import Context, Findings
from palatine.capture.files import read_xattrs
from palatine.capture.outcomes import Outcome, Root, Target
from palatine.capture.pieces import Counts
from palatine.capture.signatures import Signatures, stamp_ns
from palatine.capture.survey import find_databases
from palatine.capture.walk import walk
from palatine.clock import SYSTEM, Clock
from palatine.errors import PathNotFound, SourceError
from palatine.fsio import opened
from palatine.ids import ObjectId
from palatine.model.tree import Entry, EntryKind, Owner, Part

_FILE_ROOT_MODE = 0o700
"""The mode of the directory that a single file's tree stands for."""


@dataclass(frozen=True)
class Options:
    """How a place is captured: what is left out, and whether databases in use are taken as files.

    `avoid` are directories that are never entered: the repository and the cache; `patience` is how
    many seconds a database that another process holds exclusively is waited for.
    """

    excludes: Sequence[str] = ()
    unsafe_files: bool = False
    avoid: Sequence[Path] = ()
    patience: float = 30.0


@dataclass(frozen=True)
class Before:
    """What was known before a place was looked at.

    `began_ns` is the wall clock then, `signatures` what the last capture of the place noted, `old`
    the tree of the parent snapshot.
    """

    began_ns: int
    signatures: Signatures
    old: ObjectId | None = None
    clock: Clock = SYSTEM


@dataclass(frozen=True)
class Place:
    """What to capture, a directory or a file, and how."""

    source: Path
    options: Options
    before: Before


@dataclass(frozen=True)
class Captured:
    """A place as it was found: the root for its snapshot, and what the walk has to tell.

    `longest_pin`: for how many seconds databases, of whatever place, were held still at most.
    """

    root: Entry
    owner: Owner
    counts: Counts
    findings: Findings
    databases: dict[bytes, Outcome]
    longest_pin: float


@contextlib.contextmanager
def reading(source: Path) -> Iterator[None]:
    """Say of what goes wrong here that `source` cannot be read.

    Raises PathNotFound, SourceError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise PathNotFound(f"there is nothing at {source}") from error
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}") from error


class OpenPlace:
    """A place whose directory is open, for as long as `stack` is."""

    def __init__(self, place: Place, context: Context, stack: contextlib.ExitStack) -> None:
        """Raises PathNotFound, SourceError."""
        self.context = context
        self._source = source = place.source
        with reading(source):
            self._status = status = source.stat()
            if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                raise SourceError(f"{source} is neither a directory nor a file")
            self._file = None if stat.S_ISDIR(status.st_mode) else os.fsencode(source.name)
            directory = source if self._file is None else source.parent
            self._fd = stack.enter_context(opened(directory, os.O_RDONLY | os.O_DIRECTORY))
        self._old = place.before.old
        noted = place.before.signatures.databases
        self._root = Root(self._fd, os.fsencode(directory.absolute()), noted, self._old)

    def targets(self) -> Iterator[Target]:
        """Yield what are likely databases, those of the last capture among them."""
        if self._file is not None:
            yield Target(self._root, self._file)
            return
        context = self.context
        paths = find_databases(self._fd, context.exclude, context.avoid, self._root.noted)
        yield from (Target(self._root, path) for path in paths)

    def found(self, path: bytes) -> Target:
        """Return a database that the walk came upon, to be read whatever was noted of it."""
        return Target(self._root, path, again=True)

    def owns(self, target: Target) -> bool:
        """Whether a database lies here."""
        return target.root is self._root

    def walk(self) -> tuple[Entry, Owner, Counts]:
        """Put what is here into the sink; return the root for its snapshot, its owner, counts.

        Raises PathNotFound, SourceError.
        """
        with reading(self._source):
            return self._directory() if self._file is None else self._single(self._file)

    def _directory(self) -> tuple[Entry, Owner, Counts]:
        status = os.fstat(self._fd)
        done = walk(self.context, self._fd, None, self._old)
        root = Entry(
            b"", EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            parts=(Part(done.tree, 0),), xattrs=read_xattrs(self._fd),
        )  # fmt: skip
        if not self._is_still():
            raise SourceError(
                f"{self._source} disappeared while it was read", "nothing was kept of this attempt"
            )
        return root, self.context.owners.of(status), done.counts

    def _single(self, name: bytes) -> tuple[Entry, Owner, Counts]:
        done = walk(self.context, self._fd, [name], self._old)
        if not done.counts.files:
            missing = self.context.findings.missing
            reason = missing[0].reason if missing else "it vanished"
            raise SourceError(f"{self._source} cannot be read: {reason}")
        root = Entry(b"", EntryKind.DIRECTORY, _FILE_ROOT_MODE, 0, 0, parts=(Part(done.tree, 0),))
        return root, self.context.owners.of(self._source.stat()), done.counts

    def _is_still(self) -> bool:
        try:
            return os.path.samestat(self._source.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False
