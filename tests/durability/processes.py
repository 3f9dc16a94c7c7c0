"""Snapshots in processes of their own, which can be started together and killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import Place

PROGRAM = """
import sys
import palatine
from palatine.store import packer
packer.PACK_TARGET = 256 << 10
repository, cache, *palaces = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with palatine.open_repository(repository, cache=cache) as opened:
    for palace in palaces:
        opened.snapshot(palace, force=True)
print("done", flush=True)
"""


@contextlib.contextmanager
def snapshotting(
    place: Place, *palaces: Path, cache: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a process that will snapshot palaces when it is told to `go`."""
    arguments = [place.repository, cache or place.cache, *(palaces or (place.palace,))]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def go(process: subprocess.Popen[str]) -> None:
    """Let a process begin its snapshots."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> None:
    """Assert that a process did all it was told to."""
    output, errors = process.communicate()
    assert (process.returncode, output) == (0, "done\n"), errors


def duration(place: Place) -> float:
    """Return how many seconds one snapshot takes, from the word to its end."""
    with snapshotting(place) as process:
        began = time.monotonic()
        go(process)
        ended(process)
        return time.monotonic() - began
