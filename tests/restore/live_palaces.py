"""A palace of two databases and files in two generations, restored live, and what it then is."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from tests.support import Place

from palatine.clock import SYSTEM, Clock
from palatine.ops.restoring import Restored
from palatine.testing.builders import State, differences, state_of
from palatine.testing.generations import check, fill, make

DATABASES = ("a.db", "store/b.sqlite3")
SIDECARS = (b"-wal", b"-shm", b"-journal")
FILES = 30


class TwoGenerations:
    """`old` and `new` are tags of snapshots of the palace; it is in the state `new` at first."""

    def __init__(self, place: Place, *modes: str, rows: tuple[int, int] = (60, 200)) -> None:
        self.place = place
        self.palace = place.palace
        self.databases = [place.palace / name for name in DATABASES]
        (place.palace / "store").mkdir()
        for path, mode in zip(self.databases, modes or ("wal", "wal"), strict=True):
            make(path, "nothing", 4, f"journal_mode = {mode}")
        (place.palace / "same").write_text("in both")
        os.setxattr(place.palace / "same", "user.said", b"so")
        self.files: dict[str, dict[bytes, State]] = {}
        for generation, size in zip(("old", "new"), rows, strict=True):
            self._become(generation, size)
            place.snapshot(tags=[generation])
            self.files[generation] = files_of(self.palace)

    def _become(self, generation: str, rows: int) -> None:
        for path in self.databases:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
                fill(db, generation, rows)
        notes = self.palace / "notes"
        shutil.rmtree(notes, ignore_errors=True)
        (notes / "deep" / generation).mkdir(parents=True)
        for number in range(FILES):
            (notes / f"{number}.md").write_text(f"{generation} {number}")
        (notes / "deep" / "alike").write_text("alike")
        (notes / "deep" / generation / "own").write_text(generation)
        (notes / "link").symlink_to(generation)
        (notes / "big").write_bytes(generation.encode() * 50_000)
        (notes / "run").write_text("#!/bin/sh\n")
        (notes / "run").chmod(0o755 if generation == "new" else 0o640)
        self._become_another_kind(generation)

    def _become_another_kind(self, generation: str) -> None:
        """Have names that are a file in one generation and a directory in the other."""
        notes = self.palace / "notes"
        for name, is_directory in (("x", generation == "old"), ("y", generation == "new")):
            if is_directory:
                (notes / name / "below").mkdir(parents=True)
                (notes / name / "below" / "file").write_text(generation)
            else:
                (notes / name).write_text(generation)

    def restore(
        self, generation: str, clock: Clock = SYSTEM, delete: bool = True, **options: Any
    ) -> Restored:
        with self.place.open(clock=clock) as repository:
            revision = f"palace#{generation}"
            return repository.restore(revision, self.palace, live=True, delete=delete, **options)

    def check(self, generation: str) -> None:
        """Assert that the palace is of a generation: databases, files, and nothing besides."""
        for path in self.databases:
            assert check(path) == ("", generation)
        assert differences(self.files[generation], files_of(self.palace)) == []
        names = {path.name for path in self.palace.parent.iterdir()}
        assert names <= {"palace", "repository", "cache"} | {
            name for name in names if name.startswith("restored-")
        }

    def check_at_rest(self) -> None:
        """Assert that nothing is left beside the databases that SQLite would ever play back."""
        left = [path for path, state in state_of(self.palace).items() if _plays(path, state.data)]
        assert left == []


def files_of(palace: Path) -> dict[bytes, State]:
    """Return the state of everything but databases, and of the times of where those lie."""
    found = {}
    for path, state in _state_of(palace).items():
        name = path
        for suffix in SIDECARS:
            name = name.removesuffix(suffix)
        if name not in [os.fsencode(one) for one in DATABASES]:
            found[path] = state._replace(mtime_ns=0) if path in (b"", b"store") else state
    return found


def _plays(path: bytes, data: bytes) -> bool:
    """Whether it is a sidecar, and no journal that was never synced: that begins with a zero."""
    return path.endswith(SIDECARS) and not (path.endswith(b"-journal") and data[:1] in (b"", b"\0"))


def _state_of(palace: Path) -> dict[bytes, State]:
    """Look until no journal of a service vanishes meanwhile."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return state_of(palace)
