"""The names in a directory, sorted, in bounded memory also where there are millions."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from typing import IO

RUN = 1 << 18
"""Names sorted in memory; a directory with more is sorted by way of temporary files."""


def sorted_names(directory: int) -> Iterator[bytes]:
    """Yield the names in a directory (a descriptor) in order of their bytes."""
    runs: list[IO[bytes]] = []
    names: list[bytes] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                names.append(os.fsencode(entry.name))
                if len(names) == RUN:
                    names.sort()
                    runs.append(_spill(names))
                    names = []
        names.sort()
        yield from heapq.merge(names, *map(_read, runs)) if runs else names
    finally:
        for run in runs:
            run.close()


def _spill(names: list[bytes]) -> IO[bytes]:
    run = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    for start in range(0, len(names), 4096):
        run.write(b"\0".join(names[start : start + 4096]) + b"\0")
    run.seek(0)
    return run


def _read(run: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := run.read(1 << 16):
        *names, rest = (rest + block).split(b"\0")
        yield from names
