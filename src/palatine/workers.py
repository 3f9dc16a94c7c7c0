"""Threads for work that leaves the interpreter: compress, decompress, hash, read, write.

The bytes that wait for them are bounded, and the first error is kept for whoever asked.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 32 << 20


def keep_freed_memory() -> None:
    """Let glibc reuse the blocks of a MiB and more that it would give back and fault in again.

    For whole processes that move much data (the command line), not for a library's host: a restore
    of 955 MB along delta chains took 1.15 s instead of 2.0 s, with the same peak memory. Elsewhere
    than on glibc it does nothing.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_THRESHOLD, _KEEP)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * _KEEP)


class Workers:
    """A pool. `submit` waits while too much is under way; errors come out of the next call."""

    def __init__(self, threads: int, room: int) -> None:
        """`room` is how many bytes may be under way; one piece of work always may."""
        from concurrent.futures import ThreadPoolExecutor  # 3 ms of a start that may not need it

        self._room = room
        self._under_way = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="palatine")

    def check(self) -> None:
        """Raise what a worker met."""
        if self._error is not None:
            raise self._error

    def submit(self, size: int, work: Callable[[], None]) -> None:
        """Have `work` done, which holds `size` bytes. Never call it from a worker."""
        self.check()
        with self._changed:
            self._changed.wait_for(
                lambda: self._under_way == 0 or self._under_way + size <= self._room
            )
            self._under_way += size
        self._pool.submit(self._run, size, work)

    def wait(self) -> None:
        """Return when everything is done; raises what a worker met."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0)
        self.check()

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._error = self._error or RuntimeError("closed")
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, size: int, work: Callable[[], None]) -> None:
        try:
            if self._error is None:
                work()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = self._error or error
        finally:
            with self._changed:
                self._under_way -= size
                self._changed.notify_all()
