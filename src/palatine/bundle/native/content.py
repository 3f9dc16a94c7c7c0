"""A regular file's bytes as they pass: hashed, its data given out, its holes seen to be zeros."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from palatine.errors import Malformed

_STEP = 1 << 20
_ZEROS = bytes(_STEP)


class Content:
    """The bytes of one file, `size` of them, of which `holes` (offset, length) must be zeros."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        size: int,
        holes: tuple[tuple[int, int], ...],
        credit: Callable[[int], None],
    ) -> None:
        """`read` as a member's; `credit` is told of the bytes of holes that were zeros."""
        self._read = read
        self._size = size
        self._holes = holes
        self._credit = credit
        self._digest = hashlib.sha256()
        self._ahead = b""
        self._at = 0
        self._next_hole = 0
        self._tap: Callable[[bytes], object] | None = None

    def head(self, size: int) -> bytes:
        """Return the first bytes of the file, before any of it was asked for."""
        while len(self._ahead) < min(size, self._size):
            self._ahead += self._more(size - len(self._ahead))
        return self._ahead[:size]

    def tap(self, write: Callable[[bytes], object]) -> None:
        """Have all bytes written elsewhere too, from the first on."""
        write(self._ahead)
        self._tap = write

    def whole(self) -> bytes:
        """Return all bytes of a small file without holes."""
        return self._exactly(self._size)

    def extents(self) -> Iterator[tuple[int, Callable[[int], bytes]]]:
        """Yield where data lies: its offset, and a function that reads it.

        The function returns as many bytes as it is asked for, fewer only at the extent's end. What
        is not read is passed over. Raises Malformed where a hole holds something.
        """
        while self._at < self._size:
            hole, length = (*self._holes[self._next_hole :][:1], (self._size, 0))[0]
            if self._at < hole:
                yield self._at, self._reader(hole)
                self._pass(hole)
            self._zeros(length)
            self._next_hole += 1

    def finish(self) -> str:
        """Read what is left; return the SHA-256 of all, hexadecimal."""
        for _ in self.extents():
            pass
        return self._digest.hexdigest()

    def _reader(self, end: int) -> Callable[[int], bytes]:
        def read(size: int) -> bytes:
            return self._exactly(min(size, end - self._at))

        return read

    def _pass(self, end: int) -> None:
        while self._at < end:
            self._some(min(_STEP, end - self._at))

    def _zeros(self, length: int) -> None:
        end = self._at + length
        while self._at < end:
            data = self._some(min(_STEP, end - self._at))
            if data != _ZEROS[: len(data)]:
                raise Malformed("the bundle's manifest names a hole where the file holds something")
            self._credit(len(data))

    def _exactly(self, size: int) -> bytes:
        first = self._some(size) if size else b""
        if len(first) == size:
            return first
        parts, left = [first], size - len(first)
        while left:
            parts.append(self._some(left))
            left -= len(parts[-1])
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        data = self._ahead[:size]
        if data:
            self._ahead = self._ahead[size:]
        else:
            data = self._more(size)
        self._at += len(data)
        return data

    def _more(self, size: int) -> bytes:
        data = self._read(size)
        if not data:
            raise Malformed("a file in the bundle is shorter than its manifest says")
        self._digest.update(data)
        if self._tap is not None:
            self._tap(data)
        return data
