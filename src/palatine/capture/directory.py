"""One directory of a walk: the names that are there, merged with the pieces that were."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator

import msgspec

from palatine.capture import gitdirs
from palatine.capture.context import Context, Subdirectory, Walk
from palatine.capture.databases import Taken
from palatine.capture.excludes import nothing
from palatine.capture.files import Changed, FileContent, IsDatabase, read_xattrs
from palatine.capture.known import Known, OldPieces, is_whole
from palatine.capture.names import sorted_names
from palatine.capture.pieces import Counts, DirectoryBuilder
from palatine.capture.signatures import (
    SIGNATURE_SIZE,
    UNKNOWN,
    Record,
    settled,
    signature,
    stamp_ns,
)
from palatine.ids import ObjectId
from palatine.model.snapshot import Missing
from palatine.model.tree import PIECE_MAX, Entry, EntryKind, Owner, Part
from palatine.sqlite.sidecars import SUFFIXES, check_at_rest, database_of

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
BATCH = 2 * PIECE_MAX
"""Names whose stats are held at once: more than any piece has."""

_LIKE_NONE = b"\xff" * SIGNATURE_SIZE
"""A signature that is never recorded: that of what was recorded as unknown is unknown too."""

_SPECIAL = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "named pipe",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


class _Ahead:
    """Stands in for a directory's builder: keeps the entries that are made before their turn."""

    def __init__(self) -> None:
        self.added: list[tuple[Entry, Owner, bytes, bytes]] = []

    def add(self, entry: Entry, owner: Owner, signature: bytes, small: bytes = b"") -> None:
        self.added.append((entry, owner, signature, small))


class Directory:
    """One directory: merges the names that are there with the pieces that were."""

    def __init__(
        self,
        context: Context,
        fd: int,
        path: bytes,
        old: ObjectId | None,
        in_git: bool = False,
    ) -> None:
        self._old = old
        self._in_git = in_git
        self._objects: gitdirs.Objects | None = None
        self._ahead: dict[bytes, tuple[os.stat_result, _Ahead]] = {}
        self._context = context
        self._fd = fd
        self._path = path
        self._old_nodes: dict[bytes, ObjectId] = {}
        self._pieces = OldPieces(context, path, old, self._old_nodes)
        self._builder = DirectoryBuilder(context.sink, context.signatures, path, self._old_nodes)
        self._target: DirectoryBuilder | _Ahead = self._builder
        self._below = Counts()

    def run_settled(self) -> Walk:
        """Walk a git directory until no object vanishes meanwhile."""
        context, path = self._context, self._path
        for attempt in range(gitdirs.ATTEMPTS):
            mark = context.findings.mark()
            objects = gitdirs.Objects(self._fd)
            done = yield from self._again().run_git(objects)
            if objects.all_there():
                return done
            if attempt < gitdirs.ATTEMPTS - 1:
                context.forget(path, mark)
                context.clock.sleep(gitdirs.WAIT_SECONDS * (attempt + 1))
        reason = "git went on deleting objects while they were read"
        context.findings.missing.append(Missing(path.rstrip(b"/") or b".", reason))
        return done

    def _again(self) -> Directory:
        """Return the same directory, not walked yet."""
        return Directory(self._context, self._fd, self._path, self._old, self._in_git)

    def run_git(self, objects: gitdirs.Objects) -> Walk:
        """Walk a git directory: what refers to objects first, wherever its name belongs."""
        self._objects = objects
        names = list(sorted_names(self._fd))
        first = gitdirs.read_ahead(names)
        for name in first:
            status = self._stat(name)
            if status is None:
                continue
            self._target = ahead = _Ahead()
            known = self._known_of(name)
            if stat.S_ISDIR(status.st_mode):
                yield from self._subdirectory(name, status, signature(status), known)
            else:
                self._leaf(name, status, self._sign(name, status), known)
            self._ahead[name] = status, ahead
        self._target = self._builder
        missed = {name for name in first if name not in self._ahead}
        return (yield from self.run(iter(sorted({*names, *self._ahead} - missed))))

    def _known_of(self, name: bytes) -> Known:
        for old, end in self._pieces.ranges():
            if old is not None and (end is None or name < end):
                record = self._context.signatures.find(self._path, old)
                return Known(self._context.sink, self._pieces.load(old), record)
        return Known(self._context.sink, None, None)

    def run(self, names: Iterator[bytes]) -> Walk:
        """Walk these names, in order: the directory's own."""
        present = ((name, status) for name in names if (status := self._stat(name)))
        held: tuple[bytes, os.stat_result] | None = next(present, None)
        for old, end in self._pieces.ranges():
            while held is not None and (end is None or held[0] < end):
                batch: list[tuple[bytes, os.stat_result]] = []
                while held is not None and (end is None or held[0] < end) and len(batch) < BATCH:
                    batch.append(held)
                    held = next(present, None)
                yield from self._batch(batch, old)
        return Subdirectory(self._builder.finish(), self._builder.counts.plus(self._below))

    def _batch(
        self, batch: list[tuple[bytes, os.stat_result]], old: ObjectId | None
    ) -> Generator[Walk, Subdirectory, None]:
        signatures = [self._sign(name, status) for name, status in batch]
        record = self._context.signatures.find(self._path, old) if old else None
        if record is not None and self._is_same(record, batch, signatures):
            self._builder.reuse(record)
            self._context.reporter.advance(record.size)
            return
        piece = self._pieces.load(old) if old else None
        known = Known(self._context.sink, piece, record)
        self._builder.begin_old(piece)
        for (name, status), sign in zip(batch, signatures, strict=True):
            if name in self._ahead:
                for entry, owner, its_sign, small in self._ahead[name][1].added:
                    self._builder.add(entry, owner, its_sign, small)
            elif stat.S_ISDIR(status.st_mode):
                yield from self._subdirectory(name, status, sign, known)
            else:
                self._leaf(name, status, sign, known)

    def _sign(self, name: bytes, status: os.stat_result) -> bytes:
        """Return what tells a file from a changed one: commits in a WAL change nothing in stat."""
        databases = self._context.databases
        taken = databases.get(self._path + name) if databases else None
        if not isinstance(taken, Taken):
            return signature(status)
        return taken.signature if taken.signature != UNKNOWN else _LIKE_NONE

    def _is_same(
        self, record: Record, batch: list[tuple[bytes, os.stat_result]], signatures: list[bytes]
    ) -> bool:
        return (
            not record.has_directories
            and self._builder.at_boundary
            and record.names == b"/".join([name for name, _ in batch])
            and record.signatures == b"".join(signatures)
            and all(status.st_nlink == 1 for _, status in batch)  # another name may have moved
            and self._context.sink.present(record.piece)
            and all(is_whole(self._context.sink, level, one) for level, one in record.refs)
        )

    def _stat(self, name: bytes) -> os.stat_result | None:
        """Return the stat of a name that is to be captured, or None."""
        if name in self._ahead:
            return self._ahead[name][0]
        if self._in_git and gitdirs.is_transient(name):
            return None
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None  # gone since the directory was listed: at this moment it is not there
        except OSError as error:
            self._miss(name, error)
            return None
        mode = status.st_mode
        context = self._context
        if name.endswith(SUFFIXES) and self._is_sidecar(name):
            return None
        if context.exclude is not nothing and context.exclude(
            self._path + name, stat.S_ISDIR(mode)
        ):
            return None
        kind = _SPECIAL.get(stat.S_IFMT(mode))
        if kind:
            context.findings.left_out.append(f"{kind} {os.fsdecode(self._path + name)}")
            return None
        if stat.S_ISDIR(mode) and (status.st_dev, status.st_ino) in context.avoid:
            text = os.fsdecode(self._path + name)
            context.findings.left_out.append(f"palatine's own directory {text}")
            return None
        return status

    def _is_sidecar(self, name: bytes) -> bool:
        beside = next(name.removesuffix(one) for one in SUFFIXES if name.endswith(one))
        if self._path + beside in self._context.databases:
            return True  # also that of an encrypted one, whose first bytes say nothing
        database = None if self._context.unsafe else database_of(self._fd, name)
        if database is None:
            return False
        # A database that only its first bytes tell, with a WAL beside it: asked of every sidecar,
        # because the main file may pass for unchanged and not be read.
        if not self._context.exclude(self._path + database, False):
            path = self._path + database
            outcome = self._context.take_database(path)
            if outcome is None:
                check_at_rest(self._fd, database, self._path)
            else:
                self._context.databases[path] = outcome
        return True

    def _subdirectory(
        self, name: bytes, status: os.stat_result, sign: bytes, known: Known
    ) -> Generator[Walk, Subdirectory, None]:
        old = known.entries.get(name)
        old_tree = old.tree if old is not None and old.kind == EntryKind.DIRECTORY else None
        try:
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self._fd)
        except FileNotFoundError:
            return
        except OSError as error:
            self._miss(name, error)
            return
        try:
            done = yield self._inner(fd, name, old_tree)
            xattrs = read_xattrs(fd)
        except OSError as error:
            self._miss(name, error)
            return
        finally:
            os.close(fd)
        self._below = self._below.plus(done.counts).plus(Counts(directories=1))
        entry = Entry(
            name, EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            parts=(Part(done.tree, 0),), xattrs=xattrs,
        )  # fmt: skip
        self._target.add(entry, self._context.owners.of(status), sign)

    def _inner(self, fd: int, name: bytes, old_tree: ObjectId | None) -> Walk:
        if self._objects is not None and name == gitdirs.OBJECTS:
            self._objects.look()
        git = gitdirs.is_git_directory(fd)
        path = self._path + name + b"/"
        inner = Directory(self._context, fd, path, old_tree, self._in_git or git)
        return inner.run_settled() if git else inner.run(sorted_names(fd))

    def _leaf(self, name: bytes, status: os.stat_result, sign: bytes, known: Known) -> None:
        twin = self._as_first(name, status, sign)
        if twin is not None:
            owner = self._context.owners.of(status)
            self._target.add(twin, owner, self._to_keep(status, sign))
            self._context.reporter.advance(twin.size)
            return
        same = known.unchanged(name, sign)
        if same is not None:
            entry, owner, small = same
            link = self._first_name(name, status)
            if link != entry.link:  # the file is as it was, but its first name moved
                entry = msgspec.structs.replace(entry, link=link)
            self._remember_first(entry, status, sign)
            self._target.add(entry, owner, sign, small)
            self._context.reporter.advance(entry.size)
            return
        try:
            if stat.S_ISLNK(status.st_mode):
                self._symlink(name, status, sign)
            elif not self._database(name):
                self._file(name, status, known.entries.get(name))
        except FileNotFoundError:
            return
        except Changed:
            self._context.findings.missing.append(
                Missing(self._path + name, "became something else while it was read")
            )
        except OSError as error:
            self._miss(name, error)

    def _database(self, name: bytes, found: bool = False) -> bool:
        """Put a database that was captured, or is now because the walk found it to be one."""
        path = self._path + name
        outcome = self._context.databases.get(path)
        if outcome is None and not found:
            return False
        if outcome is None or (isinstance(outcome, Taken) and outcome.content is None):
            outcome = self._context.take_database(path)
            if outcome is not None:
                self._context.databases[path] = outcome
        if isinstance(outcome, Missing):
            self._context.findings.missing.append(outcome)
            return True
        if outcome is None or outcome.content is None:
            return False
        content = outcome.content
        link = self._first_name(name, content.status)
        owner = self._context.owners.of(content.status)
        self._target.add(_file_entry(name, content, link), owner, outcome.signature, content.small)
        return True

    def _symlink(self, name: bytes, status: os.stat_result, sign: bytes) -> None:
        entry = Entry(
            name, EntryKind.SYMLINK, stat.S_IMODE(status.st_mode), 0, stamp_ns(status),
            target=os.readlink(name, dir_fd=self._fd),
        )  # fmt: skip
        self._target.add(entry, self._context.owners.of(status), self._to_keep(status, sign))

    def _file(self, name: bytes, status: os.stat_result, old: Entry | None) -> None:
        context = self._context
        if old is not None and old.kind != EntryKind.FILE:
            old = None
        try:
            content = context.files.read(self._fd, name, status, old)
        except IsDatabase:
            if not self._database(name, found=True):
                os.stat(name, dir_fd=self._fd)  # raises when it is merely gone
                raise Changed from None
            return
        path = self._path + name
        if content.torn:
            context.findings.torn.append(path)
            context.findings.missing.append(Missing(path, "went on changing while it was read"))
        after = content.status
        link = self._first_name(name, after)
        sign = UNKNOWN if content.torn else self._to_keep(after, signature(after))
        entry = _file_entry(name, content, link)
        if not content.torn:
            self._remember_first(entry, after, signature(after))
        self._target.add(entry, context.owners.of(after), sign, content.small)
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

    def _miss(self, name: bytes, error: OSError) -> None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error
        reason = error.strerror or str(error)
        self._context.findings.missing.append(Missing(self._path + name, reason))


def _file_entry(name: bytes, content: FileContent, link: bytes) -> Entry:
    return Entry(
        name, EntryKind.FILE, stat.S_IMODE(content.status.st_mode), 0, stamp_ns(content.status),
        content.size, content.level, content.parts, content.holes, content.xattrs, link=link,
    )  # fmt: skip
