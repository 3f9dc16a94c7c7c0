"""The outline of a zstd stream (RFC 8878, 3.1.1), followed as its bytes pass to the decompressor.

The library stops silently where a stream was cut short, passes over what is no frame, and says of
a large window only that it failed; none of that will do for bytes from elsewhere.
"""

from __future__ import annotations

from typing import IO, cast

import zstandard

from palatine.bundle.limits import Readable
from palatine.errors import Damaged, Malformed, Refused

MAGIC = b"\x28\xb5\x2f\xfd"
WINDOW_MAX = 1 << 27
"""Bytes of memory that a frame may ask for: what `zstd` itself takes without being told."""

_BLOCK_HEADER = 3
_RLE, _RESERVED = 1, 3
_ID_SIZES = (0, 1, 2, 4)
_SIZE_SIZES = (0, 2, 4, 8)


def decompressed(stream: Readable) -> Readable:
    """Return the content of a zstd stream; reading it raises Damaged, Malformed, Refused."""
    return _Content(_Outline(stream))


class _Content:
    def __init__(self, outline: _Outline) -> None:
        self._outline = outline
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
        source = cast("IO[bytes]", outline)  # it only reads
        self._reader = decompressor.stream_reader(source, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        try:
            data = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise Damaged(f"the bundle is damaged: {error}", "get a whole copy of it") from error
        if size and not data:
            self._outline.finish()
        return data


class _Outline:
    """Passes a stream on, and follows its frames and blocks."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._held = bytearray()
        self._skip = 0
        self._expect = self._frame
        self._size = 5
        self._checksum = False
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; raises Malformed, Refused."""
        data = self._stream.read(size if size > 0 else 1 << 17)
        self._follow(data)
        self._ended = self._ended or not data
        return data

    def finish(self) -> None:
        """Raise Damaged unless all was read, and it ends where a frame ends."""
        while not self._ended:
            self.read()
        if self._held or self._skip or self._expect != self._frame:
            raise Damaged("the bundle ends too early: it was cut short", "get a whole copy of it")

    def _follow(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = min(self._size - len(self._held), len(data) - at)
            self._held += data[at : at + step]
            at += step
            if self._expect == self._frame and not MAGIC.startswith(self._held[:4]):
                raise Malformed("there is something after the end of the bundle's compressed data")
            if len(self._held) == self._size:
                self._expect()

    def _next(self, expect: object, size: int) -> None:
        self._held.clear()
        self._expect = expect  # type: ignore[assignment]  # one of the methods below
        self._size = size

    def _frame(self) -> None:
        descriptor = self._held[4]
        if descriptor & 0x08:
            raise Malformed("the bundle's compression is damaged: a reserved bit is set")
        single = bool(descriptor & 0x20)
        size = _SIZE_SIZES[descriptor >> 6] or (1 if single else 0)
        rest = (0 if single else 1) + _ID_SIZES[descriptor & 3] + size
        self._checksum = bool(descriptor & 0x04)
        if rest:
            self._expect, self._size = self._header, 5 + rest
        else:
            self._next(self._block, _BLOCK_HEADER)

    def _header(self) -> None:
        descriptor = self._held[4]
        single = bool(descriptor & 0x20)
        if single:
            field = self._held[5 + _ID_SIZES[descriptor & 3] :]
            window = int.from_bytes(field, "little") + (256 if len(field) == 2 else 0)
        else:
            exponent, mantissa = self._held[5] >> 3, self._held[5] & 7
            base = 1 << (10 + exponent)
            window = base + (base >> 3) * mantissa
        if window > WINDOW_MAX:
            raise Refused(
                f"the bundle's compression asks for {window} bytes of memory, more than"
                f" {WINDOW_MAX}",
                "compress it again without --ultra or --long above 27",
            )
        self._next(self._block, _BLOCK_HEADER)

    def _block(self) -> None:
        head = int.from_bytes(self._held, "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        if kind == _RESERVED:
            raise Malformed("the bundle's compression is damaged: a block of no known kind")
        self._skip = 1 if kind == _RLE else size
        if not last:
            self._next(self._block, _BLOCK_HEADER)
        elif self._checksum:
            self._next(self._check, 4)
        else:
            self._next(self._frame, 5)

    def _check(self) -> None:
        self._next(self._frame, 5)
