"""Writing one zstd stream with several threads: the same bytes whatever their number.

Up to level 8, it consists of frames, each of so many bytes of input and of nothing else: what comes
out depends on the level and the input only. A frame that the level's search would gain nothing in
is compressed with level 1; a sample of the frame tells. (An index of vectors: 0.1 % smaller so than
with level 3, in half the time.) Beyond, it is one frame by the library's own workers, in jobs of a
fixed size; without workers it would be something else, so there is always one.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

import zstandard

from palatine.errors import UsageError
from palatine.ids import Buffer

LEVEL, LEVEL_MAX = 3, 19
"""What is used unless told otherwise; beyond 19 a reader would need more than 8 MiB of memory."""

_QUICK = 1
"""The level for frames that a search gains nothing in."""

_FAST = 8
"""The last level that is written in frames of ours. Beyond it, what is not compression counts for
little, and frames would have to be 16 MiB to be no longer than a stream."""

_FRAME = 6 << 20
"""Bytes in a frame. With 4 MiB a stream is 0.1 % longer (level 3), with 8 0.03 % shorter, for 15 MB
more memory."""

_JOB, _GATHERED = 4 << 20, 1 << 20
"""Beyond: bytes in a job of the library's workers, and bytes that are gathered for it."""

_THREADS, _MORE = 4, 2
"""Threads that compress, at most (beyond level 8 each holds 20 to 100 MiB, and at level 3 two keep
up with the one that hashes and writes); and buffers beyond theirs: one is filled, one waits."""

_PIECES, _PIECE = 16, 8 << 10
"""A sample: so many pieces of a frame, of so many bytes."""

_GAIN = 256
"""A search gains something if it makes the sample smaller by one part in so many."""

_WRITTEN = 1 << 20
"""Bytes written at once: the 4 MB of a frame cost ext4 0.8 s of a processor more (570 MB)."""


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

    Left by an error it writes no end: what the sink has then is cut short for every reader. Use it
    as a context manager.
    """

    def __init__(self, sink: Sink, level: int = LEVEL, threads: int = 2) -> None:
        """Raises UsageError for a level that is none."""
        fast, threads = check_level(level) <= _FAST, max(1, min(threads, _THREADS))
        self._out = (_Frames if fast else _Stream)(sink, level, threads)

    def write(self, data: Buffer) -> None:
        """Compress more. Raises what the sink raises."""
        self._out.write(data)

    def finish(self) -> None:
        """Write what is held, and the end of the stream. Raises what the sink raises."""
        self._out.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._out.close()


class _Stream:
    """One frame, by the library's own workers: they hold less than frames of ours would."""

    def __init__(self, sink: Sink, level: int, threads: int) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, threads=threads, job_size=_JOB, write_checksum=True
        )
        self._sink = sink
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._held = bytearray()

    def write(self, data: Buffer) -> None:
        if len(data) < _GATHERED:
            self._held += data
            if len(self._held) < _GATHERED:
                return
            data = b""
        self._drain()
        if data:
            self._put(self._compressor.compress(data))

    def finish(self) -> None:
        self._drain()
        self._put(self._compressor.flush())

    def close(self) -> None:
        """Nothing is left to stop."""

    def _drain(self) -> None:
        if self._held:
            self._put(self._compressor.compress(self._held))
            self._held = bytearray()

    def _put(self, data: bytes) -> None:
        if data:
            self._sink.write(data)


class _Frames:
    """Frames by threads of ours; what comes out of each depends on what is in it only."""

    def __init__(self, sink: Sink, level: int, threads: int) -> None:
        self._compressors = _Compressors(level)
        self._sink = sink
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="palatine")
        self._buffers = threads + _MORE
        self._free: list[memoryview] = []
        self._waiting: deque[tuple[memoryview, Future[bytes]]] = deque()
        self._filling = memoryview(bytearray(_FRAME))
        self._filled = 0
        self._end = b""

    def write(self, data: Buffer) -> None:
        view, at = memoryview(data), 0
        while at < len(view):
            step = min(len(view) - at, _FRAME - self._filled)
            self._filling[self._filled : self._filled + step] = view[at : at + step]
            self._filled += step
            at += step
            if self._filled == _FRAME:
                self._submit()
                self._filling = self._buffer()

    def finish(self) -> None:
        if self._filled or not (self._waiting or self._end):
            self._submit()
        while self._waiting:
            self._put()
        self._sink.write(self._end)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        work = self._pool.submit(self._compressors.compress, self._filling[: self._filled])
        self._waiting.append((self._filling, work))
        self._filled = 0

    def _buffer(self) -> memoryview:
        """Return one to fill; waits for one when all are in use."""
        full = len(self._waiting) == self._buffers
        while self._waiting and (full or self._waiting[0][1].done()):
            self._put()
            full = False
        return self._free.pop() if self._free else memoryview(bytearray(_FRAME))

    def _put(self) -> None:
        buffer, work = self._waiting.popleft()
        data = work.result()
        self._free.append(buffer)
        self._sink.write(self._end)
        # held back until the next frame is there, or what is cut short between two looks whole
        whole, self._end = memoryview(data)[:-1], data[-1:]
        for at in range(0, len(whole), _WRITTEN):
            self._sink.write(whole[at : at + _WRITTEN])


class _Compressors(threading.local):
    """A level's compressors, of which each thread has its own."""

    def __init__(self, level: int) -> None:
        chosen = zstandard.ZstdCompressionParameters.from_level(level, write_checksum=True)
        quick = zstandard.ZstdCompressionParameters.from_level(
            _QUICK, window_log=chosen.window_log, write_checksum=True
        )
        self._sampled = level > _QUICK
        self._chosen = zstandard.ZstdCompressor(compression_params=chosen)
        self._quick = zstandard.ZstdCompressor(compression_params=quick)

    def compress(self, data: memoryview) -> bytes:
        """Return a frame."""
        return (self._quick if self._gains_nothing(data) else self._chosen).compress(data)

    def _gains_nothing(self, data: memoryview) -> bool:
        if not self._sampled or len(data) < 4 * _PIECES * _PIECE:
            return False
        step = len(data) // _PIECES
        sample = b"".join([data[at : at + _PIECE] for at in range(0, _PIECES * step, step)])
        quick = len(self._quick.compress(sample))
        return len(self._chosen.compress(sample)) > quick - quick // _GAIN
