"""From samples to medians, from medians to a page of tables with limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from stages import Sample

SECTIONS = ("", "Failures", "What each step took", "Against the limits")
"""The sections of the page that are written here; others are others'."""

ORDER = ("palatine", "restic", "borg", "tar")
MEGABYTE = 1_000_000

TITLES = {
    "first": "first snapshot",
    "unchanged": "nothing changed",
    "day": "a day's change",
    "restore": "restore of the newest",
    "verify": "verify, all data read",
    "small-first": "small files: first",
    "small-unchanged": "small files: nothing changed",
    "small-day": "small files: 0.3 % changed",
    "small-restore": "small files: restore",
}


@dataclass(frozen=True)
class Limit:
    """What palatine may take of what each peer takes, as a ratio."""

    step: str
    metric: str
    peers: dict[str, float]


@dataclass(frozen=True)
class Bound:
    """What a figure of palatine alone may be at most."""

    title: str
    unit: str
    most: float
    figure: Callable[[Medians], float | None]


@dataclass(frozen=True)
class Verdict:
    """One line of the comparison: what was found, what is allowed; None where nothing was found."""

    title: str
    against: str
    found: float | None
    limit: float
    unit: str = ""

    @property
    def word(self) -> str:
        """ok, MISS, or that nothing was measured."""
        if self.found is None:
            return "not measured"
        return "ok" if self.found <= self.limit else "**MISS**"


class Medians:
    """The median of each metric of each step of each contestant that ran it without a failure."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        self.failures = [sample for sample in samples if sample.failure is not None]
        for sample in samples:
            if sample.failure is None:
                self._samples.setdefault((sample.step, sample.contestant), []).append(sample)
        present = {sample.contestant for sample in samples}
        self.contestants = [name for name in ORDER if name in present]

    def series(self, step: str, contestant: str, metric: str) -> list[float]:
        """A metric of all runs, in order; a step with any failed run has none."""
        if any((f.step, f.contestant) == (step, contestant) for f in self.failures):
            return []
        return [_metric(sample, metric) for sample in self._samples.get((step, contestant), [])]

    def get(self, step: str, contestant: str, metric: str) -> float | None:
        """The median of a metric: wall and cpu in s; peak, repository and stored in bytes."""
        values = self.series(step, contestant, metric)
        return median(values) if values else None

    def ratio(self, step: str, contestant: str, metric: str) -> float | None:
        """What palatine takes of what a contestant takes."""
        ours, theirs = self.get(step, "palatine", metric), self.get(step, contestant, metric)
        return ours / theirs if ours is not None and theirs else None


def growth(medians: Medians) -> float | None:
    """The repository after all days, compared with that after the first snapshot."""
    sizes = medians.series("days", "palatine", "repository")
    return sizes[-1] / sizes[0] if len(sizes) > 1 else None


def _ageing(medians: Medians) -> float | None:
    last = medians.get("days-restore-last", "palatine", "wall")
    first = medians.get("days-restore-first", "palatine", "wall")
    return last / first if last and first else None


def _highest_peak(medians: Medians) -> float | None:
    keys = [step for step, name in medians._samples if name == "palatine"]
    peaks = [peak for step in keys for peak in medians.series(step, "palatine", "peak")]
    return max(peaks) / MEGABYTE if peaks else None


LIMITS = (
    Limit("first", "wall", {"restic": 0.5, "borg": 0.7, "tar": 1.1}),
    Limit("unchanged", "wall", {"restic": 0.25, "borg": 0.6}),
    Limit("day", "wall", {"restic": 0.35, "borg": 0.45}),
    Limit("day", "stored", {"restic": 0.015, "borg": 0.015}),
    Limit("restore", "wall", {"restic": 0.45, "borg": 0.35}),
    Limit("verify", "wall", {"restic": 0.5, "borg": 0.4}),
    Limit("small-first", "wall", {"restic": 0.9, "borg": 0.5}),
    Limit("small-unchanged", "wall", {"restic": 0.3, "borg": 0.3}),
    Limit("small-restore", "wall", {"restic": 0.7, "borg": 0.6}),
    Limit("small-first", "repository", {"restic": 0.6, "borg": 0.6}),
)
BOUNDS = (
    Bound("highest peak memory of any step", "MB", 150, _highest_peak),
    Bound("repository after the days / after the first snapshot", "", 1.5, growth),
    Bound("restore of the last day / of the first", "", 1.5, _ageing),
    Bound("`pal --version`", "s", 0.1, lambda m: m.get("version", "palatine", "wall")),
    Bound("`pal log`", "s", 0.25, lambda m: m.get("log", "palatine", "wall")),
    Bound("`pal log` after the days", "s", 0.25, lambda m: m.get("days-log", "palatine", "wall")),
)
_METRICS = {"wall": "time", "stored": "bytes stored", "repository": "size of the repository"}


def verdicts(medians: Medians) -> list[Verdict]:
    """Every limit with what was found."""
    lines = [
        Verdict(
            f"{TITLES[limit.step]}: {_METRICS[limit.metric]}",
            peer,
            medians.ratio(limit.step, peer, limit.metric),
            most,
        )
        for limit in LIMITS
        for peer, most in limit.peers.items()
    ]
    bounds = [Verdict(b.title, "", b.figure(medians), b.most, b.unit) for b in BOUNDS]
    return lines + bounds


def page(medians: Medians, facts: dict[str, Any]) -> str:
    """The page of results, in markdown."""
    parts = [_heading(facts), *_failures(medians), *_steps(medians), _judgement(medians)]
    return "\n".join(parts)


def _heading(facts: dict[str, Any]) -> str:
    peers = "\n".join(
        f"- {name}: {peer['version']}; {peer['settings']}" for name, peer in facts["peers"].items()
    )
    sources = ", ".join(
        f"{name} {size / MEGABYTE:,.0f} MB" for name, size in facts["sources"].items()
    )
    return f"""# Benchmarks

Measured on {facts["date"]} at commit {facts["commit"]}, on {facts["cores"]} cores, with Python
{facts["python"]}. Sources: {sources or "none"}. MB are 10^6 bytes.

{peers}

Each figure is a median: of {facts["repeat"]} runs, for a day's change of {facts["changed"]} days.
The page cache is warm and synced before each step; contestants take turns. Peak memory is that of
the largest process. [How it is measured](../benchmarks/README.md).

![chart](benchmarks/race.svg)
"""


def _failures(medians: Medians) -> Iterator[str]:
    if medians.failures:
        yield "## Failures\n"
        for sample in medians.failures:
            yield f"- **FAILED** {sample.step}, {sample.contestant}: {sample.failure}"
        yield ""


def _steps(medians: Medians) -> Iterator[str]:
    yield "## What each step took\n"
    yield "| step | contestant | time s | cpu s | peak MB | repository MB | stored MB |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for step, title in TITLES.items():
        for name in medians.contestants:
            wall = medians.get(step, name, "wall")
            if wall is None:
                continue
            cpu = medians.get(step, name, "cpu") or 0.0
            sizes = [
                (medians.get(step, name, metric) or 0.0) / MEGABYTE
                for metric in ("peak", "repository", "stored")
            ]
            yield (
                f"| {title} | {name} | {wall:.2f} | {cpu:.2f}"
                f" | {sizes[0]:.0f} | {sizes[1]:.1f} | {sizes[2]:.2f} |"
            )
    yield ""


def _judgement(medians: Medians) -> str:
    rows = [
        "## Against the limits\n",
        "| | palatine / | found | limit | |",
        "|---|---|--:|--:|---|",
    ]
    rows += [row(verdict) for verdict in verdicts(medians)]
    return "\n".join(rows) + "\n"


def row(verdict: Verdict) -> str:
    """A verdict as a row of a table."""
    found = "" if verdict.found is None else f"{verdict.found:.3g} {verdict.unit}".strip()
    limit = f"{verdict.limit:.3g} {verdict.unit}".strip()
    return f"| {verdict.title} | {verdict.against} | {found} | {limit} | {verdict.word} |"


def _metric(sample: Sample, metric: str) -> float:
    if metric in {"repository", "stored"}:
        return float(getattr(sample, metric))
    return float(getattr(sample.usage, metric))
