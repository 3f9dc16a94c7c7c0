"""Descriptors of directories, shared by those who work in them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Handle:
    """A descriptor of a directory, closed when the last one who needs it lets go.

    After an error work is dropped undone, and with it whoever would have let go.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 1
        self._lock = threading.Lock()

    def hold(self) -> Handle:
        """Return it for one more who will let go."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Let go."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._close()


@contextlib.contextmanager
def below(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """Open the directory a path leads to, never through a symlink; give it and the last name."""
    *parents, name = path.split(b"/")
    fd = os.open(b".", DIRECTORY, dir_fd=root)
    try:
        for parent in parents:
            inner = os.open(parent, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd, name
    finally:
        os.close(fd)
