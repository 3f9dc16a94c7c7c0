"""Capturing one palace: a directory, or a single database file as a tree of one file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from palatine.capture.context import Context, Findings
from palatine.capture.databases import DatabaseCapture, Outcome, Terms
from palatine.capture.excludes import matching
from palatine.capture.files import FileReader, read_xattrs
from palatine.capture.owners import Owners
from palatine.capture.pieces import Counts
from palatine.capture.signatures import Signatures, stamp_ns
from palatine.capture.sink import Sink
from palatine.capture.survey import find_databases
from palatine.capture.walk import walk
from palatine.clock import SYSTEM, Clock
from palatine.errors import PathNotFound, SourceError
from palatine.events import SILENT, Reporter
from palatine.fsio import opened
from palatine.ids import ObjectId
from palatine.model.config import Chunking
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.sqlite import ofd
from palatine.sqlite.sidecars import check_at_rest, database_of

_FILE_ROOT_MODE = 0o700
"""The mode of the directory that a single database's tree stands for."""


@dataclass(frozen=True)
class Options:
    """How a palace is captured: what is left out, and whether databases in use are taken as files.

    `avoid` are directories that are never entered: the repository and the cache; `patience` is how
    many seconds a database that another process holds exclusively is waited for.
    """

    excludes: Sequence[str] = ()
    unsafe_files: bool = False
    avoid: Sequence[Path] = ()
    patience: float = 30.0


@dataclass(frozen=True)
class Captured:
    """A palace as it was found: the root for its snapshot, and what the walk has to tell."""

    root: Entry
    owner: Owner
    counts: Counts
    findings: Findings
    databases: dict[bytes, Outcome]
    longest_pin: float


@dataclass(frozen=True)
class Before:
    """What was known before a palace was looked at.

    `began_ns` is the wall clock then, `signatures` what the last capture of the place noted, `old`
    the tree of the parent snapshot.
    """

    began_ns: int
    signatures: Signatures
    old: ObjectId | None = None
    clock: Clock = SYSTEM


def capture(
    source: Path,
    sink: Sink,
    chunking: Chunking,
    options: Options,
    before: Before,
    reporter: Reporter = SILENT,
) -> Captured:
    """Put everything below `source` into `sink`.

    Raises PathNotFound, SourceError when the palace itself cannot be read, LiveDatabase.
    """
    apart = ofd.AVAILABLE and not options.unsafe_files
    context = Context(
        sink,
        FileReader(sink, chunking, reporter, options.unsafe_files, apart),
        before.signatures,
        reporter,
        before.began_ns,
        matching(options.excludes),
        _inodes(options.avoid),
        options.unsafe_files,
        clock=before.clock,
    )
    live = _Live(context, chunking, options, before)
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            return _directory(context, source, live)
        if stat.S_ISREG(status.st_mode):
            return _single_file(context, source, live)
    except FileNotFoundError as error:
        raise PathNotFound(f"there is nothing at {source}") from error
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}") from error
    raise SourceError(f"{source} is neither a directory nor a file")


class _Live:
    """The databases of a palace that is being captured."""

    def __init__(
        self, context: Context, chunking: Chunking, options: Options, before: Before
    ) -> None:
        self.old = before.old
        self._context = context
        self._possible = ofd.AVAILABLE and not options.unsafe_files
        noted = before.signatures.databases
        self._terms = Terms(chunking.fixed, options.patience, before.clock, before.began_ns, noted)
        self._captures: list[DatabaseCapture] = []

    @property
    def noted(self) -> Iterable[bytes]:
        """The databases there were at the last capture: some have names that do not tell."""
        return self._terms.noted

    @property
    def longest_pin(self) -> float:
        """Seconds the longest pin was held."""
        return max((one.longest_pin for one in self._captures), default=0.0)

    def begin(self, root: int, paths: Iterable[bytes]) -> None:
        """Capture the databases at these paths, together; later ones alone when the walk asks."""
        if not self._possible:
            return
        self._context.databases.update(self._capture(root, list(paths), self._terms))
        alone = replace(self._terms, noted={})
        self._context.take_database = lambda path: self._capture(root, [path], alone).get(path)

    def _capture(self, root: int, paths: list[bytes], terms: Terms) -> dict[bytes, Outcome]:
        context = self._context
        capture = DatabaseCapture(context.sink, context.reporter, terms, self.old)
        self._captures.append(capture)
        return capture.capture(root, paths)


def _directory(context: Context, source: Path, live: _Live) -> Captured:
    with opened(source, os.O_RDONLY | os.O_DIRECTORY) as fd:
        status = os.fstat(fd)
        live.begin(fd, find_databases(fd, context.exclude, context.avoid, live.noted))
        done = walk(context, fd, None, live.old)
        root = Entry(
            b"", EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            parts=(Part(done.tree, 0),), xattrs=read_xattrs(fd),
        )  # fmt: skip
        if not _is_still(source, fd):
            raise SourceError(
                f"{source} disappeared while it was read", "nothing was kept of this attempt"
            )
    owner = context.owners.of(status)
    return _captured(context, root, owner, done.counts, live)


def _single_file(context: Context, source: Path, live: _Live) -> Captured:
    name = os.fsencode(source.name)
    with opened(source.parent, os.O_RDONLY | os.O_DIRECTORY) as fd:
        live.begin(fd, [name])
        if not context.unsafe and name not in context.databases and database_of(fd, name + b"-wal"):
            check_at_rest(fd, name)
        done = walk(context, fd, [name], live.old)
    if not done.counts.files:
        reason = context.findings.missing[0].reason if context.findings.missing else "it vanished"
        raise SourceError(f"{source} cannot be read: {reason}")
    root = Entry(b"", EntryKind.DIRECTORY, _FILE_ROOT_MODE, 0, 0, parts=(Part(done.tree, 0),))
    owner = Owners().of(source.stat())
    return _captured(context, root, owner, done.counts, live)


def _captured(context: Context, root: Entry, owner: Owner, counts: Counts, live: _Live) -> Captured:
    return Captured(root, owner, counts, context.findings, context.databases, live.longest_pin)


def _is_still(source: Path, fd: int) -> bool:
    try:
        return os.path.samestat(source.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _inodes(directories: Sequence[Path]) -> frozenset[tuple[int, int]]:
    found = set()
    for directory in directories:
        try:
            status = directory.stat()
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)
