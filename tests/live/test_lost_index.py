"""Wal-indexes that somebody left half-written beside connections that do not read."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.aid import add, notes, service
from tests.live.test_edge_cases import impatient as impatient
from tests.live.test_unchanged_palace import listing
from tests.support import Place, count, flip

from palatine.capture import instant
from palatine.model.snapshot import CapturedAs
from palatine.sqlite import ofd
from palatine.sqlite.image import Image
from palatine.sqlite.locked import LockedDatabase
from palatine.sqlite.wal import INDEX_HEADER_SIZE, read_index_header
from palatine.testing.sqlite_books import check_accounts, make_accounts
from palatine.testing.sqlite_service import Service

pytestmark = pytest.mark.skipif(not ofd.AVAILABLE, reason="needs open-file-description locks")

LOCKER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 1, 120)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running(script: str, *arguments: object) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate(timeout=240)
        assert process.returncode == 0


def half_written(shm: Path, one: Service) -> None:
    """Leave the wal-index as a writer does that dies between its two copies of the header."""
    before = shm.read_bytes()[:INDEX_HEADER_SIZE]
    one.run(add("in the WAL alone", 50))
    with shm.open("r+b") as file:
        file.write(before)


def torn(shm: Path, one: Service) -> None:
    flip(shm, 16)


def unset(shm: Path, one: Service) -> None:
    with shm.open("r+b") as file:
        file.write(bytes(2 * INDEX_HEADER_SIZE))


@pytest.mark.parametrize("harm", [half_written, torn, unset])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_the_checksums_of_the_wal_tell_what_was_committed(
    place: Place, harm: object, checkpoint: bool
) -> None:
    """What SQLite makes of it, when it makes the index again, is the judge."""
    assert callable(harm)
    path, shm = place.palace / "notes.db", place.palace / "notes.db-shm"
    with service(path) as idle, service(place.palace / "other.db") as other:
        other.run(add("other"))
        with Service(path) as writer:
            writer.run(add("one", 100))
            if checkpoint:
                writer.run("PRAGMA wal_checkpoint(PASSIVE)", "UPDATE note SET text = 'anew'")
            harm(shm, writer)
        before = listing(place.palace)
        snapshot = place.snapshot().stored.snapshot
        assert listing(place.palace) == before
        assert snapshot.complete, snapshot.missing
        assert {one.captured for one in snapshot.artifacts} == {CapturedAs.PINNED}
        assert read_index(shm) is None, "somebody completed it: the test shows nothing"
        expected = [str(text) for (text,) in idle.run("SELECT text FROM note ORDER BY id")]
    assert notes(place.restored() / "notes.db") == expected
    assert notes(place.restored() / "other.db") == ["other"]
    assert ("in the WAL alone" in expected) == (harm is half_written)


def read_index(shm: Path) -> object:
    with shm.open("rb") as file:
        return read_index_header(file.fileno())


def test_while_somebody_writes_to_it_the_index_is_waited_for(place: Place, impatient: None) -> None:
    path, shm = place.palace / "notes.db", place.palace / "notes.db-shm"
    with service(path) as idle, service(place.palace / "other.db") as other:
        idle.run(add("one"))
        other.run(add("two"))
        torn(shm, idle)
        with running(LOCKER, shm):
            snapshot = place.snapshot().stored.snapshot
        assert [one.path for one in snapshot.missing] == [b"notes.db"]
        assert "wal-index" in snapshot.missing[0].reason
        assert place.snapshot().stored.snapshot.complete
    assert notes(place.restored() / "notes.db") == ["one"]
    assert notes(place.restored() / "other.db") == ["two"]


def test_who_makes_the_index_again_waits_until_the_image_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, shm = place.palace / "notes.db", place.palace / "notes.db-shm"
    said: list[object] = []
    work: list[threading.Thread] = []
    with service(path) as idle, Service(path) as comes:
        idle.run(add("one", 500))
        torn(shm, idle)

        def come() -> None:
            said.extend(comes.run("UPDATE note SET text = 'two'", "SELECT text FROM note"))

        original = Image.read

        def reading(self: Image, offset: int, length: int) -> bytes | bytearray:
            if not work:
                work.append(threading.Thread(target=come))
                work[0].start()
                work[0].join(0.3)  # without our lock it takes some milliseconds
                assert work[0].is_alive()
                assert read_index(shm) is None
            return original(self, offset, length)

        monkeypatch.setattr(Image, "read", reading)
        snapshot = place.snapshot().stored.snapshot
        work[0].join()
    assert snapshot.complete
    assert notes(place.restored() / "notes.db") == ["one"] * 500
    assert said == [["two"]] * 500


VANDAL = """
import fcntl, random, select, sys
random = random.Random(2)
print("ready", flush=True)
while not select.select([sys.stdin], [], [], random.random() * 0.005)[0]:
    with open(sys.argv[1] + "-shm", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 120)
        file.seek(random.choice([0, 48]) + random.randrange(48))
        file.write(random.randbytes(1))
        file.flush()
"""
WRITER = """
import random, select, sys
from pathlib import Path
from palatine.testing.writers import account_writer
random = random.Random(int(sys.argv[2]))
print("ready", flush=True)
for _ in account_writer("wal", random, Path(sys.argv[1])):
    pause = random.random() * 0.04 if random.random() < 0.2 else 0
    if select.select([sys.stdin], [], [], pause)[0]:
        break
"""


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_indexes_that_writers_leave_half_written_all_the_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to the index while it has the write lock, and goes, is as one that died."""
    path = place.palace / "accounts.db"
    frozen: Counter[str] = Counter()
    original = LockedDatabase.try_freeze

    def noted(self: LockedDatabase) -> bool:
        done = original(self)
        frozen[self.pinned_as.name if done else "refused"] += 1
        return done

    monkeypatch.setattr(LockedDatabase, "try_freeze", noted)
    monkeypatch.setattr(instant, "FREEZE", 0)  # the next to read makes the index again
    make_accounts(path, "wal", 4096)
    with running(WRITER, path, 1), running(WRITER, path, 2), running(VANDAL, path):
        for _ in range(count(12, 1000)):
            done = place.snapshot(force=True)
            assert done.stored.snapshot.complete, done.stored.snapshot.missing
            restored = place.restored(done.stored.id.hex())
            assert os.listdir(restored) == ["accounts.db"]
            assert check_accounts(restored / "accounts.db") == ""
    print(dict(frozen))
