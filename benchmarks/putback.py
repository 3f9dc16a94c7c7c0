"""What putting a palace back costs: live, against SQLite's own backup(); replaced, against new.

A live restore and backup() put the same image into the same database while a service has it open;
they take turns. What backup() leaves behind is a WAL as long as the image, which the service's next
commit must bring into the file; a live restore does that itself, so it is counted on both sides and
told apart. The `pre-restore` snapshot is told apart too.

    python benchmarks/putback.py --megabytes 250 --replaced 1000 --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import palatine
from palatine.ops.restoring import Restored
from palatine.testing.sqlite_service import Service

ROW_BYTES = 3_900
LIMIT = 1.5


def fill(path: Path, generation: str, megabytes: int) -> None:
    """Make a database's content that of a generation."""
    random = Random(generation)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, name TEXT, pad BLOB)")
        db.execute("BEGIN")
        db.execute("DELETE FROM note")
        rows = (
            (number, generation, random.randbytes(ROW_BYTES))
            for number in range(megabytes * 1_000_000 // (ROW_BYTES + 196))
        )
        db.executemany("INSERT INTO note VALUES(?, ?, ?)", rows)
        db.execute("COMMIT")


def backup(image: Path, live: Path) -> tuple[float, float]:
    """Put an image into a database as SQLite does; return seconds for that and its checkpoint."""
    os.sync()
    began = time.monotonic()
    with (
        contextlib.closing(sqlite3.connect(f"{image.as_uri()}?immutable=1", uri=True)) as source,
        contextlib.closing(sqlite3.connect(live, timeout=5)) as target,
    ):
        source.backup(target)
        done = time.monotonic()
        target.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return done - began, time.monotonic() - done


def restored(repository: palatine.Repository, tag: str, target: Path, **how: bool) -> list[float]:
    """Restore a tag; return seconds without the pre-restore snapshot, and those of that."""
    os.sync()
    began = time.monotonic()
    done: Restored = repository.restore(f"palace#{tag}", target, **how)  # type: ignore[arg-type]
    before = done.before.seconds if done.before else 0.0
    return [time.monotonic() - began - before, before]


def two_snapshots(work: Path, repository: palatine.Repository, megabytes: int) -> Path:
    """Make a palace of one database, with a snapshot of each of two generations."""
    palace = work / "palace"
    palace.mkdir()
    for generation in ("old", "new"):
        fill(palace / "notes.db", generation, megabytes)
        repository.snapshot(palace, tags=[generation])
    return palace


def live(work: Path, megabytes: int, rounds: int) -> None:
    """Print a table of backup() and live restores."""
    palatine.init(work / "repository")
    took: dict[str, list[float]] = {
        "backup()": [], "its checkpoint": [], "live restore": [], "pre-restore snapshot": []
    }  # fmt: skip
    with palatine.open_repository(work / "repository", cache=work / "cache") as repository:
        palace = two_snapshots(work, repository, megabytes)
        for generation in ("old", "new"):
            repository.restore(f"palace#{generation}", work / generation)
        with Service(palace / "notes.db") as service:
            for number in range(rounds + 1):
                for generation in ("old", "new"):
                    first = backup(work / generation / "notes.db", palace / "notes.db")
                    check(service, generation)
                    other = "new" if generation == "old" else "old"
                    second = restored(repository, other, palace, live=True)
                    check(service, other)
                    if number:  # the first round only makes files as long as they become
                        for name, seconds in zip(took, (*first, *second), strict=True):
                            took[name].append(seconds)
    middle = {name: statistics.median(values) for name, values in took.items()}
    print(f"\n| live, {megabytes} MB, median of {2 * rounds} | time s |\n|---|--:|")
    for name, seconds in middle.items():
        print(f"| {name} | {seconds:.2f} |")
    ratio = middle["live restore"] / (middle["backup()"] + middle["its checkpoint"])
    verdict = "ok" if ratio <= LIMIT else "**MISS**"
    print(f"| live restore / backup() with its checkpoint: {ratio:.2f} | {LIMIT} {verdict} |")
    alone = middle["live restore"] / middle["backup()"]
    print(f"| live restore with its checkpoint / backup() without: {alone:.2f} | |")


def check(service: Service, generation: str) -> None:
    """Have the service see what was put under it."""
    seen = service.run("SELECT min(name), max(name) FROM note")
    if seen != [[generation, generation]]:
        sys.exit(f"the service sees {seen} instead of {generation}")


def replaced(work: Path, megabytes: int, rounds: int) -> None:
    """Print a table of new and replacing restores."""
    palatine.init(work / "repository")
    took: dict[str, list[float]] = {"new": [], "replace": [], "pre-restore snapshot": []}
    with palatine.open_repository(work / "repository", cache=work / "cache") as repository:
        palace = two_snapshots(work, repository, megabytes)
        for number in range(rounds):
            fresh = work / "fresh"
            generation = ("old", "new")[number % 2]
            took["new"].append(restored(repository, generation, fresh)[0])
            shutil.rmtree(fresh)
            seconds, before = restored(repository, generation, palace, replace=True)
            took["replace"].append(seconds)
            took["pre-restore snapshot"].append(before)
    print(f"\n| {megabytes} MB, all of it changed, median of {rounds} | time s |\n|---|--:|")
    for name, values in took.items():
        print(f"| {name} | {statistics.median(values):.2f} |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--replaced", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    for measure, megabytes in ((live, chosen.megabytes), (replaced, chosen.replaced)):
        if megabytes:
            with tempfile.TemporaryDirectory() as work:
                measure(Path(work), megabytes, chosen.rounds)


if __name__ == "__main__":
    main()
