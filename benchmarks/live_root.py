"""What `pal snapshot --all` takes of a data root of every layout, while all of it is written to.

Compared with the same root after as many changes, when every service has closed its databases.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

from live_processes import Process
from live_services import fill
from measure import Usage
from palatine.testing.families import FAMILIES, Made
from peers import Palatine
from table import Verdict
from trees import bytes_in, files_below

_FAMILIES = (
    "trusty-sqlite", "trusty-redb", "mempalace", "oxios", "ai-memory", "nexo-runtime",
    "nexo-memdir", "generic",
)  # fmt: skip
"""Eight palaces, of all layouts there are."""
_CHANGES = 300
"""Changes to each palace before a snapshot of it."""
_IN_PLACE = (".redb", ".usearch", "data_level0.bin")
_SUFFIXES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True)
class _Run:
    """One snapshot of all: what it cost, and the longest pin, in s."""

    usage: Usage
    pin: float


def measure_root(work: Path, megabytes: float, rounds: int) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts and what else was found, for a data root of some size."""
    root = work / "root"
    palaces = _make(root, int(megabytes * 1e6))
    peer = Palatine(work / "base", root)
    peer.init()
    _snapshot(peer)
    runs: dict[str, list[_Run]] = {"live": [], "quiet": []}
    busy = 0
    for number in range(rounds):
        for state in sorted(runs, reverse=bool(number % 2)):
            run, errors = _round(peer, palaces, state == "live", number)
            runs[state].append(run)
            busy += errors
    live, quiet = (median(run.usage.wall for run in runs[state]) for state in runs)
    verdicts = [
        Verdict("`pal snapshot --all`, all written to", "nobody writing", live / quiet, 1.5),
        Verdict("busy errors of the services", "", busy, 0),
    ]
    size, peak = bytes_in(root) / 1e6, max(run.usage.peak for one in runs.values() for run in one)
    lines = [
        f"{len(palaces)} palaces of {size:.0f} MB, all written to: {live:.2f} s,"
        f" nobody writing: {quiet:.2f} s",
        f"the longest pin lasted {max(run.pin for run in runs['live']) * 1e3:.0f} ms",
        f"the most memory was {peak / 1e6:.0f} MB",
    ]
    return verdicts, lines


def _make(root: Path, size: int) -> list[Made]:
    """Write palaces of all layouts and let what they consist of grow to `size` bytes in all."""
    made = [FAMILIES[name](root / name, Random(name)) for name in _FAMILIES]
    growing = [list(_growing(one)) for one in made]
    share = size // sum(bool(files) for files in growing)
    random = Random(1)
    for files in growing:
        for path in files:
            if path.suffix in _SUFFIXES:
                fill(path, share // len(files), random)
            else:
                with path.open("ab") as file:
                    for _ in range(share // len(files) >> 20):
                        file.write(random.randbytes(1 << 20))
    return made


def _growing(made: Made) -> Iterator[Path]:
    """The databases and vector files of a palace, its outside parts included."""
    for place in _places(made):
        entries = sorted(files_below(place), key=lambda one: one.path) if place.is_dir() else []
        for path in [Path(entry.path) for entry in entries] or [place]:
            kept = not any(word in str(path) for word in ("drift", "pre-restore"))
            if path.name.endswith((*_SUFFIXES, *_IN_PLACE)) and kept:
                yield path


def _places(made: Made) -> list[Path]:
    return [made.palace, *made.outside.values()]


def _round(peer: Palatine, palaces: list[Made], live: bool, seed: int) -> tuple[_Run, int]:
    """Have every palace changed, then take a snapshot of all; return it and the busy errors."""
    with contextlib.ExitStack() as stack:
        agents = [
            stack.enter_context(Process("agent", f"{seed}{int(live)}{n}", *_places(one)))
            for n, one in enumerate(palaces)
        ]
        for agent in agents:
            agent.begin(_CHANGES)
        busy = sum(agent.done() for agent in agents)
        if not live:
            stack.close()
        os.sync()
        if live:
            for agent in agents:
                agent.go()
        run = _snapshot(peer)
        if live:
            busy += sum(agent.stop() for agent in agents)
    return run, busy


def _snapshot(peer: Palatine) -> _Run:
    usage = peer.run([peer.pal("snapshot", "--json", "--all", str(peer.source))], peer.base)
    told = json.loads((peer.base / "stdout").read_text())["result"]["palaces"]
    if len(told) != len(_FAMILIES) or any(one["status"] != "created" for one in told):
        raise RuntimeError("not every palace was captured")
    return _Run(usage, max(one["longest_pin_us"] for one in told) / 1e6)
