"""How much the tests do, and one palace with its repository as a thing to hold."""

from __future__ import annotations

import contextlib
import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import palatine
from palatine.backends.base import Backend
from palatine.clock import SYSTEM, Clock
from palatine.ids import Digest
from palatine.model.names import pack_name
from palatine.ops.snapshot import Done
from palatine.ops.verify import Report
from palatine.store.repository import Repository, Settings
from palatine.testing.builders import Notices, differences, state_of

TORTURE = bool(os.environ.get("PALATINE_TORTURE"))
BLAKE3 = Digest("blake3")
SETTINGS = Settings(workers=2)


def count(short: int, full: int) -> int:
    """Return how much to do: `full` where PALATINE_TORTURE is set, else `short`."""
    return full if TORTURE else short


class Place:
    """A palace, a repository and a cache in one directory."""

    def __init__(self, root: Path, digest: str = "blake3") -> None:
        self.root = root
        self.palace = root / "palace"
        self.repository = root / "repository"
        self.cache = root / "cache"
        self.notices = Notices()
        self.palace.mkdir()
        palatine.init(self.repository, digest)
        self._restored = 0

    def open(self, cache: Path | None = None, clock: Clock = SYSTEM) -> palatine.Repository:
        """Open the repository; `cache` names another one than usual."""
        return palatine.open_repository(
            self.repository, cache=cache or self.cache, reporter=self.notices,
            settings=SETTINGS, clock=clock,
        )  # fmt: skip

    def snapshot(self, **options: object) -> Done:
        """Snapshot the palace in a repository opened for it alone."""
        with self.open() as repository:
            return repository.snapshot(self.palace, **options)  # type: ignore[arg-type]

    def restored(self, revision: str = "palace", **options: object) -> Path:
        """Restore to a new directory and return it."""
        self._restored += 1
        target = self.root / f"restored-{self._restored}"
        with self.open() as repository:
            repository.restore(revision, target, **options)  # type: ignore[arg-type]
        return target

    def check_restores(self, revision: str = "palace") -> None:
        """Assert that a snapshot restores to what the palace is now."""
        assert differences(state_of(self.palace), state_of(self.restored(revision))) == []

    def verify(self, **options: object) -> Report:
        """Verify with everything read, in a repository opened for it alone."""
        with self.open() as repository:
            return repository.verify(**{"data": True, **options})  # type: ignore[arg-type]

    def packs(self) -> list[Path]:
        """Return the pack files, sorted."""
        return sorted(path for path in (self.repository / "packs").rglob("*") if path.is_file())

    def files(self, folder: str) -> list[Path]:
        """Return the files in a folder of the repository, sorted."""
        return sorted(path for path in (self.repository / folder).rglob("*") if path.is_file())

    def stored(self) -> int:
        """Return the bytes in packs."""
        return sum(path.stat().st_size for path in self.packs())


@contextlib.contextmanager
def memory_repository(backend: Backend) -> Iterator[Repository]:
    """Make a repository in a backend where there is none, and open it without a cache."""
    if not any(one.name == "config" for one in backend.list("")):
        Repository.create(backend)
    with Repository(backend, None, SETTINGS) as repository:
        yield repository


def flip(path: Path, at: int, mask: int = 0xFF) -> None:
    """Change one byte of a file, in place."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ mask]))


def frames_of(place: Place, kind: int) -> list[tuple[Path, int, int]]:
    """Return pack, offset and length of every frame that holds an object of a kind."""
    found = []
    with place.open() as repository:
        index = repository.store.index
        for name, size in index.listed().items():
            for frame in index.read_footer(name, size).frames:
                if any(member.kind == kind for member in frame.members):
                    path = place.repository / pack_name(name)
                    found.append((path, frame.offset, frame.length))
    return found


def damage_frames(place: Place, kind: int) -> int:
    """Flip a byte in the middle of every frame that holds an object of a kind; return how many."""
    frames = frames_of(place, kind)
    for path, offset, length in frames:
        flip(path, offset + length // 2)
    return len(frames)


def as_nobody(work: Callable[[], None]) -> int:
    """Run something in a child of this process that is not root; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the exit code tells
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def small_disk(where: Path, size: int) -> Iterator[None]:
    """Mount a small file system for the length of a `with` block."""
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    where.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)
