"""Capturing one palace: a directory, or a single database file as a tree of one file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palatine.capture.excludes import matching
from palatine.capture.files import FileReader, read_xattrs
from palatine.capture.owners import Owners
from palatine.capture.pieces import Counts
from palatine.capture.signatures import Signatures, stamp_ns
from palatine.capture.sink import Sink
from palatine.capture.walk import Context, Findings, walk
from palatine.errors import PathNotFound, SourceError
from palatine.events import SILENT, Reporter
from palatine.fsio import opened
from palatine.ids import ObjectId
from palatine.model.config import Chunking
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.sqlite.sidecars import check_at_rest, database_of

_FILE_ROOT_MODE = 0o700
"""The mode of the directory that a single database's tree stands for."""


@dataclass(frozen=True)
class Options:
    """How a palace is captured: what is left out, and whether databases in use are taken as files.

    `avoid` are directories that are never entered: the repository and the cache.
    """

    excludes: Sequence[str] = ()
    unsafe_files: bool = False
    avoid: Sequence[Path] = ()


@dataclass(frozen=True)
class Captured:
    """A palace as it was found: the root for its snapshot, and what the walk has to tell."""

    root: Entry
    owner: Owner
    counts: Counts
    findings: Findings
    records: list[bytes]


@dataclass(frozen=True)
class Before:
    """What was known before a palace was looked at.

    `began_ns` is the wall clock then, `signatures` what the last capture of the place noted, `old`
    the tree of the parent snapshot.
    """

    began_ns: int
    signatures: Signatures
    old: ObjectId | None = None


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
    old = before.old
    context = Context(
        sink,
        FileReader(sink, chunking, reporter, options.unsafe_files),
        before.signatures,
        reporter,
        before.began_ns,
        matching(options.excludes),
        _inodes(options.avoid),
        options.unsafe_files,
    )
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            return _directory(context, source, old)
        if stat.S_ISREG(status.st_mode):
            return _single_file(context, source, old)
    except FileNotFoundError as error:
        raise PathNotFound(f"there is nothing at {source}") from error
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}") from error
    raise SourceError(f"{source} is neither a directory nor a file")


def _directory(context: Context, source: Path, old: ObjectId | None) -> Captured:
    with opened(source, os.O_RDONLY | os.O_DIRECTORY) as fd:
        status = os.fstat(fd)
        done = walk(context, fd, None, old)
        root = Entry(
            b"", EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            parts=(Part(done.tree, 0),), xattrs=read_xattrs(fd),
        )  # fmt: skip
    owner = context.owners.of(status)
    return Captured(root, owner, done.counts, context.findings, context.records)


def _single_file(context: Context, source: Path, old: ObjectId | None) -> Captured:
    name = os.fsencode(source.name)
    with opened(source.parent, os.O_RDONLY | os.O_DIRECTORY) as fd:
        if not context.unsafe and database_of(fd, name + b"-wal"):
            check_at_rest(fd, name)
        done = walk(context, fd, [name], old)
    if not done.counts.files:
        reason = context.findings.missing[0].reason if context.findings.missing else "it vanished"
        raise SourceError(f"{source} cannot be read: {reason}")
    root = Entry(b"", EntryKind.DIRECTORY, _FILE_ROOT_MODE, 0, 0, parts=(Part(done.tree, 0),))
    owner = Owners().of(source.stat())
    return Captured(root, owner, done.counts, context.findings, context.records)


def _inodes(directories: Sequence[Path]) -> frozenset[tuple[int, int]]:
    found = set()
    for directory in directories:
        try:
            status = directory.stat()
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)
