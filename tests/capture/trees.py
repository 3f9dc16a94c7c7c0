"""Directory trees of every shape, for hypothesis: described as values, then made on disk."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

KIB = 1024
MIB = 1 << 20
BORDERS = [16 * KIB, 64 * KIB, 512 * KIB, 1 * MIB, 2 * MIB]
SMALL = st.one_of(st.integers(0, 3000), st.sampled_from([16 * KIB - 1, 16 * KIB, 16 * KIB + 1]))
SIZES = st.one_of(
    SMALL,
    SMALL,
    st.builds(lambda border, off: border + off, st.sampled_from(BORDERS), st.integers(-1, 1)),
    st.integers(0, 3 * MIB),
)
ODD_NAMES = [b"\xff\xfe", b"new\nline", b"x" * 255, b" ", b"-rf", b"a\\b", b"\xc3\xa4", b"\x01",
             b"~", b".hidden", b"big.db", b"data_level0.bin", b"a-wal", b"a", b"config", b"*",
             b"[a]"]  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=12).filter(
        lambda name: name not in (b".", b"..") and not set(name) & {0, 0x2F}
    ),
)
ROOT = os.geteuid() == 0
FILE_MODES = (
    st.integers(0, 0o7777) if ROOT else st.integers(0, 0o777).map(lambda mode: mode | 0o600)
)
DIRECTORY_MODES = st.integers(0, 0o1777).map(lambda mode: mode if ROOT else mode | 0o700)
TIMES = st.one_of(
    st.integers(1_600_000_000_000_000_000, 1_900_000_000_000_000_000),
    st.sampled_from([0, 1, 999_999_999, -1, 2**62, 2**63 + 12_345]),
)


class Thing(NamedTuple):
    """Something in a directory. `where` chooses the directory, and what a link leads to."""

    kind: str
    name: bytes
    where: int
    size: int
    seed: int
    mode: int
    mtime_ns: int
    target: bytes
    holes: bool


THINGS = st.builds(
    Thing,
    kind=st.sampled_from(["file"] * 5 + ["directory"] * 3 + ["symlink", "link"]),
    name=NAMES,
    where=st.integers(0, 1000),
    size=SIZES,
    seed=st.integers(0, 5),
    mode=FILE_MODES,
    mtime_ns=TIMES,
    target=st.one_of(
        NAMES, st.sampled_from([b"..", b".", b"/", b"../a", b"/etc/passwd", b"x" * 255])
    ),
    holes=st.booleans(),
)
TREES = st.lists(THINGS, max_size=14)


def contents(seed: int, size: int) -> bytes:
    """Return bytes that neither repeat nor differ between runs."""
    return Random(seed).randbytes(size)


def make(root: Path, things: list[Thing]) -> None:
    """Make things below a directory; those whose name is taken are left out."""
    top = os.fsencode(root)
    directories = [top]
    files: list[bytes] = []
    made: list[tuple[bytes, Thing]] = []
    for thing in things:
        path = os.path.join(directories[thing.where % len(directories)], thing.name)
        if os.path.lexists(path) or len(path) > 2000:
            continue
        if thing.kind == "directory":
            os.mkdir(path)
            directories.append(path)
        elif thing.kind == "symlink":
            os.symlink(thing.target, path)
        elif thing.kind == "link":
            if not files:
                continue
            os.link(files[thing.where % len(files)], path)
            continue
        else:
            write(path, thing)
            files.append(path)
        made.append((path, thing))
    for path, thing in reversed(made):
        if thing.kind == "file":
            os.chmod(path, thing.mode)
        elif thing.kind == "directory":
            os.chmod(path, thing.mode & 0o1777 | (0 if ROOT else 0o700))
        os.utime(path, ns=(thing.mtime_ns, thing.mtime_ns), follow_symlinks=False)


def write(path: bytes, thing: Thing) -> None:
    """Write a file, with a hole in its middle and one at its end where it is to have some."""
    data = contents(thing.seed, thing.size)
    with open(path, "wb") as file:
        if not thing.holes:
            file.write(data)
            return
        third = thing.size // 3
        file.write(data[:third])
        file.seek(third, 1)
        file.write(data[third : 2 * third])
        file.truncate(thing.size + 70_000)
