"""One directory of a walk: the names that are there, merged with the pieces that were."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable

from palatine.capture import gitdirs
from palatine.capture.choosing import Choice
from palatine.capture.context import Context, Subdirectory, Walk
from palatine.capture.files import read_xattrs
from palatine.capture.known import Known, OldPieces, is_whole
from palatine.capture.leaves import Leaves, Target, sign
from palatine.capture.names import sorted_names
from palatine.capture.pieces import Counts, DirectoryBuilder
from palatine.capture.signatures import Record, stamp_ns
from palatine.ids import ObjectId
from palatine.model.tree import PIECE_MAX, Entry, EntryKind, Owner, Part

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Signed = tuple[bytes, os.stat_result, bytes]
"""A name, its stat, and its signature."""

BATCH = 2 * PIECE_MAX
"""Names whose stats are held at once: more than any piece has."""


def walk_of(context: Context, fd: int, path: bytes, old: ObjectId | None, in_git: bool) -> Walk:
    """Return the walk of a whole directory, a repository's or any other.

    `old` is the tree it had in the parent snapshot, `in_git` whether it lies in a git directory.
    """
    if not gitdirs.is_git_directory(fd):
        return Directory(context, fd, path, old, in_git).run(sorted_names(fd))

    def again(objects: gitdirs.Objects) -> Walk:
        return Directory(context, fd, path, old, in_git=True).run_git(objects)

    return gitdirs.settled(context, fd, path, again)


class _Ahead:
    """Stands in for a directory's builder: keeps the entries that are made before their turn."""

    def __init__(self) -> None:
        self.added: list[tuple[Entry, Owner, bytes, bytes]] = []

    def add(self, entry: Entry, owner: Owner, signature: bytes, small: bytes = b"") -> None:
        self.added.append((entry, owner, signature, small))


class Directory:
    """One directory: merges the names that are there with the pieces that were."""

    def __init__(
        self, context: Context, fd: int, path: bytes, old: ObjectId | None, in_git: bool = False
    ) -> None:
        self._context = context
        self._fd = fd
        self._path = path
        self._in_git = in_git
        self._objects: gitdirs.Objects | None = None
        self._ahead: dict[bytes, tuple[os.stat_result, _Ahead]] = {}
        old_nodes: dict[bytes, ObjectId] = {}
        self._pieces = OldPieces(context, path, old, old_nodes)
        self._builder = DirectoryBuilder(context.sink, context.signatures, path, old_nodes)
        self._choice = Choice(context, fd, path, in_git)
        self._leaves = Leaves(context, fd, path)
        self._below = Counts()

    def run(self, names: Iterable[bytes]) -> Walk:
        """Walk these names, in order: the directory's own."""
        present = ((name, status) for name in names if (status := self._status(name)))
        held: tuple[bytes, os.stat_result] | None = next(present, None)
        for old, end in self._pieces.ranges():
            while held is not None and (end is None or held[0] < end):
                batch: list[tuple[bytes, os.stat_result]] = []
                while held is not None and (end is None or held[0] < end) and len(batch) < BATCH:
                    batch.append(held)
                    held = next(present, None)
                yield from self._batch(batch, old)
        return Subdirectory(self._builder.finish(), self._builder.counts.plus(self._below))

    def run_git(self, objects: gitdirs.Objects) -> Walk:
        """Walk a git directory: what refers to objects first, wherever its name belongs."""
        self._objects = objects
        names = list(sorted_names(self._fd))
        first = gitdirs.read_ahead(names)
        for name in first:
            status = self._choice.status(name)
            if status is None:
                continue
            ahead = _Ahead()
            one = name, status, self._sign(name, status)
            yield from self._one(one, self._known_of(name), ahead)
            self._ahead[name] = status, ahead
        missed = {name for name in first if name not in self._ahead}
        return (yield from self.run(sorted({*names, *self._ahead} - missed)))

    def _status(self, name: bytes) -> os.stat_result | None:
        if name in self._ahead:
            return self._ahead[name][0]
        return self._choice.status(name)

    def _known_of(self, name: bytes) -> Known:
        for old, end in self._pieces.ranges():
            if old is not None and (end is None or name < end):
                record = self._context.signatures.find(self._path, old)
                return Known(self._context.sink, self._pieces.load(old), record)
        return Known(self._context.sink, None, None)

    def _batch(
        self, batch: list[tuple[bytes, os.stat_result]], old: ObjectId | None
    ) -> Generator[Walk, Subdirectory, None]:
        signed = [(name, status, self._sign(name, status)) for name, status in batch]
        record = self._context.signatures.find(self._path, old) if old else None
        if record is not None and self._is_same(record, signed):
            self._builder.reuse(record)
            self._context.reporter.advance(record.size)
            return
        piece = self._pieces.load(old) if old else None
        known = Known(self._context.sink, piece, record)
        self._builder.begin_old(piece)
        for one in signed:
            if one[0] in self._ahead:
                for entry, owner, its_sign, small in self._ahead[one[0]][1].added:
                    self._builder.add(entry, owner, its_sign, small)
            else:
                yield from self._one(one, known, self._builder)

    def _is_same(self, record: Record, batch: list[_Signed]) -> bool:
        return (
            not record.has_directories
            and self._builder.at_boundary
            and record.names == b"/".join([name for name, _, _ in batch])
            and record.signatures == b"".join([sign for _, _, sign in batch])
            and all(status.st_nlink == 1 for _, status, _ in batch)  # another name may have moved
            and self._context.sink.present(record.piece)
            and all(is_whole(self._context.sink, level, one) for level, one in record.refs)
        )

    def _one(
        self, one: _Signed, known: Known, target: Target
    ) -> Generator[Walk, Subdirectory, None]:
        name, status, its_sign = one
        if stat.S_ISDIR(status.st_mode):
            yield from self._subdirectory(one, known, target)
        else:
            self._leaves.add(name, status, its_sign, known, target)

    def _sign(self, name: bytes, status: os.stat_result) -> bytes:
        return sign(self._context, self._path + name, status)

    def _subdirectory(
        self, one: _Signed, known: Known, target: Target
    ) -> Generator[Walk, Subdirectory, None]:
        name, status, its_sign = one
        context, path = self._context, self._path + name
        old = known.entries.get(name)
        old_tree = old.tree if old is not None and old.kind == EntryKind.DIRECTORY else None
        try:
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self._fd)
        except FileNotFoundError:
            return
        except OSError as error:
            context.miss(path, error)
            return
        try:
            if self._objects is not None and name == gitdirs.OBJECTS:
                self._objects.look()
            done = yield walk_of(context, fd, path + b"/", old_tree, self._in_git)
            xattrs = read_xattrs(fd)
        except OSError as error:
            context.miss(path, error)
            return
        finally:
            os.close(fd)
        self._below = self._below.plus(done.counts).plus(Counts(directories=1))
        entry = Entry(
            name, EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            parts=(Part(done.tree, 0),), xattrs=xattrs,
        )  # fmt: skip
        target.add(entry, context.owners.of(status), its_sign)
