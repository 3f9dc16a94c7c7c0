"""A palace with a past, and what is asked of restores over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.capture.trees import MIB, contents
from tests.support import Place

from palatine.ops.restoring import Restored
from palatine.testing.builders import State, differences, state_of

OWN = {"palace", "repository", "cache", "elsewhere"}
"""What lies in a test's directory and was not made by a restore."""


def database(path: Path, rows: int, name: str, mode: str = "wal") -> None:
    """Write a database of so many rows that all bear a name, anew; at rest afterwards."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        db.execute("DROP TABLE IF EXISTS entry")
        db.execute("CREATE TABLE entry(id INTEGER PRIMARY KEY, name TEXT, pad BLOB)")
        db.execute("BEGIN")
        pad = contents(rows, 400)
        db.executemany(
            "INSERT INTO entry VALUES(?, ?, ?)", ((row, name, pad) for row in range(rows))
        )
        db.execute("COMMIT")


def names(path: Path) -> set[str]:
    """Return the names in a database, as a service finds them that opens it now."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {name for (name,) in db.execute("SELECT name FROM entry")}


def first_state(palace: Path) -> None:
    """Make a palace of many sorts of things."""
    for name in ("notes/2026/may", "notes/one", "notes/two", "config", "notes/empty-one"):
        path = palace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "empty" in name else name.encode() * 20)
    (palace / "notes" / "nothing").mkdir()
    (palace / "link").symlink_to("notes/one")
    os.link(palace / "notes" / "two", palace / "second-name")
    (palace / "vectors.bin").write_bytes(contents(1, 5 * MIB))
    (palace / "data_level0.bin").write_bytes(contents(2, 3 * MIB))
    with (palace / "sparse").open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(2 * MIB)
        file.write(b"something")
    os.chmod(palace / "config", 0o640)
    if os.geteuid() == 0:
        os.chown(palace / "notes" / "one", 1234, 5678)
    database(palace / "kg.db", 900, "first")


def second_state(palace: Path) -> None:
    """Live on: changes, additions, removals, and a file where a directory was."""
    (palace / "notes" / "one").write_bytes(b"changed")
    (palace / "notes" / "new").write_bytes(b"new")
    (palace / "later").mkdir()
    (palace / "later" / "thing").write_bytes(contents(3, MIB + 7))
    shutil.rmtree(palace / "notes" / "2026")
    (palace / "notes" / "2026").write_bytes(b"a file now")
    os.unlink(palace / "second-name")
    os.utime(palace / "notes" / "two", ns=(10**18, 10**18))
    os.chmod(palace / "data_level0.bin", 0o600)
    with (palace / "vectors.bin").open("r+b") as file:
        file.seek(2 * MIB + 5)
        file.write(b"other bytes")
    database(palace / "kg.db", 700, "second")


def two_states(place: Place) -> tuple[dict[bytes, State], dict[bytes, State]]:
    """Make a palace, snapshot it, live on; return both states. The second has no snapshot."""
    first_state(place.palace)
    before = state_of(place.palace)
    place.snapshot()
    second_state(place.palace)
    return before, state_of(place.palace)


def restore(place: Place, revision: str = "palace", **options: object) -> Restored:
    """Restore over the palace, in a repository opened for it alone."""
    with place.open() as repository:
        return repository.restore(revision, place.palace, **options)  # type: ignore[arg-type]


def undo(place: Place, **options: object) -> Restored:
    """Undo the last restore over the palace."""
    with place.open() as repository:
        return repository.undo(place.palace, **options)  # type: ignore[arg-type]


def check(place: Place, expected: dict[bytes, State]) -> None:
    """Assert that the palace is as it was once, and that nothing lies beside it."""
    assert differences(expected, state_of(place.palace)) == []
    assert sorted(set(os.listdir(place.root)) - OWN) == []


def inodes(palace: Path) -> dict[str, int]:
    """Return the inode of everything in a palace, itself included."""
    found = {".": palace.lstat().st_ino}
    return found | {str(path): path.lstat().st_ino for path in palace.rglob("*")}


@contextlib.contextmanager
def another(code: str, *arguments: Path) -> Iterator[subprocess.Popen[str]]:
    """Have a process run some code, say "ready", and wait until the block is over."""
    head = "import fcntl, os, sqlite3, sys\nfrom pathlib import Path\n"
    text = f"{head}{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", text, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.communicate(timeout=240)


def left_by_a_killed_service(path: Path, name: str) -> None:
    """Have a process commit a name into a database's WAL, and kill it: `-wal` and `-shm` stay."""
    code = (
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA wal_autocheckpoint = 0')\n"
        f"db.execute('UPDATE entry SET name = ?', ({name!r},))"
    )
    with another(code, path) as process:
        process.kill()
    assert Path(f"{path}-wal").stat().st_size
