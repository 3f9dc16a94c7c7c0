"""Writing a snapshot as a native bundle's archive: the manifest, the files, their hashes.

One pass over the contents; the trees are walked twice, for the manifest stands first and says how
much follows. What is too long to hold (the manifest's entries, the hashes) waits in nameless files.
docs/bundles.md describes the format.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from palatine.bundle import sums
from palatine.bundle.native.ahead import Ahead, Step
from palatine.bundle.native.manifest import (
    FORMAT,
    MANIFEST,
    SUMS,
    EntriesWriter,
    Head,
    encode_end,
    encode_head,
)
from palatine.bundle.native.members import members
from palatine.bundle.native.record import record_of
from palatine.bundle.tar.names import Clashes
from palatine.bundle.tar.write import END, Header, header, padding
from palatine.bundle.zstd.write import ZstdWriter
from palatine.errors import Malformed
from palatine.events import SILENT, Reporter
from palatine.ids import Buffer
from palatine.model.tree import EntryKind
from palatine.store.snapshots import Stored
from palatine.store.trees import Source

_OWN_MODE = 0o600
"""The mode of what is no part of the palace: manifest and hashes."""

_IN_MEMORY = 1 << 20
_COPIED = 1 << 20


@dataclass(frozen=True)
class Task:
    """A snapshot to write, the objects it consists of, and the name of their digest.

    `scratch` is a directory for nameless files. `redacted` goes into the manifest: what was put in
    the place of secrets.
    """

    source: Source
    stored: Stored
    digest: str
    scratch: Path
    threads: int = 2
    redacted: dict[str, Any] | None = None
    reporter: Reporter = field(default=SILENT)


class Written(NamedTuple):
    """The head of the manifest, and the first name that some systems cannot tell from another."""

    head: Head
    clash: bytes


def write(task: Task, out: ZstdWriter) -> Written:
    """Write a snapshot's archive.

    Raises Damaged when the repository does not give what the snapshot holds.
    """
    with _scratch(task) as entries, _scratch(task) as hashes:
        written = _write_manifest(task, out, entries, hashes)
        task.reporter.begin("exporting", written.head.size)
        try:
            _write_files(task, out, hashes)
        finally:
            task.reporter.end()
        size = hashes.tell()
        hashes.seek(0)
        out.write(_own_header(task, SUMS, size))
        for data in _read(hashes):
            out.write(data)
        out.write(padding(size) + END)
        return written


def _write_manifest(task: Task, out: ZstdWriter, spool: IO[bytes], hashes: IO[bytes]) -> Written:
    snapshot = task.stored.snapshot
    entries, clashes, clash = EntriesWriter(spool), Clashes(), b""
    for member in members(task.source, snapshot):
        entries.add(member.listed(snapshot.owner))
        if not clash and clashes.meets(member.path):
            clash = member.path
    head = Head(
        palatine_bundle=FORMAT,
        digest=task.digest,
        snapshot=record_of(task.stored),
        redacted=task.redacted,
        size=entries.size,
        data=entries.data,
        count=entries.count,
    )
    first, last = encode_head(head), encode_end()
    size = len(first) + spool.tell() + len(last)
    hasher = hashlib.sha256()
    out.write(_own_header(task, MANIFEST, size))
    spool.seek(0)
    for data in (first, *_read(spool), last):
        hasher.update(data)
        out.write(data)
    out.write(padding(size))
    hashes.write(sums.line(hasher.hexdigest(), MANIFEST))
    return Written(head, clash)


def _write_files(task: Task, out: ZstdWriter, hashes: IO[bytes]) -> None:
    with Ahead(task.source, task.threads) as ahead:
        file: _File | None = None
        for step in ahead.steps(members(task.source, task.stored.snapshot)):
            if not step.begins:
                assert file is not None
                file.take(step)
                continue
            if file is not None:
                file.finish(hashes)
            file = _File(task, out, step)
        if file is not None:
            file.finish(hashes)


class _File:
    """The member that is being written."""

    def __init__(self, task: Task, out: ZstdWriter, step: Step) -> None:
        self._member = step.member
        self._out = out
        self._reporter = task.reporter
        self._hasher = hashlib.sha256()
        self._size = 0
        out.write(header(self._member.header()))

    def take(self, step: Step) -> None:
        for data in step.bytes():
            self._hasher.update(data)
            self._out.write(data)
            self._size += len(data)
            self._reporter.advance(len(data))

    def finish(self, hashes: IO[bytes]) -> None:
        """Pad the member; raises Malformed when it was not as long as its header says."""
        if not self._member.has_content:
            return
        if self._size != self._member.entry.size:
            raise Malformed(f"{self._member.path[:200]!r} does not have the size it should")
        self._out.write(padding(self._size))
        hashes.write(sums.line(self._hasher.hexdigest(), self._member.path))


def _own_header(task: Task, name: bytes, size: int) -> Buffer:
    snapshot = task.stored.snapshot
    mtime_ns = snapshot.time_us // 1_000_000 * 1_000_000_000
    return header(Header(name, EntryKind.FILE, _OWN_MODE, snapshot.owner, mtime_ns, size))


def _scratch(task: Task) -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(task.scratch))


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_COPIED):
        yield data
