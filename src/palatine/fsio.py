"""Durable writes to the local file system: the one place that syncs, links and renames.

A file appears under its name only when all its bytes, and the name itself, are on disk. On Linux a
new file has no name at all until then (O_TMPFILE), so a killed process leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from palatine.ids import Buffer

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
TEMPORARY_PREFIX = ".pal-tmp-"
"""Names of temporary files where O_TMPFILE is missing; listings pass them over."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FICLONE = 0x40049409
_NO_CLONE = {
    errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM,
    errno.ETXTBSY,
}  # fmt: skip
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

_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


def make_directories(path: Path) -> None:
    """Create a directory and its parents, private to the user, each synced into its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path == path.parent:
            break
        path = path.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=DIRECTORY_MODE)
        sync_directory(directory.parent)  # also when another process made it just now


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(directory: Path) -> None:
    """Make everything written to the file system of a directory durable, as far as that is known.

    One syncfs(2) for many files; where the C library has none, sync(2) for all file systems.
    """
    if not hasattr(_LIBC, "syncfs"):
        os.sync()
        return
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
        if _LIBC.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))


def sync_data(fd: int) -> None:
    """Make durable what was written to a file so far, by whatever process."""
    os.fsync(fd)


def begin_writeback(fd: int) -> None:
    """Have the system begin to write a file's bytes to disk, and do not wait for it.

    sync_file_range(2), which Linux has; elsewhere the sync at the end does it all.
    """
    if hasattr(_LIBC, "sync_file_range"):
        _LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


class NewFile:
    """A file being written: nameless until `link` or `rename` gives it its name.

    Use as a context manager; leaving it without either leaves no trace.
    """

    def __init__(self, directory: Path) -> None:
        """Begin a file that will be named somewhere on the file system of `directory`."""
        self._directory = directory
        self._temporary: Path | None = None
        self.size = 0
        self._fd = self._open_nameless() if hasattr(os, "O_TMPFILE") else -1
        if self._fd < 0:
            self._fd = self._open_temporary()

    def _open_nameless(self) -> int:
        try:
            return os.open(self._directory, os.O_TMPFILE | os.O_RDWR, FILE_MODE)
        except OSError as error:
            if error.errno in _NO_TMPFILE and self._directory.is_dir():
                return -1
            raise

    def _open_temporary(self) -> int:
        self._temporary = self._directory / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        return os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE)

    def write(self, data: Buffer) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        self.size += len(view)
        while len(view):
            view = view[os.write(self._fd, view) :]

    def reserve(self, size: int) -> None:
        """Take `size` bytes of the disk, which are free again when the file is gone."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)

    def begin_writeback(self) -> None:
        """Have the system begin to write to disk what was written so far."""
        begin_writeback(self._fd)

    def sync(self) -> None:
        """Make what was written so far durable, still without a name."""
        os.fsync(self._fd)

    def link(self, target: Path) -> None:
        """Give the file its name, only if nothing has that name.

        Durable when it returns. Raises FileExistsError when the name is taken.
        """
        os.fsync(self._fd)
        with opened(target.parent, os.O_RDONLY | os.O_DIRECTORY) as directory:
            self._link(target.name, directory)
            os.fsync(directory)

    def rename(self, target: Path) -> None:
        """Give the file its name, replacing what has that name. Durable when it returns."""
        os.fsync(self._fd)
        with opened(target.parent, os.O_RDONLY | os.O_DIRECTORY) as directory:
            if self._temporary is None:
                name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
                self._link(name, directory)
                self._temporary = target.parent / name
            os.rename(self._temporary, target)
            self._temporary = None
            os.fsync(directory)

    def _link(self, name: str, directory: int) -> None:
        # By way of /proc, as open(2) says: linkat(AT_EMPTY_PATH) needs a capability. With a
        # descriptor for the directory, because only then Python follows the link in /proc.
        source = self._temporary or f"/proc/self/fd/{self._fd}"
        os.link(source, name, dst_dir_fd=directory, follow_symlinks=True)

    def lock(self) -> None:
        """Take the file's flock, where the file system has such: before anybody can see it."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def detach(self) -> int:
        """Hand over the descriptor of a file that has its name."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """Let go of the file; without a name it is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def write_new(target: Path, data: Buffer) -> None:
    """Write a file that must not exist yet; raises FileExistsError when it does."""
    with NewFile(target.parent) as file:
        file.write(data)
        file.link(target)


def replace(target: Path, data: Buffer) -> None:
    """Write a file, replacing in one step whatever has its name."""
    with NewFile(target.parent) as file:
        file.write(data)
        file.rename(target)


def time_at(directory: Path) -> float:
    """Return what time it is for the file system of a directory: what it stamps files with."""
    with NewFile(directory) as file:
        file.write(b"\0")
        return os.fstat(file.fileno()).st_mtime


def touch_all(paths: Iterable[Path]) -> None:
    """Create empty files, where they are not there yet; durable when it returns."""
    directories = set()
    for path in paths:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
        directories.add(path.parent)
    for directory in directories:
        sync_directory(directory)


def remove(path: Path) -> bool:
    """Remove a file durably; return whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def remove_all(paths: Iterable[Path]) -> None:
    """Remove files durably, each directory synced once; what is not there is no error."""
    directories = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            directories.add(path.parent)
    for directory in directories:
        sync_directory(directory)


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


def rename_directory(source: Path, target: Path) -> None:
    """Move a finished directory to its name (absent, or an empty directory), durably."""
    os.rename(source, target)
    sync_directory(target.parent)


def exchange(one: Path, other: Path) -> bool:
    """Have two files or directories of one file system change names, in one step and durably.

    renameat2(2) with RENAME_EXCHANGE; False where the system or the file system has no such thing.
    """
    if not hasattr(_LIBC, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if _LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            return False
        raise OSError(number, os.strerror(number), str(other))
    for directory in {one.parent, other.parent}:
        sync_directory(directory)
    return True


def rename(source: Path, target: Path) -> None:
    """Give a file another name on its file system, replacing what has it, durably."""
    os.rename(source, target)
    for directory in {source.parent, target.parent}:
        sync_directory(directory)


def clone(source: int, target: int) -> bool:
    """Have an open empty file share all blocks of another; False where that cannot be done.

    ioctl(2) FICLONE, which btrfs, XFS and others have.
    """
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def remove_tree(top: Path) -> None:
    """Remove a directory of ours with everything below it, however deep and whatever its modes.

    Directories are first moved up to the top: no path grows too long and nothing recurses. What is
    not there is no error; what will not go is left, and a symlink, with what it leads to.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        with opened(top, _DIRECTORY | os.O_NOFOLLOW) as root:
            os.fchmod(root, DIRECTORY_MODE)
            while _empty_once(root):
                pass
        top.rmdir()


def _empty_once(root: int) -> bool:
    """Remove files, bring up what directories hold; return whether anything was there."""
    with os.scandir(root) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=root)
            continue
        os.chmod(name, DIRECTORY_MODE, dir_fd=root)
        with opened(name, _DIRECTORY | os.O_NOFOLLOW, root) as inner:
            _bring_up(inner, root)
        os.rmdir(name, dir_fd=root)
    return bool(found)


def _bring_up(inner: int, root: int) -> None:
    with os.scandir(inner) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            os.chmod(name, DIRECTORY_MODE, dir_fd=inner)
            aside = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            os.rename(name, aside, src_dir_fd=inner, dst_dir_fd=root)
        else:
            os.unlink(name, dir_fd=inner)


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


def exists_at(directory: int, name: bytes) -> bool:
    """Whether an open directory holds a name that can be looked at."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def hard_link(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Give a file a second name; paths are below open directories, symlinks are not followed."""
    os.link(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory, follow_symlinks=False)


def rename_at(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Give what has a name below an open directory another one, in place of what has that.

    Durable only once the file system is synced.
    """
    os.rename(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory)


def hard_link_to(old: Path, new: Path) -> None:
    """Give a file a second name, durably."""
    os.link(old, new, follow_symlinks=False)
    sync_directory(new.parent)


@contextlib.contextmanager
def opened(path: str | bytes | Path, flags: int, dir_fd: int | None = None) -> Iterator[int]:
    """Open a descriptor for the length of a `with` block."""
    fd = os.open(path, flags | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)
