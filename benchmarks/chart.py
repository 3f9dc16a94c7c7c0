"""The chart of the race, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from table import MEGABYTE, TITLES, Medians

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"palatine": "#1b6ca8", "restic": "#c9a227", "borg": "#5a8f4e", "tar": "#9a9a9a"}


def draw(medians: Medians, path: Path) -> None:
    """Write the chart: time per step, memory per step, bytes of a day, growth over the days."""
    # matplotlib is an extra, and takes a second to load
    from matplotlib import pyplot, rc_context

    # no dates and no random ids: an equal race draws an equal file
    with rc_context({"svg.hashsalt": "race", "font.size": 9}):
        figure, axes = pyplot.subplot_mosaic(
            [["time", "time"], ["memory", "memory"], ["stored", "growth"]], figsize=(10, 11)
        )
        _bars(axes["time"], medians, "wall", 1.0, "seconds (log)")
        axes["time"].set_yscale("log")
        _bars(axes["memory"], medians, "peak", MEGABYTE, "peak memory, MB")
        _stored(axes["stored"], medians)
        _growth(axes["growth"], medians)
        axes["time"].legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _bars(axes: Axes, medians: Medians, metric: str, unit: float, label: str) -> None:
    """One group of bars per step, one bar per contestant, each with its value."""
    steps = [
        step
        for step in TITLES
        if any(medians.get(step, name, metric) is not None for name in medians.contestants)
    ]
    width = 0.8 / max(1, len(medians.contestants))
    for place, name in enumerate(medians.contestants):
        values = [(medians.get(step, name, metric) or 0.0) / unit for step in steps]
        positions = [index + (place + 0.5) * width - 0.4 for index in range(len(steps))]
        bars = axes.bar(positions, values, width * 0.92, label=name, color=_COLOURS[name])
        labels = [f"{value:.3g}" if value else "" for value in values]
        axes.bar_label(bars, labels=labels, fontsize=6, padding=1)
    axes.set_xticks(range(len(steps)), [_wrapped(TITLES[step]) for step in steps], fontsize=7)
    axes.set_ylabel(label)
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _stored(axes: Axes, medians: Medians) -> None:
    """What a day's change adds to each repository."""
    for name in reversed(medians.contestants):
        stored = (medians.get("day", name, "stored") or 0.0) / MEGABYTE
        bar = axes.barh(name, stored, color=_COLOURS[name])
        axes.bar_label(bar, labels=[f"{stored:.3g}" if stored else ""], fontsize=7, padding=2)
    axes.set_xscale("log")
    axes.set_xlabel("stored by a day's change, MB (log)")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _growth(axes: Axes, medians: Medians) -> None:
    """The size of palatine's repository, day by day."""
    sizes = medians.series("days", "palatine", "repository")
    axes.plot([size / MEGABYTE for size in sizes], color=_COLOURS["palatine"], marker=".")
    axes.set_xlabel("day")
    axes.set_ylabel("palatine's repository, MB")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _wrapped(title: str) -> str:
    return title.replace(": ", ":\n").replace(", ", ",\n").replace(" of ", "\nof ")
