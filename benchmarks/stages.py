"""The stages of the race: palaces, small files, thirty days, start-up.

Every step runs on every contestant before the next one begins, and the order of contestants turns
by one each time, so that whatever disturbs the machine falls on all of them alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from measure import NOTHING, StepFailedError, Usage, settle
from palatine.testing import palaces
from peers import CONTESTANTS, Contestant, Palatine
from trees import Manifest, bytes_in, differences, manifest

SEED = 1
_STARTS = 15  # runs of a command that takes a tenth of a second


@dataclass(frozen=True)
class Sample:
    """One run of one step; sizes in bytes, -1 where they mean nothing."""

    step: str
    contestant: str
    usage: Usage = NOTHING
    repository: int = -1
    stored: int = -1
    failure: str | None = None


@dataclass(frozen=True)
class Options:
    """How large the race is; `changed` and `days` are days that the palaces live."""

    work: Path
    contestants: tuple[str, ...]
    megabytes: float
    small_files: int
    changed: int
    days: int
    repeat: int


@dataclass
class Race:
    """Runs stages and collects their samples and facts about their sources."""

    options: Options
    samples: list[Sample] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    _passes: int = 0

    def palaces(self) -> None:
        """First snapshot, nothing changed, some days, restore, verify: on all palaces."""
        base = self._folder()
        source = self._palaces(base / "palaces")
        self.sources["palaces"] = bytes_in(source)
        peers = self._first("first", base, source)
        self._repeat("unchanged", peers, Contestant.snapshot)
        for day in range(1, self.options.changed + 1):
            palaces.live_a_day(source, SEED, day)
            self._pass("day", peers, Contestant.snapshot)
        self._restores("restore", peers, base, source)
        checkers = [peer for peer in peers if peer.verifies]
        self._repeat("verify", checkers, lambda peer, _: peer.verify())

    def small_files(self) -> None:
        """First snapshot, nothing changed, a day, restore: on a tree of many small files."""
        base = self._folder()
        source = base / "notes"
        palaces.many_small_files(source, SEED, self.options.small_files)
        self.sources["small files"] = bytes_in(source)
        peers = self._first("small-first", base, source)
        self._repeat("small-unchanged", peers, Contestant.snapshot)
        palaces.touch_small_files(source, SEED, 1)
        self._pass("small-day", peers, Contestant.snapshot)
        self._restores("small-restore", peers, base, source)

    def thirty_days(self) -> None:
        """Palatine alone: how its repository grows, and whether old snapshots restore as fast."""
        if "palatine" not in self.options.contestants:
            return
        base = self._folder()
        source = self._palaces(base / "palaces")
        peer = Palatine(base / "palatine", source)
        self._step("days", peer, lambda: _begin(peer))
        oldest: Manifest = {}
        for day in range(1, self.options.days + 1):
            palaces.live_a_day(source, SEED, day)
            self._step("days", peer, lambda: peer.snapshot(""))
            oldest = oldest or manifest(source)
        newest = manifest(source)
        ages = ((self.options.days - 1, "days-restore-first", oldest),
                (0, "days-restore-last", newest))  # fmt: skip
        for _ in range(self.options.repeat):
            for back, step, expected in ages:
                self._restore(step, peer, base, expected, back)
        self._starts("days-log", peer, peer.pal("log", "-q"))

    def start_up(self) -> None:
        """Palatine alone: commands that ought to answer at once."""
        if "palatine" not in self.options.contestants:
            return
        base = self._folder()
        source = base / "palaces"
        palaces.create(source, SEED, 5)
        peer = Palatine(base / "palatine", source)
        self._step("log-first", peer, lambda: _begin(peer))
        self._starts("version", peer, [peer.program() or "pal", "--version"])
        self._starts("log", peer, peer.pal("log", "-q"))

    def _palaces(self, source: Path) -> Path:
        say(f"making palaces of {self.options.megabytes:g} MB")
        palaces.create(source, SEED, self.options.megabytes)
        return source

    def _first(self, step: str, base: Path, source: Path) -> list[Contestant]:
        """Fresh repositories, as often as asked; those of the last time are returned."""
        peers: list[Contestant] = []
        for attempt in range(self.options.repeat):
            folder = base / f"attempt-{attempt}"
            peers = [CONTESTANTS[name](folder / name, source) for name in self.options.contestants]
            for peer in peers:
                self._quietly(f"{step}: init", peer, peer.init)
            self._pass(step, peers, Contestant.snapshot)
        return peers

    def _repeat(
        self, step: str, peers: list[Contestant], act: Callable[[Contestant, str], Usage]
    ) -> None:
        for _ in range(self.options.repeat):
            self._pass(step, peers, act)

    def _pass(
        self, step: str, peers: list[Contestant], act: Callable[[Contestant, str], Usage]
    ) -> None:
        """One step once, on all contestants, in an order that turns."""
        label = f"pass-{self._passes}"
        for peer in self._turned(peers):
            self._step(step, peer, partial(act, peer, label))

    def _turned(self, peers: list[Contestant]) -> list[Contestant]:
        turn = self._passes % max(1, len(peers))
        self._passes += 1
        return peers[turn:] + peers[:turn]

    def _restores(self, step: str, peers: list[Contestant], base: Path, source: Path) -> None:
        expected = manifest(source)
        for _ in range(self.options.repeat):
            for peer in self._turned(peers):
                self._restore(step, peer, base, expected)

    def _restore(
        self, step: str, peer: Contestant, base: Path, expected: Manifest, back: int = 0
    ) -> None:
        """Restore into a new directory and compare it with the manifest of the source."""
        target = Path(mkdtemp(dir=base, prefix="restored-"))

        def act() -> Usage:
            if back and isinstance(peer, Palatine):
                return peer.run(peer.commands_restore(target, back), target)
            return peer.restore(target)

        def check() -> None:
            wrong = differences(expected, manifest(target))
            if wrong:
                raise StepFailedError(f"{len(wrong)} differences to the source: {wrong[:4]}")

        self._step(step, peer, act, check)

    def _step(
        self,
        step: str,
        peer: Contestant,
        act: Callable[[], Usage],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Run and record a step; a failure is recorded too, and the race goes on."""
        try:
            before = peer.size() if peer.repository.exists() else 0
            settle(*(folder for folder in (peer.source, peer.repository) if folder.exists()))
            usage = act()
            check()
            after = peer.size()
        except StepFailedError as error:
            self._failed(step, peer, str(error))
            return
        stored = peer.stored(before, after)
        self.samples.append(Sample(step, peer.name, usage, after, stored))
        say(
            f"{step:20s} {peer.name:9s} {usage.wall:8.3f} s  cpu {usage.cpu:8.3f} s"
            f"  peak {usage.peak / 1e6:6.0f} MB  repository {after / 1e6:8.1f} MB"
            f"  stored {stored / 1e6:8.3f} MB"
        )

    def _quietly(self, step: str, peer: Contestant, act: Callable[[], Usage]) -> None:
        """Something that is no step of the race, but whose failure has to be seen."""
        try:
            act()
        except StepFailedError as error:
            self._failed(step, peer, str(error))

    def _failed(self, step: str, peer: Contestant, reason: str) -> None:
        self.samples.append(Sample(step, peer.name, failure=reason))
        say(f"FAILED: {step}: {peer.name}: {reason}")

    def _starts(self, step: str, peer: Contestant, command: list[str]) -> None:
        for _ in range(_STARTS):
            self._step(step, peer, lambda: peer.run([command], peer.base))

    def _folder(self) -> Path:
        """A folder for a stage, which is not removed before the race has ended.

        ext4 reuses no inode for some minutes after its file was deleted, and looks at every such
        inode whenever it makes a file: after 100,000 deletions, restores take ten times as long.
        """
        return Path(mkdtemp(dir=self.options.work, prefix="stage-"))


def say(line: str) -> None:
    """Tell whoever watches; results go to files."""
    print(line, file=sys.stderr, flush=True)


def _begin(peer: Palatine) -> Usage:
    peer.init()
    return peer.snapshot("")
