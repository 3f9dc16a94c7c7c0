"""Whether anybody uses a palace: who has its files open, mapped or locked, or works inside of it.

Locks tell of every process, but not of connections that hold none: an idle one to a database in a
rollback mode, and one that has not read yet. /proc tells of those, of every process we may look at.
Looking changes nothing and leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from palatine.errors import Refused
from palatine.fsio import opened
from palatine.restore.survey import entries, with_sidecars
from palatine.sqlite import ofd

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PROC = Path("/proc")
_DELETED = b" (deleted)"


@dataclass(frozen=True)
class Use:
    """Somebody who uses a palace: the process (-1: unknown), what it uses (below the palace), how.

    `program` is its name, empty where it cannot be known.
    """

    pid: int
    program: str
    path: bytes
    how: str

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid > 0 else "another process"
        program = f" ({self.program})" if self.program else ""
        what = os.fsdecode(self.path) or "its directory"
        return f"{who}{program} has {what} {self.how}"


def refuse(target: Path) -> None:
    """Raise Refused, naming a process, when anybody else uses what is at a path."""
    watch = Watch(target)
    for directory, name, path, status in entries(target):
        watch.look(directory, name, path, status)
        if watch.found:
            break
    watch.refuse(target)


def users(target: Path) -> list[Use]:
    """Return who else uses a directory with anything in it, or a file with its sidecars.

    One for each process and file. What is not there is used by nobody.
    """
    watch = Watch(target)
    for directory, name, path, status in entries(target):
        watch.look(directory, name, path, status)
    return watch.found


class Watch:
    """Looks at all processes once, and then at each entry of a palace that `look` is shown."""

    def __init__(self, target: Path) -> None:
        self._open = _Open(target)
        self._found: dict[tuple[int, bytes], str] = dict(self._open.by_path)

    @property
    def found(self) -> list[Use]:
        """Who uses it, as far as it was looked at."""
        return [Use(pid, _program(pid), path, how) for (pid, path), how in self._found.items()]

    def look(self, directory: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        """Look who uses an entry: a descriptor of its directory, its name and path, its lstat."""
        known = self._open.by_inode.get((status.st_dev, status.st_ino), {})
        for pid, how in known.items():
            self._found.setdefault((pid, path), how)
        if stat.S_ISREG(status.st_mode) and not known:
            with contextlib.suppress(OSError), opened(name, _OPEN, directory) as fd:
                holder = lock_holder(fd)
                if holder is not None:
                    self._found.setdefault((holder, path), "locked")

    def refuse(self, target: Path) -> None:
        """Raise Refused when anybody was found; `target` is what people know the palace as."""
        if not self._found:
            return
        others = len({pid for pid, _ in self._found}) - 1
        also = f" ({others} more processes use it)" if others else ""
        raise Refused(
            f"{target} is in use: {self.found[0]}{also}",
            "stop it first, or change the palace under it with --live",
        )


def lock_holder(fd: int) -> int | None:
    """Return the process that holds a lock on an open file (-1: unknown), None when nobody does.

    Any byte of it, as SQLite locks databases and `-shm`; or flock, as redb locks.
    """
    holder = ofd.holder(fd, 0, 0) if ofd.AVAILABLE else None
    if holder is not None:
        return holder.pid
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return -1
    return None


class _Open:
    """What the other processes have open: by inode, and by path where the inode does not tell."""

    def __init__(self, target: Path) -> None:
        self.by_inode: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
        self.by_path: dict[tuple[int, bytes], str] = {}
        base = target if target.is_dir() else target.parent
        self._base = os.path.join(os.fsencode(base), b"")
        self._names = () if target.is_dir() else with_sidecars(os.fsencode(target.name))
        own = os.getpid()
        with contextlib.suppress(OSError):  # elsewhere than on Linux
            for pid in [int(name) for name in os.listdir(_PROC) if name.isdigit()]:
                if pid != own:
                    self._look_at(_PROC / str(pid), pid)

    def _look_at(self, home: Path, pid: int) -> None:
        """Note what a process has open; one that ends meanwhile, or is not ours to see, is left."""
        with contextlib.suppress(OSError):
            self._note(pid, os.stat(home / "cwd"), "as its working directory")
        with contextlib.suppress(OSError), os.scandir(home / "fd") as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    status = os.stat(entry.path)
                    if not status.st_nlink:
                        self._note_path(pid, os.fsencode(os.readlink(entry.path)), "open")
                    elif stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                        self._note(pid, status, "open")
        with contextlib.suppress(OSError):
            self._look_at_maps((home / "maps").read_bytes(), pid)

    def _look_at_maps(self, maps: bytes, pid: int) -> None:
        for line in maps.splitlines():
            # address, permissions, offset, device, inode, path: proc(5)
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[4] != b"0":
                major, minor = (int(number, 16) for number in fields[3].split(b":"))
                self.by_inode[os.makedev(major, minor), int(fields[4])].setdefault(pid, "mapped")
                # btrfs and overlayfs give files another device here than in their stat
                self._note_path(pid, fields[5], "mapped")

    def _note(self, pid: int, status: os.stat_result, how: str) -> None:
        self.by_inode[status.st_dev, status.st_ino].setdefault(pid, how)

    def _note_path(self, pid: int, path: bytes, how: str) -> None:
        if path.startswith(self._base):
            below = path.removeprefix(self._base).removesuffix(_DELETED)
            if not self._names or below in self._names:
                self.by_path[pid, below] = how


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    return ""
