"""Advisory locks of files and directories."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from palatine.fsio.durable import opened
from palatine.fsio.newfile import FILE_MODE

_SHARED = (
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse",
    "gfs",
    "gluster",
    "gpfs",
    "lustre",
    "nfs",
    "ocfs",
    "orangefs",
    "prl_fs",
    "smb",
    "vboxsf",
    "virtiofs",
)
"""How the types of file systems begin that several hosts may have mounted at once."""


@contextlib.contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Keep others who do the same away, where the file system has locks for directories."""
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether somebody holds a file's flock, as far as this system can tell.

    True also where that cannot be asked: where the file system has no locks, or may be shared with
    other hosts, which need not see each other's. Raises FileNotFoundError.
    """
    with opened(path, os.O_RDONLY) as fd:
        if _is_shared(fd):
            return True
        try:
            # shared: two who ask at once do not take each other for the owner
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _is_shared(fd: int) -> bool:
    """Whether a file lies on a file system that other hosts may use too."""
    device = os.fstat(fd).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()[0].startswith(_SHARED)
    return False


def try_lock_file(path: Path) -> int:
    """Make a file if it is not there, and take its flock; return a descriptor, -1 if it is taken.

    Whoever holds it may remove the file: then it is no longer what others find under its name.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.lstat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1
