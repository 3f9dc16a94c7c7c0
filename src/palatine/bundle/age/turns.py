"""A function that runs from one file object to another until the end, as something to be fed.

It gets a thread, which works only while its caller waits in `turn`: never both at once. So the
function never waits for a disk or a pipe, and can be dropped at any moment.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class _Dropped(Exception):
    """Raised into the function to make it end."""


class Turns:
    """Feeds a function that calls `read` and `write` of the object that it is given."""

    def __init__(self, work: Callable[[Turns], None]) -> None:
        """`work` must end when `read` raises, and must not make an end of what it then wrote."""
        self._work = work
        self._given: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._over = False
        # Only touched by the thread.
        self._data, self._at, self._ended, self._owed = b"", 0, False, False
        self._out: list[bytes] = []

    def turn(self, data: bytes) -> bytes:
        """Feed `data`, where nothing means the end; return what the function wrote for it.

        Raises what the function raised. After an error, and after the end, there are no more turns.
        """
        if self._over:
            raise ValueError("a turn after the last one")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="palatine-age", daemon=True)
            self._thread.start()
        try:
            self._given.put(data)
            made = self._made.get()
            if isinstance(made, BaseException):
                raise made
        except BaseException:
            self.close()
            raise
        if not data:
            self.close()
        return made

    def close(self) -> None:
        """Drop the function, unless it has ended; its thread is gone then."""
        self.drop()
        if self._thread is not None:
            self._thread.join()

    def drop(self) -> None:
        """Have the thread end, without waiting for it."""
        self._over = True
        self._given.put(None)

    def read(self, size: int = -1) -> bytes:
        """Return what was fed (for the function)."""
        while self._at == len(self._data) and not self._ended:
            if self._owed:
                self._answer()
            given = self._given.get()
            if given is None:
                raise _Dropped
            self._owed, self._data, self._at, self._ended = True, given, 0, not given
        end = len(self._data) if size < 0 else min(len(self._data), self._at + size)
        part = self._data[self._at : end]
        self._at = end
        return part

    def write(self, data: bytes) -> int:
        """Take what was made (for the function)."""
        self._out.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written is handed over with the next turn."""

    def _answer(self) -> None:
        self._owed = False
        made = b"".join(self._out)
        self._out.clear()
        self._made.put(made)

    def _run(self) -> None:
        try:
            self._work(self)
            if not self._ended:
                raise ValueError("it ended before its input did")
            self._answer()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._made.put(error)
