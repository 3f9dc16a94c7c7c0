"""What a service's commits cost while its palace is captured, in WAL mode.

Compared with the same commits beside a process that does the same work, at the same priority, on
a palace of its own. The phases take turns, so that a machine that slows down slows down both.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import palatine
from live_processes import Process
from live_services import fill
from measure import settle
from table import Verdict

_CHANGES = 40
"""Rows that the process beside changes in its own palace before each of its snapshots: as many as
are committed to the other one from one snapshot to the next.
"""
_PHASES = "snapshots", "busy beside", "quiet"
_WARM_SECONDS = 0.5
"""What a phase takes to be like itself: the first snapshot has more to read than the others."""


@dataclass
class _Phase:
    """What was found in all rounds of one phase: latencies of each round, in s."""

    rounds: list[list[float]] = field(default_factory=list)
    snapshots: int = 0
    pins: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    busy: int = 0

    def percentile(self, share: float) -> float:
        return percentile([one for took in self.rounds for one in took], share)


def measure_commits(
    work: Path, megabytes: float, seconds: float, rounds: int
) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts and what else was found, for a database of some size."""
    phases = _measured(work, int(megabytes * 1e6), seconds, rounds)
    live, beside = phases["snapshots"], phases["busy beside"]
    ratio = live.percentile(0.99) / beside.percentile(0.99)
    verdicts = [
        Verdict("p99 of a commit, during snapshots", "beside a busy process", ratio, 1.5),
        Verdict("busy errors of the commits", "", live.busy, 0),
    ]
    return verdicts, [*_lines(phases, megabytes)]


def _measured(work: Path, size: int, seconds: float, rounds: int) -> dict[str, _Phase]:
    live, own, repository = work / "live", work / "own", work / "repository"
    live.mkdir(parents=True)
    fill(live / "notes.db", size, Random(1))
    shutil.copytree(live, own)
    palatine.init(repository)
    phases = {name: _Phase() for name in _PHASES}
    with contextlib.ExitStack() as stack:
        commits = stack.enter_context(Process("commit", live / "notes.db"))
        capture = stack.enter_context(Process("snapshot", live, repository))
        beside = stack.enter_context(Process("snapshot", own, repository, _CHANGES))
        capture.do(1), beside.do(1)  # the first snapshots read everything
        settle(work)
        for turn in range(rounds):
            for name in _turned(turn):
                phase = phases[name]
                other = {"snapshots": capture, "busy beside": beside}.get(name)
                took, busy = _round(commits, other, phase, seconds)
                phase.rounds.append(took)
                phase.busy += busy
    return phases


def _turned(turn: int) -> Iterator[str]:
    """The phases, those to be compared in an order that turns."""
    first, second, last = _PHASES
    yield from (second, first, last) if turn % 2 else (first, second, last)


def _round(
    commits: Process, other: Process | None, phase: _Phase, seconds: float
) -> tuple[list[float], int]:
    if other is None:
        seconds /= 3  # only told, not compared
    else:
        other.go()
        commits.go()
        time.sleep(_WARM_SECONDS)
        commits.stop()
    commits.go()
    time.sleep(seconds)
    took, busy = commits.stop()
    if other is not None:
        done, longest, worked = other.stop()
        phase.snapshots += done
        phase.pins.append(longest)
        phase.loads.append(worked / (seconds + _WARM_SECONDS))
    return took, busy


def _lines(phases: dict[str, _Phase], megabytes: float) -> Iterator[str]:
    for name, phase in phases.items():
        count = sum(map(len, phase.rounds))
        p50, p99, worst = (phase.percentile(share) * 1e3 for share in (0.5, 0.99, 1.0))
        yield (
            f"{name}: {count:,} commits to a database of {megabytes:g} MB, p50 {p50:.2f} ms,"
            f" p99 {p99:.2f} ms, worst {worst:.1f} ms"
        )
    for name, phase in phases.items():
        if phase.snapshots:
            load = sum(phase.loads) / len(phase.loads)
            yield f"{name}: {phase.snapshots} of them, {load:.2f} processors busy with them"
    yield f"the longest pin lasted {max(phases['snapshots'].pins) * 1e3:.1f} ms"


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
