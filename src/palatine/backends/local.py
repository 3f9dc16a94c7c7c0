"""A directory as a backend. Writes are fsynced, named by link(2), and their directories fsynced."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

from palatine import fsio
from palatine.backends.base import Backend, Hold, Stat, Upload
from palatine.errors import NoSpace, NotFound, PalatineError, ReadOnly, RepositoryError
from palatine.ids import Buffer

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OPEN_FILES = 64
"""Descriptors of packs kept open for reading."""

_WRITEBACK = 8 << 20
"""Bytes of a new file after which they begin to go to disk: the sync at its end waits for the rest.

A first push of 548 MB took 3 % less; with 2 or 4 MiB it took more.
"""

_STRAY_SECONDS = 86400
"""A temporary file to which nothing was written for so long is nobody's."""


class LocalBackend(Backend):
    """Files below a root directory, 0600 in directories 0700."""

    def __init__(self, root: Path) -> None:
        """Use a directory, which need not exist until something is written."""
        self.root = root
        self.location = str(root)
        self.directory = root
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Descriptor] = OrderedDict()

    def get(self, name: str) -> bytes:
        with translated(name):
            return self._path(name).read_bytes()

    def read(self, name: str, offset: int, length: int) -> bytes:
        with translated(name):
            file = self._opened(name)  # held: another thread may push it out of the cache meanwhile
            return os.pread(file.fd, length, offset)

    def put(self, name: str, data: bytes) -> None:
        with translated(name):
            fsio.replace(self._ready(name), data)

    def create(self, name: str, data: bytes) -> bool:
        with translated(name):
            try:
                fsio.write_new(self._ready(name), data)
            except FileExistsError:
                return False
            except OSError as error:
                # there was no room to find out by trying
                if error.errno in _NO_SPACE and self._path(name).exists():
                    return False
                raise
        return True

    def upload(self) -> Upload:
        with translated("a new file"):
            fsio.make_directories(self.root)
            return _LocalUpload(self)

    def hold(self, name: str, data: bytes) -> Hold:
        with translated(name):
            return _LocalHold(self._ready(name), data)

    def delete(self, name: str) -> None:
        with translated(name):
            fsio.remove(self._path(name))
        with self._lock:
            self._open.pop(name, None)

    def create_all(self, names: Iterable[str]) -> None:
        with translated("new files"):
            fsio.touch_all([self._ready(name) for name in names])

    def delete_all(self, names: Iterable[str]) -> None:
        names = [*names]
        with translated("files that are to be deleted"):
            fsio.remove_all(self._path(name) for name in names)
        with self._lock:
            for name in names:
                self._open.pop(name, None)

    def is_abandoned(self, name: str) -> bool:
        with translated(name):
            try:
                return not fsio.is_locked(self._path(name))
            except FileNotFoundError:
                return True

    def list(self, prefix: str) -> Iterator[Stat]:
        with translated(prefix):
            yield from _walk(self.root / prefix, prefix)

    def sweep(self) -> int:
        with translated(str(self.root)):
            strays = dict(_strays(self.root))
            # by the file system's own clock, which another host may keep
            now = fsio.time_at(self.root) if strays else 0
            old = [path for path, mtime in strays.items() if now - mtime > _STRAY_SECONDS]
            fsio.remove_all(old)
        return len(old)

    def free(self) -> int | None:
        with translated(str(self.root)):
            return shutil.disk_usage(self.root).free

    def close(self) -> None:
        with self._lock:
            self._open.clear()

    def _path(self, name: str) -> Path:
        return self.root / name

    def _ready(self, name: str) -> Path:
        path = self._path(name)
        fsio.make_directories(path.parent)
        return path

    def _opened(self, name: str) -> _Descriptor:
        with self._lock:
            file = self._open.get(name)
            if file is None:
                file = self._open[name] = _Descriptor(self._path(name))
                if len(self._open) > _OPEN_FILES:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(name)
            return file


class _Descriptor:
    """Closed when the last thread that reads through it lets go."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class _LocalUpload(Upload):
    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._file = fsio.NewFile(backend.root)
        self._begun = 0

    def write(self, data: Buffer) -> None:
        with translated("a new file"):
            self._file.write(data)
        self.size = self._file.size
        if self.size - self._begun >= _WRITEBACK:
            self._file.begin_writeback()
            self._begun = self.size

    def commit(self, name: str) -> None:
        path = self._backend.root / name
        with translated(name):
            self._file.link(path)
            # another thread or process may have made the directory and not have synced its name yet
            fsio.sync_directory(path.parent.parent)

    def close(self) -> None:
        self._file.close()


class _LocalHold(Hold):
    """A locked file: whoever finds the lock free knows at once that its owner is gone."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        with fsio.NewFile(path.parent) as file:
            file.write(data)
            file.lock()
            file.link(path)
            self._fd = file.detach()

    def beat(self, data: bytes) -> None:
        with translated(str(self._path)):
            os.pwrite(self._fd, data, 0)
            os.ftruncate(self._fd, len(data))

    def release(self) -> None:
        with translated(str(self._path)):
            fsio.remove(self._path)
        os.close(self._fd)


def _walk(directory: Path, prefix: str) -> Iterator[Stat]:
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(directory / entry.name, f"{prefix}{entry.name}/")
        elif not entry.name.startswith(fsio.TEMPORARY_PREFIX):
            with contextlib.suppress(FileNotFoundError):
                yield Stat(prefix + entry.name, entry.stat(follow_symlinks=False).st_size)


def _strays(root: Path) -> Iterator[tuple[Path, float]]:
    """Yield the temporary files in a repository, and when they were written to last.

    Packs are written in the root: beside finished ones there are none.
    """
    for folder, folders, files in os.walk(root):
        if Path(folder) == root and "packs" in folders:
            folders.remove("packs")
        for name in files:
            if name.startswith(fsio.TEMPORARY_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    yield Path(folder, name), Path(folder, name).stat().st_mtime


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn the system's errors into palatine's, with the name they struck."""
    try:
        yield
    except PalatineError:
        raise
    except FileNotFoundError as error:
        raise NotFound(f"the repository has no {name}") from error
    except OSError as error:
        text = error.strerror or str(error)
        if error.errno in _NO_SPACE:
            raise NoSpace(
                f"the repository's disk is full ({name})", "free some space and run it again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ReadOnly(
                f"the repository does not let us at {name}: {text}",
                "check its owner and permissions, and that its file system is writable",
            ) from error
        raise RepositoryError(f"the repository failed at {name}: {text}") from error
