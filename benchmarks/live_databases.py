"""What capturing databases costs, compared with palaces that have none, and with plain files.

Each comparison takes turns, in one process that has the repository open; services are others.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles

import palatine
from live_processes import Process
from live_services import fill
from peers import Palatine
from table import Verdict

_DATABASES = 5
_NOTES = 200
_CHANGES = 1_000
"""Rows changed before a snapshot of a changed database."""
_BLOCK, _PAGE = 1 << 20, 4096
_PLAIN = b"no database 0001"
"""What stands in a plain file in place of SQLite's magic."""
_STATES = "at rest", "in use"

Found = tuple[list[Verdict], list[str]]


def measure_unchanged(work: Path, megabytes: float, rounds: int) -> Found:
    """Compare a palace that has unchanged databases with the same palace without them."""
    palaces = [work / "with", work / "without"]
    for palace in palaces:
        palace.mkdir(parents=True)
        for number in range(_NOTES):
            (palace / f"note-{number:03d}.md").write_text(f"note {number}\n" * 100)
    databases = [palaces[0] / f"memory-{number}.db" for number in range(_DATABASES)]
    for path in databases:
        fill(path, int(megabytes * 1e6) // _DATABASES, Random(path.name))
    snapshots = {palace: _by_command(palace) for palace in palaces}
    verdicts, lines = [], []
    for state in _STATES:
        with contextlib.ExitStack() as services:
            if state == "in use":
                for path in databases:
                    services.enter_context(Process("commit", path)).do(1)
            took = _turns(snapshots, rounds, lambda: _touch(palaces))
        ours, theirs = (median(took[palace]) * 1e3 for palace in palaces)
        low, _, high = (one * 1e3 for one in quantiles(took[palaces[1]], n=4))
        what = f"{megabytes:g} MB of unchanged databases, {state}"
        verdicts.append(
            Verdict(f"{what}: added", "spread without them", ours - theirs, high - low, "ms")
        )
        lines.append(f"{what}: `pal snapshot` takes {ours:.0f} ms, without them {theirs:.0f} ms")
    return verdicts, lines


def measure_changed(work: Path, megabytes: float, rounds: int) -> Found:
    """Compare a changed database with a plain file of the same size and changes."""
    palaces = [work / "database", work / "plain"]
    database, plain = palaces[0] / "memory.db", palaces[1] / "memory.db"
    for palace in palaces:
        palace.mkdir(parents=True)
    fill(database, int(megabytes * 1e6), Random(1))
    plain.touch()
    verdicts, lines = [], []
    with contextlib.ExitStack() as repositories, contextlib.ExitStack() as services:
        snapshots = {palace: _by_call(palace, repositories) for palace in palaces}
        seeds = itertools.count()

        def change(leave: bool) -> None:
            services.close()
            service = services.enter_context(Process("commit", database, next(seeds)))
            service.do(_CHANGES)
            _mirror(database, plain, work / "image")
            if leave:
                services.close()

        for state in _STATES:
            took = _turns(snapshots, rounds, partial(change, state == "at rest"))
            ours, theirs = (median(took[palace]) * 1e3 for palace in palaces)
            what = f"a changed database of {megabytes:g} MB, {state}"
            verdicts.append(Verdict(what, "the same as a plain file", ours / theirs, 1.2))
            lines.append(f"{what}: {ours:.0f} ms, as a plain file {theirs:.0f} ms")
    return verdicts, lines


def _turns(
    snapshots: dict[Path, Callable[[], float]], rounds: int, change: Callable[[], None]
) -> dict[Path, list[float]]:
    """Change, and take a snapshot of each palace, in an order that turns; return the seconds."""
    took: dict[Path, list[float]] = {palace: [] for palace in snapshots}
    for number in range(-1, rounds):
        change()
        for palace in sorted(snapshots, reverse=bool(number % 2)):
            os.sync()
            seconds = snapshots[palace]()
            if number >= 0:  # the first round reads everything
                took[palace].append(seconds)
    return took


def _by_command(palace: Path) -> Callable[[], float]:
    """Return what has the command snapshot a palace, into a repository of its own."""
    peer = Palatine(palace.with_suffix(".base"), palace)
    peer.init()
    return lambda: peer.snapshot("").wall


def _by_call(palace: Path, repositories: contextlib.ExitStack) -> Callable[[], float]:
    """Return what snapshots a palace in this process, into a repository of its own.

    Its own: otherwise the second of two palaces finds what the first has stored.
    """
    place = palace.with_suffix(".repository")
    palatine.init(place)
    opened = palatine.open_repository(place, cache=palace.with_suffix(".cache"))
    repositories.enter_context(opened)

    def snapshot() -> float:
        began = time.perf_counter()
        done = opened.snapshot(palace)
        seconds = time.perf_counter() - began
        if not done.fresh or not done.stored.snapshot.complete:
            raise RuntimeError(f"{palace} was not captured as it should be")
        return seconds

    return snapshot


def _touch(palaces: Sequence[Path]) -> None:
    for palace in palaces:
        with (palace / "note-000.md").open("a") as note:
            note.write("one more line\n")


def _mirror(database: Path, plain: Path, image: Path) -> None:
    """Bring a plain file to the database's image, by the pages in which they differ."""
    with (
        contextlib.closing(sqlite3.connect(database)) as live,
        contextlib.closing(sqlite3.connect(image)) as copy,
    ):
        copy.execute("PRAGMA synchronous = OFF")
        live.backup(copy)
    with image.open("rb") as source, plain.open("r+b") as target:
        at = 0
        while block := source.read(_BLOCK):
            if not at:
                block = _PLAIN + block[len(_PLAIN) :]
            _write_pages(target.fileno(), at, block)
            at += len(block)
        target.truncate(at)


def _write_pages(target: int, at: int, block: bytes) -> None:
    there = os.pread(target, len(block), at)
    if there == block:
        return
    for start in range(0, len(block), _PAGE):
        page = block[start : start + _PAGE]
        if there[start : start + _PAGE] != page:
            os.pwrite(target, page, at + start)
