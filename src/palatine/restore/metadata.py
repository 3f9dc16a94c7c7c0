"""Modes, owners, times and extended attributes, as far as this user may set them."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from functools import cache

from palatine.events import Reporter
from palatine.model.tree import Entry, Owner


class Metadata:
    """Puts on files what their entries say. What is not permitted is told once per kind."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told: set[str] = set()
        self._root = os.geteuid() == 0
        self._mask = _umask()
        self._self = (os.geteuid(), os.getegid())

    def creation_mode(self, entry: Entry) -> int:
        """Return the mode to create a file with: never more than it shall have for others.

        Attributes are set on what its owner may write to, also through an open descriptor.
        """
        return entry.mode & 0o777 | (0o200 if entry.xattrs else 0)

    def put(self, fd: int, entry: Entry, owner: Owner, created: bool = True) -> None:
        """Set everything on an open file or directory, times last.

        `created` says that a file was made with its creation mode under this process's umask.
        """
        owned = self._root and self._ids(owner) != self._self
        if owned:
            self._try("owners", lambda: os.chown(fd, *self._ids(owner)))
        # after the owner, whose change removes security.capability
        for name, value in entry.xattrs:
            what = f"the attribute {os.fsdecode(name)}"
            self._try(what, lambda name=name, value=value: os.setxattr(fd, name, value))  # type: ignore[misc]
        changed = self.creation_mode(entry) != entry.mode
        if not created or owned or changed or entry.mode & self._mask:
            self._try("modes", lambda: os.chmod(fd, entry.mode))
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def put_over(self, fd: int, entry: Entry, owner: Owner) -> None:
        """Set everything on what was there before; a user's attributes it shall not have go."""
        wanted = {os.fsdecode(name) for name, _ in entry.xattrs}
        for name in os.listxattr(fd) if hasattr(os, "listxattr") else ():
            if name.startswith("user.") and name not in wanted:
                self._try(f"the attribute {name}", lambda name=name: os.removexattr(fd, name))  # type: ignore[misc]
        self.put(fd, entry, owner, created=False)

    def put_symlink(self, name: bytes, directory: int, entry: Entry, owner: Owner) -> None:
        """Set owner and times of a symlink."""
        if self._root and self._ids(owner) != self._self:
            uid, gid = self._ids(owner)
            self._try(
                "owners",
                lambda: os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False),
            )
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def _try(self, what: str, change: Callable[[], object]) -> None:
        try:
            change()
        except OSError as error:
            if what not in self._told:
                self._told.add(what)
                self._reporter.notice(f"{what} could not be restored: {error.strerror}")

    @staticmethod
    @cache
    def _ids(owner: Owner) -> tuple[int, int]:
        """Return the numbers of an owner on this host: by name first, as names travel better."""
        try:
            uid = pwd.getpwnam(owner.user).pw_uid if owner.user else owner.uid
        except KeyError:
            uid = owner.uid
        try:
            gid = grp.getgrnam(owner.group).gr_gid if owner.group else owner.gid
        except KeyError:
            gid = owner.gid
        return uid, gid


def _umask() -> int:
    # There is no way to ask without setting; for that instant the stricter mask is the safe one.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
