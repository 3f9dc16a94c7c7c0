"""What a service's commits cost while its palace is captured, in WAL mode.

Compared with the same commits beside a process that does the same work, at the same priority, on
a palace of its own. The phases take turns, so that a machine that slows down slows down both.

    python benchmarks/live.py --megabytes 64 --seconds 10 --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import palatine

ROW_BYTES = 2_000
PAUSE_SECONDS = 0.002
CHANGES = 100
"""Rows that the process beside changes in its own palace before each of its snapshots."""


def make(palace: Path, megabytes: int) -> None:
    """Make a palace of one database."""
    palace.mkdir()
    random = Random(1)
    with contextlib.closing(connect(palace)) as db:
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, pad BLOB)")
        db.execute("BEGIN")
        for number in range(megabytes * 1_000_000 // ROW_BYTES):
            db.execute("INSERT INTO note VALUES(?, ?)", (number, random.randbytes(ROW_BYTES)))
        db.execute("COMMIT")


def connect(palace: Path) -> sqlite3.Connection:
    """Open the palace's database as a service does."""
    db = sqlite3.connect(palace / "notes.db", timeout=5, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def change(db: sqlite3.Connection, random: Random, rows: int) -> None:
    """Change a row."""
    row = random.randbytes(ROW_BYTES), random.randrange(rows)
    db.execute("UPDATE note SET pad = ? WHERE id = ?", row)


def commits(palace: Path) -> None:
    """Commit until the input ends, then print when each commit began and how long it took."""
    random, measured = Random(2), []
    with contextlib.closing(connect(palace)) as db:
        (rows,) = db.execute("SELECT count(*) FROM note").fetchone()
        print("ready", flush=True)
        while not ended():
            began = time.monotonic()
            change(db, random, rows)
            measured.append((began, time.monotonic() - began))
            time.sleep(PAUSE_SECONDS)
    print(json.dumps(measured), flush=True)


def snapshots(palace: Path, repository: Path, alone: bool) -> None:
    """Snapshot until the input ends; `alone`: nobody else writes there, so change it ourselves."""
    random, done, longest = Random(3), 0, 0.0
    with palatine.open_repository(repository, cache=repository.with_suffix(".cache")) as opened:
        print("ready", flush=True)
        while not ended():
            if alone:  # closed before the snapshot: whoever closes a file loses its own locks on it
                with contextlib.closing(connect(palace)) as db:
                    (rows,) = db.execute("SELECT count(*) FROM note").fetchone()
                    for _ in range(CHANGES):
                        change(db, random, rows)
            longest = max(longest, opened.snapshot(palace).longest_pin)
            done += 1
    print(json.dumps([[done, longest]]), flush=True)


def ended() -> bool:
    """Whether standard input has ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


@contextlib.contextmanager
def running(*words: object) -> Iterator[list[tuple[float, float]]]:
    """Have one of the roles run; what it prints at its end is in the list then."""
    said: list[tuple[float, float]] = []
    with subprocess.Popen(
        [sys.executable, __file__, *map(str, words)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        yield said
        output, _ = process.communicate()
        said += json.loads(output)


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def race(work: Path, megabytes: int, seconds: float, rounds: int) -> None:
    """Print what commits cost in each phase."""
    live, own, repository = work / "live", work / "own", work / "repository"
    make(live, megabytes)
    shutil.copytree(live, own)
    palatine.init(repository)
    phases: dict[str, list[tuple[float, float]]] = {"snapshots": [], "busy beside": [], "quiet": []}
    counted: dict[str, list[list[tuple[float, float]]]] = {"snapshots": [], "busy beside": []}
    with running("commits", live) as measured:
        for _ in range(rounds):
            for phase in phases:
                with contextlib.ExitStack() as stack:
                    if phase in counted:
                        target, alone = (live, "") if phase == "snapshots" else (own, "alone")
                        said = running("snapshots", target, repository, alone)
                        counted[phase].append(stack.enter_context(said))
                    began = time.monotonic()
                    time.sleep(seconds)
                    phases[phase].append((began, time.monotonic()))
    for phase, spans in phases.items():
        took = [
            latency for at, latency in measured if any(start <= at < end for start, end in spans)
        ]
        done = [one for said in counted.get(phase, []) for one in said]
        print(
            f"{phase:12} {len(took):6} commits  p50 {percentile(took, 0.5) * 1e3:6.2f} ms  "
            f"p99 {percentile(took, 0.99) * 1e3:6.2f} ms  worst {max(took) * 1e3:7.2f} ms  "
            f"{sum(one[0] for one in done):5} snapshots, "
            f"longest pin {max((one[1] for one in done), default=0.0) * 1e3:.2f} ms"
        )


def main() -> None:
    """Run the race, or one role of it."""
    if len(sys.argv) > 1 and sys.argv[1] == "commits":
        return commits(Path(sys.argv[2]))
    if len(sys.argv) > 1 and sys.argv[1] == "snapshots":
        return snapshots(Path(sys.argv[2]), Path(sys.argv[3]), bool(sys.argv[4]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        race(Path(work), chosen.megabytes, chosen.seconds, chosen.rounds)
    return None


if __name__ == "__main__":
    main()
