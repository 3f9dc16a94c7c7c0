"""Hosts that share one repository on the S3 server, each with a palace and a cache of its own."""

from __future__ import annotations

from pathlib import Path
from random import Random

import palatine
from palatine.clock import SYSTEM, Clock
from palatine.ops.snapshot import Done
from palatine.store.repository import Settings
from palatine.testing.builders import Notices, differences, state_of

SETTINGS = Settings(workers=2, fence_seconds=0.2)


class Host:
    """A palace, a cache, and the URL of the repository."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url
        self.palace = root / f"palace-{root.name}"
        self.palace.mkdir(parents=True)
        self.notices = Notices()
        self._rng = Random(root.name)
        self._restored = 0

    def open(self, clock: Clock = SYSTEM) -> palatine.Repository:
        """Open the repository."""
        return palatine.open_repository(
            self.url, cache=self.root / "cache", reporter=self.notices, settings=SETTINGS,
            clock=clock,
        )  # fmt: skip

    def write(self, files: int = 3, size: int = 100_000) -> None:
        """Put some files into the palace, or others in their place."""
        for number in range(files):
            data = self._rng.randbytes(self._rng.randrange(size))
            (self.palace / f"file-{number}").write_bytes(data)

    def snapshot(self, clock: Clock = SYSTEM) -> Done:
        """Snapshot the palace, without waiting for anybody."""
        with self.open(clock) as repository:
            return repository.snapshot(self.palace)

    def check_restores(self, revision: str, other: Host | None = None) -> None:
        """Assert that a snapshot restores to what a palace is now."""
        self._restored += 1
        target = self.root / f"restored-{self._restored}"
        with self.open() as repository:
            repository.restore(revision, target)
        palace = (other or self).palace
        assert differences(state_of(palace), state_of(target)) == []
