"""What copies.py found, as a section of the page of results, beside the limits."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from copiers import PushHere
from measure import Usage

SNAPSHOTS = 500
RATE, DAY, NOTHING_SECONDS, NOTHING_BYTES = 0.7, 1.2, 0.3, 20_000
"""Limits: of a raw copy's rate at least; of what a day added, of seconds and bytes at most."""


@dataclass(frozen=True)
class Sample:
    """One run of one step; bytes are -1 where nothing travelled, `added` where nothing was kept."""

    step: str
    name: str
    usage: Usage
    bytes: int = -1
    added: int = -1


class Medians:
    """The samples' medians, by step and name."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def names(self, step: str) -> list[str]:
        """Who took part in a step."""
        return [*dict.fromkeys(one.name for one in self._samples if one.step == step)]

    def of(self, step: str, name: str, what: Callable[[Sample], float]) -> float:
        """The median of something."""
        some = [what(one) for one in self._samples if (one.step, one.name) == (step, name)]
        return statistics.median(some)

    def wall(self, step: str, name: str) -> float:
        """Seconds."""
        return self.of(step, name, lambda one: one.usage.wall)


def section(samples: list[Sample], known: dict[str, Any]) -> str:
    """The section of the page."""
    medians = Medians(samples)
    lines = [
        "## Copies", "",
        f"Measured on {known['date']} at commit {known['commit']}, on {known['cores']} cores, by"
        f" `python benchmarks/copies.py --megabytes {known['megabytes']:g}`",
        "([how](../benchmarks/README.md#copies)). The other host is an sshd on loopback; palaces of"
        f" {known['source'] / 1e6:.0f} MB. Bytes are those of the ssh",
        "connection, both ways, with all that ssh adds. Medians.", "",
        *(f"- {name}: {one['version']}; {one['settings']}" for name, one in known["peers"].items()),
        "",
    ]  # fmt: skip
    if medians.names("first"):
        lines += _table(medians)
    lines += _limits(medians)
    return "\n".join(lines) + "\n"


def _table(medians: Medians) -> list[str]:
    lines = [
        "| | first: s | cpu s | MB | a day's change: s | cpu s | MB | kept: MB | nothing: s | kB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in medians.names("first"):
        cells: list[str] = []
        for step, unit in (("first", 1e6), ("day", 1e6), ("nothing", 1e3)):
            if name not in medians.names(step):
                cells += [""] * {"first": 3, "day": 4, "nothing": 2}[step]
                continue
            cells.append(f"{medians.wall(step, name):.2f}")
            if step != "nothing":
                cells.append(f"{medians.of(step, name, lambda one: one.usage.cpu):.2f}")
            cells.append(_size(medians.of(step, name, lambda one: one.bytes), unit))
            if step == "day":
                cells.append(_size(medians.of(step, name, lambda one: one.added), unit))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _size(size: float, unit: float) -> str:
    return "" if size < 0 else f"{size / unit:.2f}" if unit == 1e6 else f"{size / unit:.1f}"


def _limits(medians: Medians) -> list[str]:
    lines = ["| | found | limit | |", "|---|--:|--:|---|"]
    for name, found, limit, least in verdicts(medians):
        word = "ok" if (found >= limit if least else found <= limit) else "**MISS**"
        sign = "≥" if least else "≤"
        lines.append(f"| {name} | {found:.3g} | {sign} {limit:g} | {word} |")
    starts = medians.names("nothing-500")
    lines += [f"| {name} | {medians.wall('nothing-500', name):.3f} s | | |" for name in starts]
    return [*lines, ""]


def verdicts(medians: Medians) -> Iterator[tuple[str, float, float, bool]]:
    """Yield what was found against each limit, and whether it is the least."""

    def rate(name: str) -> float:
        """Bytes of the raw copy, or of the push that travelled, a second."""
        return medians.of("first", name, lambda one: one.bytes) / medians.wall("first", name)

    if medians.names("first"):
        yield (
            "first push, rate / raw copy through ssh",
            rate("pal push") / rate("raw copy"),
            RATE,
            True,
        )
        here = medians.of("first", "raw copy", lambda one: one.bytes) / medians.wall(
            "first", PushHere.name
        )
        yield "first push to a path, rate / raw copy", here / rate("raw copy to a path"), RATE, True
    if medians.names("day"):
        share = medians.of("day", "pal push", lambda one: one.bytes / one.added)
        yield "a day's change, bytes that travelled / bytes kept", share, DAY, False
    for verb in ("push", "pull", "sync") if medians.names("nothing-500") else ():
        name = f"pal {verb}"
        size = medians.of("nothing-500-bytes", name, lambda one: one.bytes)
        yield f"nothing to {verb}, {SNAPSHOTS} snapshots: bytes", size, NOTHING_BYTES, False
        bare = medians.wall("nothing-500", "ssh host true")
        fresh = medians.wall("nothing-500", name) - bare
        yield f"nothing to {verb}: s more than `ssh host true`", fresh, NOTHING_SECONDS, False
        there = medians.wall("nothing-500", f"{name}, connected")
        yield f"nothing to {verb}, connected: s", there, NOTHING_SECONDS, False
