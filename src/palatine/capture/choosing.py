"""Which names of a directory are captured: what is left out, and the sidecars of databases."""

from __future__ import annotations

import os
import stat

from palatine.capture import gitdirs
from palatine.capture.context import Context
from palatine.capture.excludes import nothing
from palatine.sqlite.sidecars import SUFFIXES, database_of

_SPECIAL = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "named pipe",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


class Choice:
    """Chooses among the names of one directory."""

    def __init__(self, context: Context, fd: int, path: bytes, in_git: bool) -> None:
        self._context = context
        self._fd = fd
        self._path = path
        self._in_git = in_git

    def status(self, name: bytes) -> os.stat_result | None:
        """Return the stat of a name that is to be captured, or None."""
        if self._in_git and gitdirs.is_transient(name):
            return None
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None  # gone since the directory was listed: at this moment it is not there
        except OSError as error:
            self._context.miss(self._path + name, error)
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
        path = self._path + database
        if not self._context.exclude(path, False):
            self._context.take(path)
        return True
