"""Carrying out what a ledger says at a place: renaming staged files there, removing, metadata.

Everything may be done again: what is not staged any more has been put, what is gone is removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from palatine import fsio
from palatine.chunking import SQLITE_MAGIC
from palatine.events import Reporter
from palatine.model.tree import EntryKind
from palatine.restore.handles import below
from palatine.restore.ledger import Facts, Ledger, Put, Removed
from palatine.restore.metadata import Metadata
from palatine.sqlite.fitting import fit
from palatine.sqlite.fold import clear_sidecars, fold
from palatine.sqlite.transplant import Job, Moments, Terms, transplant

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: EntryKind.FILE, stat.S_IFDIR: EntryKind.DIRECTORY}
_TREE, _LEDGER, _ASIDE = "tree", "ledger", "aside"


class Carrier:
    """What is staged for one directory, and carried there."""

    def __init__(self, staging: Path, directory: Path, reporter: Reporter) -> None:
        """`staging` is where `tree` and `ledger` are; `directory` where the paths begin."""
        self.staging = staging
        self.directory = directory
        self.tree = staging / _TREE
        self._reporter = reporter

    def ledger(self, new: bool = False) -> Ledger:
        """Open the ledger, or begin a `new` one."""
        return Ledger(self.staging / _LEDGER, new)

    def image(self, path: bytes) -> Path:
        """Return where a staged path is."""
        return self.tree / os.fsdecode(path)

    def live(self, path: bytes) -> Path:
        """Return where a path is at the place."""
        return self.directory / os.fsdecode(path)

    def loosen(self, ledger: Ledger) -> None:
        """Let what is staged be moved, whatever the modes of directories that only lead there."""
        self.tree.chmod(fsio.DIRECTORY_MODE)
        for path in ledger.ways():
            self.image(path).chmod(fsio.DIRECTORY_MODE)

    def put(self) -> None:
        """Rename everything staged to its place."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.ledger() as ledger, self._roots() as (tree, root):
            for one in ledger.puts():
                self._put(tree, root, one)

    def put_image(self, path: bytes) -> None:
        """Rename a staged database to its place, where none is any more."""
        with self._roots() as (tree, root):
            self._put(tree, root, Put(path, EntryKind.FILE, True))

    def remove(self) -> None:
        """Remove everything that is to go. A directory that is not empty by now stays."""
        with self.ledger() as ledger, self._roots() as (_, root):
            for one in ledger.removals():
                self._remove(root, one)

    def set_facts(self) -> None:
        """Set metadata where only that differs, and of directories that were changed.

        No connection to a database of the place may be open in this process.
        """
        metadata = Metadata(self._reporter)
        with self.ledger() as ledger, self._roots() as (_, root):
            for one in ledger.facts():
                try:
                    _set_facts(root, one, metadata)
                except (FileNotFoundError, NotADirectoryError):
                    continue  # the service has removed it since
                except PermissionError as error:
                    where = self.live(one.path)
                    self._reporter.notice(f"{where}: metadata not restored: {error.strerror}")

    @contextlib.contextmanager
    def _roots(self) -> Iterator[tuple[int, int]]:
        with (
            fsio.opened(self.tree, _DIRECTORY) as tree,
            fsio.opened(self.directory, _DIRECTORY) as root,
        ):
            yield tree, root

    def _put(self, tree: int, root: int, one: Put) -> None:
        with contextlib.ExitStack() as stack:
            try:
                staged, name = stack.enter_context(below(tree, one.path))
                os.stat(name, dir_fd=staged, follow_symlinks=False)
            except FileNotFoundError:
                return  # it has been put, alone or with the directory it is in
            there, _ = stack.enter_context(below(root, one.path))
            mode = _mode(there, name)
            if one.kind == EntryKind.DIRECTORY and stat.S_ISDIR(mode):
                return  # made meanwhile: what is in it is put on its own
            if one.is_database and self._put_content(one.path):
                return
            if one.is_database:
                fold(self.live(one.path))
                clear_sidecars(there, name)
            if mode and (one.kind == EntryKind.DIRECTORY or stat.S_ISDIR(mode)):
                self._move_aside(there, name)
            _rename(staged, name, there, one.kind)

    def _put_content(self, path: bytes) -> bool:
        """Have SQLite change a database that was made meanwhile; return whether there is one."""
        image, live = self.image(path), self.live(path)
        if not (_is_database(image) and _is_database(live)):
            return False
        fit(image, live)
        transplant([Job(image, live)], Moments(lambda _: None, lambda: None), Terms())
        image.unlink()
        return True

    def _move_aside(self, directory: int, name: bytes) -> None:
        """Make room where something of another kind stands; it goes with the staging."""
        aside = self.staging / _ASIDE
        aside.mkdir(exist_ok=True)
        with fsio.opened(aside, _DIRECTORY) as to:
            fsio.rename_at(name, directory, secrets.token_hex(8).encode(), to)

    def _remove(self, root: int, one: Removed) -> None:
        try:
            with below(root, one.path) as (directory, name):
                mode = _mode(directory, name)
                if one.kind == EntryKind.DIRECTORY:
                    if stat.S_ISDIR(mode):
                        os.rmdir(name, dir_fd=directory)
                    return
                if one.is_database:
                    fold(self.live(one.path))
                    clear_sidecars(directory, name)
                if mode and not stat.S_ISDIR(mode):
                    os.unlink(name, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if one.kind != EntryKind.DIRECTORY:
                raise
            self._reporter.notice(f"{self.live(one.path)} was not removed: {error.strerror}")


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def _mode(directory: int, name: bytes) -> int:
    """Return the mode of what has a name, 0 for nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _rename(staged: int, name: bytes, there: int, kind: EntryKind) -> None:
    """Rename a staged entry; a directory must be writable for that unless we are root."""
    try:
        fsio.rename_at(name, staged, name, there)
    except PermissionError:
        if kind != EntryKind.DIRECTORY:
            raise
        mode = stat.S_IMODE(_mode(staged, name))
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=staged)
        fsio.rename_at(name, staged, name, there)
        os.chmod(name, mode, dir_fd=there)


def _set_facts(root: int, one: Facts, metadata: Metadata) -> None:
    with _at(root, one.path) as (directory, name):
        mode = _mode(directory, name)
        if stat.S_ISLNK(mode) and one.entry.kind == EntryKind.SYMLINK:
            metadata.put_symlink(name, directory, one.entry, one.owner)
        elif _KINDS.get(stat.S_IFMT(mode)) == one.entry.kind != EntryKind.SYMLINK:
            with fsio.opened(name, _OPEN, directory) as fd:
                entry = one.entry
                if one.is_database:  # its times are the service's
                    now = os.fstat(fd).st_mtime_ns
                    entry = msgspec.structs.replace(entry, mtime_ns=now)
                metadata.put_over(fd, entry, one.owner)


@contextlib.contextmanager
def _at(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the directory a path is in and its name; an empty path is the root itself."""
    if not path:
        yield root, b"."
        return
    with below(root, path) as found:
        yield found
