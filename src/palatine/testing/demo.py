"""`python -m palatine.testing.demo`: a small memory that lives, kept and restored before your eyes.

A palace is made up in a temporary directory, a process of its own commits to its database all the
time, and the real `pal` command keeps two moments, compares them and restores both. Every promise
is checked here, against copies that palatine knows nothing of; one that is broken ends the demo
with exit code 1. All of it, repository and caches included, lies in the temporary directory.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from palatine.testing import files, hnsw
from palatine.testing.databases import Texts
from palatine.testing.demo_writer import Died, Writer
from palatine.testing.text import Prose
from palatine.testing.vectors import Vectors

_SEED = 7
_LIVES_SECONDS = 2.0
_LITTLE = 0.10
"""The second snapshot is promised to add at most this share of the first one's bytes."""


class Broken(Exception):
    """A promise was not kept."""


def main() -> int:
    """Run the demo; return 0 if everything was as promised."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="palatine-demo-") as scratch:
        try:
            _Demo(Path(scratch)).run()
        except (Broken, Died) as error:
            print(f"\nNOT AS PROMISED: {error}", flush=True)
            return 1
        except KeyboardInterrupt:
            print("\ninterrupted; the temporary directory is removed", flush=True)
            return 130
    print(
        f"\nEverything was as promised, in {time.monotonic() - began:.0f} seconds. The temporary "
        "directory is removed; nothing of yours was touched."
    )
    return 0


class _Demo:
    """The story, one chapter per method."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._palace = scratch / "memory" / "alba"
        self._database = self._palace / "memory.db"
        self._environment = _environment(scratch)

    def run(self) -> None:
        self._tell(
            "An AI agent's memory, made up for this demo, in a temporary directory:",
            _create(self._palace),
        )
        with closing(Writer(self._database)) as writer:
            self._tell(
                f"Process {writer.process} begins to remember things: one commit after the other",
                "to memory.db, in WAL mode, until the demo ends.",
            )
            self._lives()
            self._tell(
                "Keep this moment. This palatine cannot capture a database while it is being",
                "written to yet, so the writer closes it during each snapshot, and goes on after.",
            )
            first = self._keep(writer, "first", "-m", "the first moment", "--tag", "demo")
            self._tell("Then it lives on: more commits, notes written, renamed and thrown away.")
            self._lives()
            _live(self._palace)
            self._tell("Keep this moment too.")
            second = self._keep(writer, "second", "-m", "the second moment")
            self._tell("What changed between the two?")
            self._pal("diff", "alba")
            self._tell("And what did that cost? (ADDED: bytes added to the repository)")
            self._pal("log", "alba")
            self._compare_costs()
            self._tell("The writer writes on while both moments come back, in new directories.")
            self._pal("restore", "alba~1", "restored-first")
            self._pal("restore", "alba", "restored-second")
            self._tell("Is every byte of the repository what was written?")
            self._pal("verify", "--data")
            commits = writer.commits()
            if commits <= second or second <= first:
                raise Broken("the writer stood still although nobody asked it to")
            self._check_restored()
        self._tell(
            "Compared with copies made by hand: both moments are back, byte for byte, with modes",
            "and times, and SQLite finds both databases sound. In all the writer committed",
            f"{commits:,} times: {first:,} before the first snapshot, {second - first:,} between",
            f"the two, {commits - second:,} after.",
        )

    def _tell(self, *lines: str) -> None:
        print("\n" + "\n".join(lines), flush=True)

    def _lives(self) -> None:
        time.sleep(_LIVES_SECONDS)

    def _keep(self, writer: Writer, name: str, *options: str) -> int:
        """Snapshot the palace, and copy it by hand; return how many commits there were by then."""
        with writer.paused() as commits:
            sidecar = self._database.with_name("memory.db-wal")
            if sidecar.exists():
                raise Broken(f"the paused writer left {sidecar.name} behind")
            shutil.copytree(self._palace, self._scratch / f"copy-{name}", symlinks=True)
            self._pal("snapshot", "memory/alba", *options)
        return commits

    def _pal(self, *arguments: str) -> None:
        """Run the real command line and show it."""
        shown = [f'"{one}"' if " " in one else one for one in arguments]
        print(f"\n  $ pal {' '.join(shown)}", flush=True)
        done = self._run(*arguments)
        for line in (done.stdout + done.stderr).splitlines():
            print(f"  {line}", flush=True)
        if done.returncode:
            raise Broken(f"pal {arguments[0]} ended with exit code {done.returncode}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "palatine", *arguments],
            cwd=self._scratch, env=self._environment, text=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def _compare_costs(self) -> None:
        done = self._run("log", "alba", "--json")
        newest_first = json.loads(done.stdout)["result"]["snapshots"]
        second, first = (one["added_bytes"] for one in newest_first)
        if second > _LITTLE * first:
            raise Broken(f"the second snapshot added {second:,} bytes, the first {first:,}")
        self._tell(f"The second moment cost {second / first:.1%} of the first.")

    def _check_restored(self) -> None:
        for name in ("first", "second"):
            copy, restored = self._scratch / f"copy-{name}", self._scratch / f"restored-{name}"
            difference = _difference(copy, restored)
            if difference:
                raise Broken(f"the {name} moment came back different: {difference}")
            with closing(sqlite3.connect(restored / "memory.db")) as db:
                (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise Broken(f"SQLite says of the {name} moment's database: {verdict}")


def _environment(scratch: Path) -> dict[str, str]:
    """Return an environment in which pal touches nothing of the user's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PALATINE")}
    places = {
        "HOME": "home",
        "XDG_DATA_HOME": "home/data",
        "XDG_CACHE_HOME": "home/cache",
        "XDG_CONFIG_HOME": "home/config",
    }
    return own | {name: str(scratch / place) for name, place in places.items()}


def _create(palace: Path) -> str:
    """Make up a palace of some megabytes and return what it is in words."""
    rng, prose, vectors = Random(_SEED), Prose(_SEED), Vectors(_SEED)
    Texts(prose, vectors).create(palace / "memory.db", rng, 8_000_000)
    hnsw.create(palace / "vectors", rng, vectors, 3_000_000)
    files.create_json(palace / "workspace", rng, prose, 300_000)
    notes = palace / "notes"
    notes.mkdir()
    for _ in range(40):
        (notes / f"{prose.name(rng)}.md").write_text(prose.markdown(rng, 1_400))
    (palace / "README.md").symlink_to("notes")
    every = [path for path in palace.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in every)
    return (
        f"  {palace}\n  memory.db with texts, embeddings and a full-text index; a vector index;"
        f"\n  JSON; notes: {len(every)} files, {size / 2**20:.1f} MiB."
    )


def _live(palace: Path) -> None:
    """Let what is not the database live a day, too."""
    rng, prose, vectors = Random(_SEED + 1), Prose(_SEED), Vectors(_SEED)
    hnsw.live_a_day(palace / "vectors", rng, vectors, 0.003)
    files.live_json(palace / "workspace", rng, prose, 1, 0.003)
    kept, renamed, gone, *_ = sorted((palace / "notes").iterdir())
    files.edit_text(kept, rng, prose)
    renamed.rename(renamed.with_name("a-better-name.md"))
    gone.unlink()
    (palace / "notes" / "a-new-thought.md").write_text(prose.markdown(rng, 900))


def _difference(one: Path, other: Path) -> str:
    """Return the first thing in which two trees differ, or nothing; reads every byte."""
    for mine, its in zip(_entries(one), _entries(other), strict=False):
        if mine != its:
            return f"{mine[0]} or {its[0]}"
    counts = [sum(1 for _ in _entries(root)) for root in (one, other)]
    return "" if counts[0] == counts[1] else f"{counts[0]} and {counts[1]} entries"


def _entries(root: Path) -> Iterator[tuple[str, int, int, bytes]]:
    """Yield what is below a directory, and itself: path, mode, time and content."""
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        yield str(path.relative_to(root)), status.st_mode, status.st_mtime_ns, content


if __name__ == "__main__":
    sys.exit(main())
