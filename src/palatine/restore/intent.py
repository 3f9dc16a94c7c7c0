"""A note of intent: what a restore is about to change, on disk before the first change is seen.

It stands beside the target as `.NAME.pal-restore.json` from before the first visible change until
after the last. Everything it speaks of was staged and synced before it was written, so whoever
finds it can finish what it says. Without it a restore that was killed has changed nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palatine import fsio
from palatine.clock import Clock
from palatine.errors import Locked, Refused, SourceError

VERSION = 1


class Unreadable(Refused):
    """A note of intent that cannot be read or cannot be followed."""

    code = "unfinished"


@dataclass(frozen=True)
class Staged:
    """Something finished that waits under a private name: its path and its inode."""

    path: str
    device: int
    inode: int

    @staticmethod
    def of(path: Path) -> Staged:
        """Return what tells this file or directory from all others."""
        status = path.lstat()
        return Staged(str(path), status.st_dev, status.st_ino)

    def is_at(self, path: Path) -> bool:
        """Whether the staged thing stands at a path now."""
        with contextlib.suppress(OSError):
            status = path.lstat()
            return (status.st_dev, status.st_ino) == (self.device, self.inode)
        return False

    @property
    def waits(self) -> bool:
        """Whether it still stands where it was staged."""
        return self.is_at(Path(self.path))


@dataclass(frozen=True)
class Note:
    """What a restore is about to do.

    `mode` is the word of the mode; `wanted` and `before` are snapshot ids in hexadecimal: what is
    restored, and the pre-restore snapshot. `steps` are the mode's own: whatever JSON can say that
    tells which of them are done (paths by `os.fsdecode`).
    """

    target: Path
    mode: str
    wanted: str
    before: str
    staged: tuple[Staged, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()


def place(target: Path) -> Path:
    """Return where the note of a target stands; `target` is resolved."""
    return target.parent / f".{target.name}.pal-restore.json"


def write(note: Note) -> None:
    """Put a note in its place, durably; nothing visible may be changed before."""
    said = {**asdict(note), "target": str(note.target), "palatine": VERSION}
    fsio.replace(place(note.target), json.dumps(said).encode())


def read(target: Path) -> Note | None:
    """Return the note that stands beside a target, or None; raises Unreadable."""
    try:
        data = place(target).read_bytes()
    except FileNotFoundError:
        return None
    try:
        said = json.loads(data)
        if said.pop("palatine") != VERSION or said.pop("target") != str(target):
            raise ValueError
        staged = tuple(Staged(**one) for one in said.pop("staged"))
        steps = tuple(dict(one) for one in said.pop("steps"))
        return Note(target=target, staged=staged, steps=steps, **said)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise unreadable(target, "its note of intent cannot be read") from None


def unreadable(target: Path, why: str) -> Unreadable:
    """Return the error for an unfinished restore that cannot be finished."""
    return Unreadable(
        f"an earlier restore of {target} was killed and cannot be finished: {why}",
        f"pal restore --undo {target} puts back what was there before it",
    )


def remove(target: Path) -> bool:
    """Take a target's note away, durably; return whether there was one."""
    return fsio.remove(place(target))


def stands(target: Path) -> bool:
    """Whether a note stands beside a target: then something may have been changed."""
    return os.path.lexists(place(target))


@contextlib.contextmanager
def held(target: Path, clock: Clock, seconds: float) -> Iterator[None]:
    """Keep other restores over a target away while the block runs, whatever repository they use.

    By the flock of a file beside it. Raises Locked after that many seconds, SourceError where no
    file can be made.
    """
    path = target.parent / f".{target.name}.pal-restore.lock"
    deadline = clock.monotonic() + seconds
    while (fd := _try_lock(path, target)) < 0:
        if clock.monotonic() >= deadline:
            raise Locked(
                f"another restore over {target} is under way",
                "wait for it to end, or wait longer with --lock-timeout SECONDS",
            )
        clock.sleep(0.1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked: whoever waits looks for it again
        os.close(fd)


def _try_lock(path: Path, target: Path) -> int:
    try:
        return fsio.try_lock_file(path)
    except OSError as error:
        text = error.strerror or str(error)
        raise SourceError(f"nothing can be written beside {target}: {text}") from error


@contextlib.contextmanager
def noted(note: Note) -> Iterator[None]:
    """Have a note stand while the block runs; when it fails, the note stays for who comes next."""
    write(note)
    yield
    remove(note.target)
