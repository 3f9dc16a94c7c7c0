"""A repository on object storage beside one on the local disk: snapshot, restore, log, ls.

    python benchmarks/objectstore.py --out docs/benchmarks
    python benchmarks/objectstore.py --megabytes 100 --rounds 1 --directories 20

The store is a real S3 server (tests/s3/server.py says which) on this machine, behind a line with a
latency (slowlink.py). Both have half of the processors to themselves; what is measured, here and
there, has the other half: a store does not take processors from who uses it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.collection.test_memory import GENERATE
from tests.s3.faults import faulty
from tests.s3.server import VERSION, Server, environment_for, running

import pages
from facts import facts
from measure import StepFailedError, Usage, settle
from palatine.testing import palaces
from peers import Palatine
from slowlink import slow
from stages import SEED, say
from table import MEGABYTE, Verdict, row
from trees import Manifest, bytes_in, differences, manifest

_TITLE = "Object storage"
_BUCKET = "palaces"
_LIMIT = 1.5
_PEAK_MB = 150
_FILES = 2000
"""In each directory of the repository of a million objects."""


class Here(Palatine):
    """A repository in a directory. The code under test is this checkout's."""

    name = "local disk"

    def environment(self) -> dict[str, str]:
        """Where the code is."""
        return {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    def forget_cache(self) -> None:
        """Be another host."""
        (self.base / "cache").rename(self.base / "cache-of-the-snapshot")
        (self.base / "cache").mkdir()


class There(Here):
    """A repository in a bucket, reached through a port."""

    name = "object storage"

    def __init__(self, base: Path, source: Path, server: Server, port: int) -> None:
        super().__init__(base, source)
        self.url = f"s3://{_BUCKET}/{base.name}"
        self.port = port
        self.repository = server.data / _BUCKET / base.name

    def environment(self) -> dict[str, str]:
        """Where the store is."""
        return super().environment() | environment_for(self.port)

    def pal(self, *arguments: str) -> list[str]:
        """A command line of pal on this repository."""
        return [self.program() or "pal", "--repo", self.url, *arguments]


class Comparison:
    """Snapshots and restores of the same palaces, here and there by turns.

    Nothing is deleted before the end: see `Race._folder`.
    """

    def __init__(self, folders: tuple[Path, Path], server: Server, port: int) -> None:
        self._work, self._made = folders
        self._server = server
        self._port = port
        self.taken: dict[str, dict[str, list[Usage]]] = {}
        self.size = 0

    def run(self, megabytes: float, rounds: int) -> None:
        """Measure; each round has repositories of its own."""
        source = self._made / "source"
        if not source.exists():
            palaces.create(source, SEED, megabytes)
        self.size = bytes_in(source)
        expected = manifest(source)
        for number in range(rounds):
            far = self._work / f"far-{number}"
            peers: list[Here] = [
                Here(self._work / f"near-{number}", source),
                There(far, source, self._server, self._port),
            ]
            for peer in peers[:: -1 if number % 2 else 1]:
                peer.init()
                settle(source)
                self._note("snapshot", peer, peer.snapshot(""))
            for peer in peers[:: -1 if number % 2 else 1]:
                self._restore(peer, expected)

    def _restore(self, peer: Here, expected: Manifest) -> None:
        target = peer.base / "restored"
        target.mkdir()
        peer.forget_cache()
        settle(peer.repository)
        self._note("restore", peer, peer.restore(target))
        wrong = differences(expected, manifest(target))
        if wrong:
            raise StepFailedError(f"{len(wrong)} differences to the source: {wrong[:4]}")

    def _note(self, step: str, peer: Here, usage: Usage) -> None:
        self.taken.setdefault(step, {}).setdefault(peer.name, []).append(usage)
        say(
            f"{step:9s} {peer.name:14s} {usage.wall:7.3f} s  cpu {usage.cpu:6.2f} s"
            f"  peak {usage.peak / 1e6:5.0f} MB"
        )

    def verdicts(self) -> list[Verdict]:
        """Return what was found, with the limits; nothing where nothing was measured."""
        if not self.taken:
            return []
        found = []
        for step, taken in self.taken.items():
            far, near = (median(usage.wall for usage in taken[one.name]) for one in (There, Here))
            found.append(Verdict(f"{step}: time", "on the local disk", far / near, _LIMIT))
        peak = max(usage.peak for taken in self.taken.values() for usage in taken[There.name])
        return [*found, Verdict("peak memory", "", peak / MEGABYTE, _PEAK_MB, "MB")]

    def rows(self) -> Iterator[str]:
        """Yield rows of a table: step, place, seconds, all rounds, cpu seconds, peak in MB."""
        for step, taken in self.taken.items():
            for name, usages in taken.items():
                wall, cpu = (median(getattr(one, key) for one in usages) for key in ("wall", "cpu"))
                rounds = ", ".join(f"{one.wall:.2f}" for one in usages)
                peak = max(one.peak for one in usages) / MEGABYTE
                yield f"| {step} | {name} | {wall:.2f} | {rounds} | {cpu:.2f} | {peak:.0f} |"


class Million:
    """Looking into a repository of many objects from a host that never saw it."""

    def __init__(self, folders: tuple[Path, Path], server: Server, seconds: float) -> None:
        self._work, self._made = folders
        self._server = server
        self._seconds = seconds
        self._peer: There | None = None
        self.objects = 0
        self.size = 0
        self.taken: dict[str, dict[str, float]] = {}

    def run(self, directories: int) -> None:
        """Make the repository, and measure a log, and an ls of the root and of a directory."""
        here = self._made / "million"
        if not here.exists():
            words = [GENERATE, str(here), str(self._made / "cache"), str(directories)]
            subprocess.run([sys.executable, "-c", *words, str(_FILES)], check=True)
        (self._work / "asking").mkdir()
        with slow(self._server.port, self._seconds) as port:
            peer = There(self._work / "asking", self._work, self._server, port)
            shutil.copytree(here, peer.repository)
            (peer.base / "home").mkdir()
            self.objects, self.size = directories * (_FILES + 1) + 2, bytes_in(peer.repository)
            for asked in (("log",), ("ls", "big"), ("ls", "big:000001")):
                self._measure(peer, port, asked)

    def _measure(self, peer: There, port: int, words: tuple[str, ...]) -> None:
        """First behind the line for the time, then behind a proxy that counts."""

        def run(at: int) -> Usage:
            peer.port = at
            shutil.rmtree(peer.base / "cache", ignore_errors=True)
            (peer.base / "cache").mkdir()
            return peer.run([peer.pal("-q", *words)], peer.base)

        usages = [run(port) for _ in range(3)]
        with faulty(self._server.port) as proxy:
            run(proxy.port)
            found = {
                "wall": median(usage.wall for usage in usages),
                "peak": max(usage.peak for usage in usages) / MEGABYTE,
                "requests": len(proxy.requests),
                "fetched": proxy.sent,
            }
        self.taken["pal " + " ".join(words)] = found
        say(f"pal {' '.join(words)}: {found}")

    def rows(self) -> Iterator[str]:
        """Yield rows of a table: command, seconds, requests, MB, share of the repository, peak."""
        for words, one in self.taken.items():
            share = 100 * one["fetched"] / self.size
            yield (
                f"| `{words}` | {one['wall']:.2f} | {one['requests']:.0f}"
                f" | {one['fetched'] / MEGABYTE:.2f} | {share:.1f} % | {one['peak']:.0f} |"
            )


def _halves() -> tuple[set[int], set[int]]:
    """Return two halves of the processors; twice the same one where there is no other."""
    cores = sorted(os.sched_getaffinity(0))
    middle = (len(cores) + 1) // 2
    return {*cores[:middle]}, {*cores[middle:]} or {*cores}


def main() -> int:
    """Measure; 1 if a limit is missed."""
    arguments = _arguments()
    work = Path(tempfile.mkdtemp(dir=arguments.work, prefix="objectstore-"))
    folders = work, arguments.made or work
    seconds = arguments.latency_ms / 1000
    try:
        # what the store spends is not ours: no MD5, no threads that look for work in vain, and
        # a collection of garbage now and then: it took a third of the server's time
        os.environ["GOMAXPROCS"] = "1"
        os.environ["GOGC"] = "800"
        ours, theirs = _halves()
        os.sched_setaffinity(0, theirs)  # threads and processes begin with what their maker has
        with running(work / "data", "--data-integrity-etag") as server:
            server.bucket(_BUCKET)
            os.sched_setaffinity(0, ours | theirs)
            million = Million(folders, server, seconds)
            if arguments.directories:
                million.run(arguments.directories)
            os.sched_setaffinity(0, theirs)
            with slow(server.port, seconds) as port:
                os.sched_setaffinity(0, ours)
                comparison = Comparison(folders, server, port)
                if arguments.rounds:
                    comparison.run(arguments.megabytes, arguments.rounds)
    finally:
        shutil.rmtree(work)
    text = _section(comparison, million, arguments.latency_ms)
    print(text)
    if arguments.out is not None:
        _write(arguments.out, comparison, million, text)
    return int(any("MISS" in one.word for one in comparison.verdicts()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=954, help="size of the palaces")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=10, help="added to each round trip")
    parser.add_argument(
        "--directories", type=int, default=500, help=f"of {_FILES} files each, for log and ls"
    )
    parser.add_argument(
        "--made", type=Path, help="where sources are made, and used again if they are there"
    )
    parser.add_argument("--out", type=Path, help="directory for results (its .md is beside it)")
    parser.add_argument("--work", type=Path, help="where to work (default: the system's temporary)")
    return parser.parse_args()


def _section(comparison: Comparison, million: Million, latency: float) -> str:
    known = facts()
    lines = [
        f"## {_TITLE}\n",
        f"Measured on {known['date']} at commit {known['commit']}, on {known['cores']} cores, with"
        f" Python\n{known['python']}, by `python benchmarks/objectstore.py --out docs/benchmarks`"
        "\n([how](../benchmarks/README.md#object-storage)).\n",
    ]
    if comparison.taken:
        lines += [
            f"versitygw {VERSION} with {latency:g} ms added, palaces of"
            f" {comparison.size / MEGABYTE:.0f} MB. Store and line have half of the processors to"
            " themselves,\nand whoever snapshots and restores, here or there, the other half:\n",
            "| step | repository | time s, median | rounds | cpu s | peak MB |",
            "|---|---|--:|--:|--:|--:|",
            *comparison.rows(),
            "",
            "| object storage / | | found | limit | |",
            "|---|---|--:|--:|---|",
            *(row(verdict) for verdict in comparison.verdicts()),
            "",
        ]
    if million.taken:
        lines += [
            f"A repository of {million.objects:,} objects, {million.size / MEGABYTE:.0f} MB, and"
            f" nothing in the cache, {latency:g} ms added:\n",
            "| command | time s | requests | fetched MB | of the repository | peak MB |",
            "|---|--:|--:|--:|--:|--:|",
            *million.rows(),
            "",
        ]
    return "\n".join(lines)


def _write(out: Path, comparison: Comparison, million: Million, text: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    taken = {
        step: {name: [asdict(one) for one in usages] for name, usages in found.items()}
        for step, found in comparison.taken.items()
    }
    results: dict[str, Any] = facts() | {
        "bytes": comparison.size,
        "verdicts": [asdict(one) | {"word": one.word} for one in comparison.verdicts()],
        "samples": taken,
        "million": {"objects": million.objects, "bytes": million.size, "samples": million.taken},
    }
    (out / "objectstore.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(out.with_suffix(".md"), text, (_TITLE,))


if __name__ == "__main__":
    sys.exit(main())
