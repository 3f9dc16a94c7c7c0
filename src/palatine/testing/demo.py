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
from palatine.testing.demo_writer import Died, Writer, check
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
                "Keep this moment. Nobody tells the writer: it commits all the while. What is kept",
                "is the database as one of its commits left it (-v tells how long it was held).",
            )
            first = self._keep(writer, "first", "-v", "-m", "the first moment", "--tag", "demo")
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
            held = self._check_restored("first", first), self._check_restored("second", second)
            if not 0 < held[0] < held[1] < commits:
                raise Broken("the writer stood still although nobody asked it to")
        self._tell(
            "Compared with copies made by hand: both moments are back, byte for byte, with modes",
            "and times. SQLite finds both databases sound, and each is what a commit left: the",
            f"first holds {held[0]:,} commits, the second {held[1]:,}, and the writer's own ledger",
            f"agrees with them. By now it has committed {commits:,} times, without a pause.",
        )

    def _tell(self, *lines: str) -> None:
        print("\n" + "\n".join(lines), flush=True)

    def _lives(self) -> None:
        time.sleep(_LIVES_SECONDS)

    def _keep(self, writer: Writer, name: str, *options: str) -> range:
        """Snapshot the palace, and copy by hand what nobody writes to meanwhile.

        Returns which numbers of commits the snapshot may hold.
        """
        shutil.copytree(
            self._palace, self._scratch / f"copy-{name}", symlinks=True,
            ignore=shutil.ignore_patterns("memory.db*"),
        )  # fmt: skip
        before = writer.commits()
        self._pal("snapshot", "memory/alba", *options)
        return range(before, writer.commits() + 1)

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

    def _check_restored(self, name: str, expected: range) -> int:
        """Return how many commits a restored moment holds; raise Broken if it is not one."""
        copy, restored = self._scratch / f"copy-{name}", self._scratch / f"restored-{name}"
        difference = _difference(copy, restored, besides="memory.db")
        if difference:
            raise Broken(f"the {name} moment came back different: {difference}")
        commits, wrong = check(restored / "memory.db")
        if wrong:
            raise Broken(f"the {name} moment's database is no committed state: {wrong}")
        if commits not in expected:
            raise Broken(f"the {name} moment holds {commits} commits, not one of {expected}")
        return commits


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


def _difference(one: Path, other: Path, besides: str = "") -> str:
    """Return the first thing in which two trees differ, or nothing; reads every byte.

    A file called `besides` is passed over.
    """
    for mine, its in zip(_entries(one, besides), _entries(other, besides), strict=False):
        if mine != its:
            return f"{mine[0]} or {its[0]}"
    counts = [sum(1 for _ in _entries(root, besides)) for root in (one, other)]
    return "" if counts[0] == counts[1] else f"{counts[0]} and {counts[1]} entries"


def _entries(root: Path, besides: str) -> Iterator[tuple[str, int, int, bytes]]:
    """Yield what is below a directory, and itself: path, mode, time and content."""
    for path in sorted([root, *root.rglob("*")]):
        if path.name == besides:
            continue
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        yield str(path.relative_to(root)), status.st_mode, status.st_mtime_ns, content


if __name__ == "__main__":
    sys.exit(main())
