"""Small aids for tests: a clock that is told the time, and a directory's state as a value.

`state_of` looks at a directory with nothing but the operating system, so that what a restore made
can be compared with what was there by an answer that owes nothing to the code under test.
"""

# Names inside a palace are bytes, which pathlib cannot hold; Clock and Reporter document theirs.
# ruff: noqa: D102, PTH115, PTH118, PTH123, PTH208

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random
from typing import NamedTuple

from palatine.clock import Clock
from palatine.events import Reporter

START_US = 1_777_777_777_000_000
"""Where a fake clock begins: a moment in 2026."""


class FakeClock(Clock):
    """A clock that moves when it is told to, forwards or back; `sleep` moves it."""

    def __init__(self, now_us: int = START_US) -> None:
        self.time_us = now_us
        self._monotonic = 0.0

    def now_us(self) -> int:
        return self.time_us

    def now_ns(self) -> int:
        return self.time_us * 1000

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time go by; a negative number sets the wall clock back, monotonic time stands."""
        self.time_us += int(seconds * 1_000_000)
        self._monotonic += max(0.0, seconds)


class Notices(Reporter):
    """Keeps what a person would have been told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, message: str) -> None:
        self.said.append(message)


class State(NamedTuple):
    """One path as the operating system shows it. `first` is the least path of the same inode."""

    kind: str
    mode: int
    mtime_ns: int
    data: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    first: bytes


def state_of(root: str | bytes | Path) -> dict[bytes, State]:
    """Return everything below a directory, and the directory itself as the empty path."""
    top = os.fsencode(root)
    firsts: dict[tuple[int, int], bytes] = {}
    found = {b"": _state(top, b"", firsts)}
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        for name in sorted(os.listdir(os.path.join(top, below))):
            path = os.path.join(below, name)
            found[path] = _state(os.path.join(top, path), path, firsts)
            if found[path].kind == "directory":
                waiting.append(path)
    least: dict[bytes, bytes] = {}
    for path in sorted(found):
        least.setdefault(found[path].first, path)
    return {path: one._replace(first=least[one.first]) for path, one in found.items()}


def _state(full: bytes, path: bytes, firsts: dict[tuple[int, int], bytes]) -> State:
    status = os.lstat(full)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return State("symlink", 0, status.st_mtime_ns, os.readlink(full), (), path)
    xattrs = tuple(
        sorted(
            (name, os.getxattr(full, name))
            for name in os.listxattr(full)
            if name.startswith("user.")
        )
    )
    if stat.S_ISDIR(status.st_mode):
        return State("directory", mode, status.st_mtime_ns, b"", xattrs, path)
    if not stat.S_ISREG(status.st_mode):
        return State("other", mode, status.st_mtime_ns, b"", xattrs, path)
    with open(full, "rb") as file:
        data = file.read()
    first = firsts.setdefault((status.st_dev, status.st_ino), path)
    return State("file", mode, status.st_mtime_ns, data, xattrs, first)


def differences(expected: dict[bytes, State], actual: dict[bytes, State]) -> list[str]:
    """Return what differs, a sentence each: shorter to read than two dictionaries."""
    said = []
    for path in sorted(expected.keys() | actual.keys()):
        mine, its = expected.get(path), actual.get(path)
        if mine is None or its is None:
            said.append(f"{path!r} is {'missing' if its is None else 'too much'}")
            continue
        for field, before, after in zip(State._fields, mine, its, strict=True):
            if before != after:
                said.append(f"{path!r}: {field} is {_short(after)} instead of {_short(before)}")
    return said


def _short(value: object) -> str:
    if isinstance(value, bytes) and len(value) > 60:
        return f"{value[:40]!r}… ({len(value)} bytes)"
    return repr(value)


def age(root: str | bytes | Path, seconds: int = 100_000) -> None:
    """Let every path below a directory have last changed long ago, as far as mtime tells."""
    top = os.fsencode(root)
    for directory, _, names in os.walk(top, topdown=False):
        for name in [*names, b""]:
            path = os.path.join(directory, name)
            then = os.lstat(path).st_mtime_ns - seconds * 1_000_000_000
            os.utime(path, ns=(then, then), follow_symlinks=False)


def page_edits(rng: Random, data: bytes, count: int) -> bytes:
    """Return `data` with `count` short edits in random places, the length unchanged."""
    edited = bytearray(data)
    for _ in range(count):
        at = rng.randrange(max(1, len(edited) - 16))
        edited[at : at + 16] = rng.randbytes(min(16, len(edited) - at))
    return bytes(edited)
