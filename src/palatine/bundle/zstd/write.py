"""Writing one zstd stream with several threads: the same bytes whatever their number.

The library's own workers compress jobs of a fixed size, each with the end of the one before it as
its beginning; what comes out depends on the level and the input only. (Without workers it would be
something else, so there is always one.) A million small writes are gathered into large ones.
"""

from __future__ import annotations

from typing import Protocol, Self

import zstandard

from palatine.errors import UsageError
from palatine.ids import Buffer

LEVEL, LEVEL_MAX = 3, 19
"""What is used unless told otherwise; beyond 19 a reader would need more than 8 MiB of memory."""

_JOB = 4 << 20
"""Bytes in a job: 8 MiB give 0.1 % less output, for twice the memory."""

_FRUGAL, _FEW = 8, 4
"""Levels beyond 8 get at most 4 threads, of which each holds some 20 (9) to 100 (19) MiB."""

_GATHERED = 1 << 20


class Sink(Protocol):
    """What is written to."""

    def write(self, data: Buffer, /) -> object:
        """Take all of `data`."""


def check_level(level: int) -> int:
    """Return a level; raises UsageError when it is none."""
    if not 1 <= level <= LEVEL_MAX:
        raise UsageError(f"there is no level {level}", f"use 1 (fast) to {LEVEL_MAX} (small)")
    return level


class ZstdWriter:
    """Compresses what is written to it, into a sink that it does not close.

    Left by an error it writes no end: what the sink has then is cut short for every reader.
    """

    def __init__(self, sink: Sink, level: int = LEVEL, threads: int = 2) -> None:
        """Raises UsageError for a level that is none."""
        threads = max(1, threads if level <= _FRUGAL else min(threads, _FEW))
        parameters = zstandard.ZstdCompressionParameters.from_level(
            check_level(level), threads=threads, job_size=_JOB, write_checksum=True
        )
        self._sink = sink
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._held = bytearray()

    def write(self, data: Buffer) -> None:
        """Compress more. Raises what the sink raises."""
        if len(data) < _GATHERED:
            self._held += data
            if len(self._held) < _GATHERED:
                return
            data = b""
        self._drain()
        if data:
            self._put(self._compressor.compress(data))

    def finish(self) -> None:
        """Write what is held, and the end of the stream. Raises what the sink raises."""
        self._drain()
        self._put(self._compressor.flush())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()

    def _drain(self) -> None:
        if self._held:
            self._put(self._compressor.compress(self._held))
            self._held = bytearray()

    def _put(self, data: bytes) -> None:
        if data:
            self._sink.write(data)
