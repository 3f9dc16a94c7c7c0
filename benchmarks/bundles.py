"""What a native export costs, beside `tar | zstd -T2` at the same level over the same files.

    python benchmarks/bundles.py --megabytes 1000 --levels 1 3 9 --rounds 5

An export ends when its file is durable, tar's when it is written; so tar is timed with and without
a sync after it. Both write to the same directory, by turns, and each time a new file: to give back
an old one's pages is nobody's work here. What is read is in the page cache.
`pal export` reads compressed packs and verifies what it reads, hashes each file and the bundle;
tar reads plain files and hashes nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import palatine
from measure import Command, Usage, measure, settle
from palatine.testing import palaces

LIMIT = 1.2
SEED = 5


def commands(work: Path, level: int, threads: int) -> dict[str, tuple[str, ...]]:
    """Return what is timed, by name; each writes a file of its own in `work`."""
    pal = [sys.executable, "-m", "palatine", "--quiet", "--repo", str(work / "repository")]
    tar = f"tar -C {work} -cf - source | zstd -q -f -T{threads} -{level} -o {work}/out.tar.zst"
    return {
        "pal export": (*pal, "export", "all", f"{work}/out", "--force", "--level", str(level)),
        "tar, zstd": ("sh", "-ec", tar),
        "tar, zstd, sync": ("sh", "-ec", f"{tar}; sync {work}/out.tar.zst"),
    }


def timed(
    work: Path, level: int, threads: int, rounds: int
) -> tuple[dict[str, list[Usage]], dict[str, int]]:
    """Run all of them by turns; the first round only warms up. Return also the files' sizes."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
    took: dict[str, list[Usage]] = {}
    sizes: dict[str, int] = {}
    for turn in range(rounds + 1):
        for name, words in commands(work, level, threads).items():
            for left in (work / "out", work / "out.sha256", work / "out.tar.zst"):
                left.unlink(missing_ok=True)
            settle(work / "source", work / "repository")
            usage = measure(Command(words, work, environment), work)
            written = work / ("out" if name == "pal export" else "out.tar.zst")
            sizes[name] = written.stat().st_size
            if turn:
                took.setdefault(name, []).append(usage)
    return took, sizes


def row(name: str, usages: list[Usage], size: int) -> float:
    """Print one line; return the median of the wall-clock time."""
    walls = [usage.wall for usage in usages]
    wall, cpu = statistics.median(walls), statistics.median(usage.cpu for usage in usages)
    spread = f"{min(walls):.2f} to {max(walls):.2f}"
    peak = max(usage.peak for usage in usages) / 1e6
    print(f"| {name} | {wall:.2f} | {spread} | {cpu:.2f} | {peak:.0f} | {size / 1e6:.1f} |")
    return wall


def main() -> int:
    """Make palaces, keep them, export them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--levels", type=int, nargs="+", default=[3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="zstd's; pal uses what it finds")
    parser.add_argument("--work", type=Path, help="a directory for 4 times as many bytes")
    options = parser.parse_args()
    missed = False
    work = Path(tempfile.mkdtemp(prefix="bundles-", dir=options.work))
    try:
        palaces.create(work / "source", SEED, options.megabytes)
        palatine.init(work / "repository")
        with palatine.open_repository(work / "repository", cache=work / "unused") as repository:
            repository.snapshot(work / "source", palace="all")
        for level in options.levels:
            took, sizes = timed(work, level, options.threads, options.rounds)
            print(f"\n| {options.megabytes} MB, level {level} | s | | cpu s | peak MB | MB |")
            print("|---|--:|--:|--:|--:|--:|")
            wall = {name: row(name, usages, sizes[name]) for name, usages in took.items()}
            for other in ("tar, zstd", "tar, zstd, sync"):
                ratio = wall["pal export"] / wall[other]
                verdict = "ok" if ratio <= LIMIT else "**MISS**"
                missed |= ratio > LIMIT and other == "tar, zstd"
                print(f"| pal export / {other} | {ratio:.2f} | at most {LIMIT} | {verdict} | | |")
    finally:
        shutil.rmtree(work)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
