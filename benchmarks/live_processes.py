"""Processes that use palaces while something is measured, each told what to do line by line.

`go` works until the next line. `do N` works N times; like any other line it is answered with what
was found since the last answer. The end of the input closes all databases and ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, Protocol

import palatine
from live_services import Agent, Table


class Process:
    """One of the roles below, at work in a process of its own."""

    def __init__(self, role: str, *words: object) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__, role, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def go(self) -> None:
        """Have it work until it is told something else."""
        self._tell("go")

    def stop(self) -> Any:
        """Have it pause; return what it found since the last answer."""
        self._tell("stop")
        return self._answer()

    def do(self, times: int) -> Any:
        """Have it work some times without a pause, and wait for that."""
        self.begin(times)
        return self._answer()

    def begin(self, times: int) -> None:
        """Have it work some times without a pause; `done` waits."""
        self._tell(f"do {times}")

    def done(self) -> Any:
        """Wait for what was begun."""
        return self._answer()

    def close(self) -> None:
        """Have it close all it has open, and end."""
        self._child.communicate(timeout=60)
        if self._child.returncode:
            raise RuntimeError(f"a process ended with {self._child.returncode}")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        return json.loads(self._child.stdout.readline())


class Role(Protocol):
    """What a process does: one step, and what the steps since the last report found."""

    pause: float

    def step(self) -> None: ...
    def report(self) -> Any: ...
    def close(self) -> None: ...


class Committer:
    """Commits to one database; reports how long each commit took, in s, and the busy errors."""

    pause = 0.002

    def __init__(self, path: str, seed: str = "2") -> None:
        self._table = Table(Path(path), Random(int(seed)))
        self._found: tuple[list[float], int] = [], 0

    def step(self) -> None:
        """Commit once."""
        began = time.perf_counter()
        busy = self._table.change()
        took, before = self._found
        took.append(time.perf_counter() - began)
        self._found = took, before + busy

    def report(self) -> tuple[list[float], int]:
        """Return the commits' latencies and the number of busy errors."""
        found, self._found = self._found, ([], 0)
        return found

    def close(self) -> None:
        """Close the database."""
        self._table.close()


class Snapshotter:
    """Snapshots a palace; reports how many snapshots, the longest pin and its own work, in s.

    With `changes` nobody else writes to the palace: that many rows are changed before each.
    """

    pause = 0.0

    def __init__(self, palace: str, repository: str, changes: str = "0") -> None:
        self._palace, self._changes, self._random = Path(palace), int(changes), Random(3)
        cache = Path(repository).with_suffix(".cache")
        self._repository = palatine.open_repository(repository, cache=cache)
        self._found = 0, 0.0
        self._worked = time.process_time()

    def step(self) -> None:
        """Take one snapshot."""
        if self._changes:
            # closed before the snapshot: whoever closes a file loses its own locks on it
            with contextlib.closing(Table(self._palace / "notes.db", self._random, "OFF")) as table:
                for _ in range(self._changes):
                    table.change()
        done, longest = self._found
        pin = self._repository.snapshot(self._palace).longest_pin
        self._found = done + 1, max(longest, pin)

    def report(self) -> tuple[int, float, float]:
        """Return the number of snapshots, the longest pin, and the processor time."""
        (done, longest), self._found = self._found, (0, 0.0)
        began, self._worked = self._worked, time.process_time()
        return done, longest, self._worked - began

    def close(self) -> None:
        """Close the repository."""
        self._repository.close()


_ROLES: dict[str, Any] = {"commit": Committer, "snapshot": Snapshotter, "agent": Agent}


def _serve(role: Role, lines: Any) -> None:
    """Do what the lines say; they are read unbuffered, so that `select` sees each that waits."""
    for line in iter(lines.readline, b""):
        if line == b"go\n":
            while not select.select([lines], [], [], role.pause)[0]:
                role.step()
            continue
        if line.startswith(b"do "):
            for _ in range(int(line.split()[1])):
                role.step()
        print(json.dumps(role.report()), flush=True)


if __name__ == "__main__":
    with contextlib.closing(_ROLES[sys.argv[1]](*sys.argv[2:])) as served:
        print(json.dumps("ready"), flush=True)
        _serve(served, os.fdopen(0, "rb", buffering=0))
