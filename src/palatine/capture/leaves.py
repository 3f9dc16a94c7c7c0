"""The files, symlinks and databases of one directory, each made into an entry."""

from __future__ import annotations

import os
import stat
from typing import Protocol

import msgspec

from palatine.capture.context import Context
from palatine.capture.files import Changed, FileContent, IsDatabase
from palatine.capture.known import Known
from palatine.capture.outcomes import Taken
from palatine.capture.signatures import SIGNATURE_SIZE, UNKNOWN, settled, signature, stamp_ns
from palatine.model.snapshot import Missing
from palatine.model.tree import Entry, EntryKind, Owner

_LIKE_NONE = b"\xff" * SIGNATURE_SIZE
"""A signature that is never recorded: that of what was recorded as unknown is unknown too."""


class Target(Protocol):
    """What takes entries: a directory's builder, or what keeps them until it is their turn."""

    def add(self, entry: Entry, owner: Owner, signature: bytes, small: bytes = b"") -> None:
        """Append an entry; `small` are a pooled file's bytes."""


def sign(context: Context, path: bytes, status: os.stat_result) -> bytes:
    """Return what tells a file from a changed one: commits in a WAL change nothing in stat."""
    taken = context.databases.get(path) if context.databases else None
    if not isinstance(taken, Taken):
        return signature(status)
    return taken.signature if taken.signature != UNKNOWN else _LIKE_NONE


class Leaves:
    """Captures what is no directory in one directory."""

    def __init__(self, context: Context, fd: int, path: bytes) -> None:
        self._context = context
        self._fd = fd
        self._path = path

    def add(
        self, name: bytes, status: os.stat_result, sign: bytes, known: Known, target: Target
    ) -> None:
        """Add the entry of a name to `target`, or tell why there is none."""
        context = self._context
        twin = self._as_first(name, status, sign)
        if twin is not None:
            target.add(twin, context.owners.of(status), self._to_keep(status, sign))
            context.reporter.advance(twin.size)
            return
        same = known.unchanged(name, sign)
        if same is not None:
            entry, owner, small = same
            link = self._first_name(name, status)
            if link != entry.link:  # the file is as it was, but its first name moved
                entry = msgspec.structs.replace(entry, link=link)
            self._remember_first(entry, status, sign)
            target.add(entry, owner, sign, small)
            context.reporter.advance(entry.size)
            return
        try:
            if stat.S_ISLNK(status.st_mode):
                self._symlink(name, status, sign, target)
            elif not self._database(name, target):
                self._file(name, status, known.entries.get(name), target)
        except FileNotFoundError:
            return
        except Changed:
            reason = "became something else while it was read"
            context.findings.missing.append(Missing(self._path + name, reason))
        except OSError as error:
            context.miss(self._path + name, error)

    def _database(self, name: bytes, target: Target, found: bool = False) -> bool:
        """Put a database that was captured, or is now because the walk found it to be one."""
        context, path = self._context, self._path + name
        outcome = context.databases.get(path)
        if outcome is None and not found:
            return False
        if outcome is None or (isinstance(outcome, Taken) and outcome.content is None):
            outcome = context.take(path)
        if isinstance(outcome, Missing):
            context.findings.missing.append(outcome)
            return True
        if outcome is None or outcome.content is None:
            return False
        content = outcome.content
        link = self._first_name(name, content.status)
        owner = context.owners.of(content.status)
        target.add(_file_entry(name, content, link), owner, outcome.signature, content.small)
        return True

    def _symlink(self, name: bytes, status: os.stat_result, sign: bytes, target: Target) -> None:
        entry = Entry(
            name, EntryKind.SYMLINK, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            target=os.readlink(name, dir_fd=self._fd),
        )  # fmt: skip
        target.add(entry, self._context.owners.of(status), self._to_keep(status, sign))

    def _file(self, name: bytes, status: os.stat_result, old: Entry | None, target: Target) -> None:
        context = self._context
        if old is not None and old.kind != EntryKind.FILE:
            old = None
        try:
            content = context.files.read(self._fd, name, status, old)
        except IsDatabase:
            if not self._database(name, target, found=True):
                os.stat(name, dir_fd=self._fd)  # raises when it is merely gone
                raise Changed from None
            return
        path = self._path + name
        if content.torn:
            context.findings.torn.append(path)
            context.findings.missing.append(Missing(path, "went on changing while it was read"))
        after = content.status
        entry = _file_entry(name, content, self._first_name(name, after))
        kept = UNKNOWN if content.torn else self._to_keep(after, signature(after))
        if not content.torn:
            self._remember_first(entry, after, signature(after))
        target.add(entry, context.owners.of(after), kept, content.small)
        if content.small:
            context.reporter.advance(content.size)

    def _first_name(self, name: bytes, status: os.stat_result) -> bytes:
        """Return the path of a file's first name, or nothing where this is it."""
        if status.st_nlink == 1 or not stat.S_ISREG(status.st_mode):
            return b""
        path = self._path + name
        first = self._context.first_links.setdefault((status.st_dev, status.st_ino), path)
        return first if first != path else b""

    def _remember_first(self, entry: Entry, status: os.stat_result, sign: bytes) -> None:
        if status.st_nlink > 1 and entry.parts and not entry.link:
            place = status.st_dev, status.st_ino
            self._context.first_entries[place] = sign, entry

    def _as_first(self, name: bytes, status: os.stat_result, sign: bytes) -> Entry | None:
        """Return the entry of a large file's first name under another of its names.

        It is not read twice, nor cut in another way because this name says something else.
        """
        place = status.st_dev, status.st_ino
        first_sign, entry = self._context.first_entries.get(place, (b"", None))
        if entry is None or first_sign != sign:
            return None
        return msgspec.structs.replace(entry, name=name, link=self._first_name(name, status))

    def _to_keep(self, status: os.stat_result, sign: bytes) -> bytes:
        return sign if settled(status, self._context.began_ns) else UNKNOWN


def _file_entry(name: bytes, content: FileContent, link: bytes) -> Entry:
    return Entry(
        name, EntryKind.FILE, stat.S_IMODE(content.status.st_mode), 0, stamp_ns(content.status),
        content.size, content.level, content.parts, content.holes, content.xattrs, link=link,
    )  # fmt: skip
