"""Members of an archive into a new directory, and nowhere else.

Every name is made below an open directory, never through a symlink and never over something that
is there: what an archive says of itself does not matter for that.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from palatine import fsio
from palatine.bundle.tar.read import Kind, Member
from palatine.errors import Malformed, Refused

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = 1 << 20


class NewTree:
    """A directory being filled. Close it: that gives directories their modes and times."""

    def __init__(self, top: Path) -> None:
        """Make the directory; raises FileExistsError when its name is taken."""
        top.mkdir(mode=fsio.DIRECTORY_MODE)
        self.top = top
        self._root = os.open(top, _DIRECTORY)
        self._parent = (b"", os.dup(self._root))
        self._directories: dict[bytes, tuple[int, int]] = {}
        self.widened: list[bytes] = []
        """What got a right for its owner: without it nobody could have read it."""

    def put(self, member: Member, path: bytes, link: bytes = b"") -> str:
        """Make what a member is at a path; return the SHA-256 of a file's bytes, else nothing.

        `link` is where the file of a hard link was put. Raises Malformed, Refused.
        """
        with self._told(path):
            if member.kind is Kind.DIRECTORY:
                self.directory(path)
                self._directories[path] = (member.mode, member.mtime_ns)
                return ""
            parent, name = self._place(path)
            if member.kind is Kind.FILE:
                return self._file(member, parent, name, path)
            if member.kind is Kind.SYMLINK:
                os.symlink(member.target, name, dir_fd=parent)
                times = (member.mtime_ns, member.mtime_ns)
                os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
                return ""
            _check(link)
            parent = os.dup(parent)
            try:
                from_parent, old = self._place(link)
                fsio.hard_link(old, from_parent, name, parent)
            finally:
                os.close(parent)
            return ""

    def directory(self, path: bytes) -> None:
        """Make a directory, and those above it, unless they are there."""
        if path:
            self._enter(path)

    def close(self) -> None:
        """Give directories what the archive said of them, the deepest first, and let go."""
        for path in sorted(self._directories, key=lambda one: -one.count(b"/")):
            mode, mtime_ns = self._directories[path]
            self._enter(path)
            fd = self._parent[1]
            os.fchmod(fd, self._mode(path, mode, 0o500))
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        self.abandon()

    def abandon(self) -> None:
        """Let go of the directory as it is."""
        os.close(self._parent[1])
        os.close(self._root)

    def _file(self, member: Member, parent: int, name: bytes, path: bytes) -> str:
        fd = os.open(name, _CREATE, fsio.FILE_MODE, dir_fd=parent)
        digest = hashlib.sha256()
        try:
            while data := member.read(_READ):
                digest.update(data)
                view = memoryview(data)
                while len(view):
                    view = view[os.write(fd, view) :]
            os.fchmod(fd, self._mode(path, member.mode, 0o400))
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)
        return digest.hexdigest()

    def _mode(self, path: bytes, mode: int, needed: int) -> int:
        if mode & needed != needed or mode & ~0o777:
            self.widened.append(path)
        return mode & 0o777 | needed

    def _place(self, path: bytes) -> tuple[int, bytes]:
        directory, _, name = path.rpartition(b"/")
        self._enter(directory)
        return self._parent[1], name

    def _enter(self, path: bytes) -> None:
        """Have the directory open, made if it is not there."""
        if path == self._parent[0]:
            return
        fd = os.dup(self._root)
        try:
            for name in path.split(b"/") if path else ():
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, fsio.DIRECTORY_MODE, dir_fd=fd)
                below = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
        except BaseException:
            os.close(fd)
            raise
        os.close(self._parent[1])
        self._parent = (path, fd)

    @contextlib.contextmanager
    def _told(self, path: bytes) -> Iterator[None]:
        name = repr(os.fsdecode(path))
        try:
            _check(path)
            yield
        except FileExistsError:
            raise Malformed(f"the archive holds {name} twice") from None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT):
                raise Malformed(f"{name} lies below something that is no directory") from None
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise Refused(
                    f"{name} cannot be a name here: {error.strerror}",
                    "unpack it where the file system takes such names",
                ) from None
            raise


def _check(path: bytes) -> None:
    if any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise Malformed(
            f"the archive holds {os.fsdecode(path)!r}, which cannot be a path in a palace"
        )


@contextlib.contextmanager
def new_tree(top: Path) -> Iterator[NewTree]:
    """Fill a new directory; what was put into it is left when that fails."""
    tree = NewTree(top)
    try:
        yield tree
    except BaseException:
        tree.abandon()
        raise
    tree.close()
