"""What a snapshot leaves as it was: the palace, to the last time stamp; what it need not read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.aid import add, let_settle, notes, service
from tests.support import Place

from palatine.ids import Kind
from palatine.sqlite.image import Image
from palatine.store.writer import Writer
from palatine.testing.sqlite_service import Service


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything that `ls` and a checksum tell of a directory."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (
            status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode,
            data,
        )  # fmt: skip
    return found


@pytest.fixture
def blocks_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the blocks of database images were read."""
    read: list[int] = []
    original = Image.read

    def counted(self: Image, offset: int, length: int) -> bytes | bytearray:
        read.append(offset)
        return original(self, offset, length)

    monkeypatch.setattr(Image, "read", counted)
    return read


@pytest.fixture
def chunks_put(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of chunks that were new to the repository."""
    put: list[int] = []
    original = Writer.put

    def counted(self: Writer, kind: Kind, data: bytes, *rest: object) -> bytes:
        object_id = self.name(kind, data)
        if kind == Kind.CHUNK and not self.present(object_id):
            put.append(len(data))
        return original(self, kind, data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "put", counted)
    return put


def alive(path: Path) -> Service:
    one = service(path)
    one.run(add("one", 50), "PRAGMA wal_checkpoint(PASSIVE)", add("two", 50))
    return one


def crashed(path: Path) -> None:
    alive(path).kill()


def at_rest(path: Path) -> None:
    alive(path).close()


def rolled_back(path: Path) -> None:
    one = service(path, "journal_mode = DELETE", "cache_size = 2", "cache_spill = ON")
    one.run(add("one", 100), "BEGIN", "UPDATE note SET text = 'lost', pad = randomblob(1000)")
    one.kill()
    assert Path(f"{path}-journal").stat().st_size


@pytest.mark.parametrize("state", [crashed, at_rest, rolled_back])
def test_a_palace_that_nobody_uses_is_not_changed(
    place: Place, state: Callable[[Path], None]
) -> None:
    state(place.palace / "notes.db")
    before = listing(place.palace)
    first = place.snapshot()
    assert listing(place.palace) == before
    assert first.stored.snapshot.complete
    assert not place.snapshot().fresh
    assert listing(place.palace) == before
    expected = ["one"] * (100 if state is rolled_back else 50)
    assert notes(place.restored() / "notes.db")[: len(expected)] == expected


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE", "PERSIST"])
def test_a_palace_in_use_is_not_changed(place: Place, mode: str) -> None:
    path = place.palace / "notes.db"
    with service(path, f"journal_mode = {mode}", "wal_autocheckpoint = 0") as one:
        one.run(add("one", 100))
        before = listing(place.palace)
        assert place.snapshot().stored.snapshot.complete
        assert listing(place.palace) == before
        one.run("BEGIN IMMEDIATE", add("not yet", 1))
        before = listing(place.palace)
        place.snapshot()  # a new one in mode DELETE: the journal changed the directory's time
        assert listing(place.palace) == before
        assert notes(place.restored() / "notes.db") == ["one"] * 100
        one.run("COMMIT")
        assert place.snapshot().fresh
    assert notes(place.restored() / "notes.db") == ["one"] * 100 + ["not yet"]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_in_use_that_did_not_change_is_not_read(
    place: Place, blocks_read: list[int], mode: str
) -> None:
    with service(place.palace / "notes.db", f"journal_mode = {mode}") as one:
        one.run(add("one", 300))
        let_settle()
        assert place.snapshot().fresh
        assert blocks_read
        blocks_read.clear()
        for _ in range(3):
            assert not place.snapshot().fresh
        assert blocks_read == []


@pytest.mark.parametrize("state", [crashed, at_rest])
def test_a_database_that_nobody_uses_is_read_once(
    place: Place, blocks_read: list[int], state: Callable[[Path], None]
) -> None:
    state(place.palace / "notes.db")
    let_settle()
    place.snapshot()
    assert blocks_read
    blocks_read.clear()
    assert not place.snapshot().fresh
    assert blocks_read == []


def test_a_commit_that_only_the_wal_has_is_seen(place: Place) -> None:
    path = place.palace / "notes.db"
    with service(path) as one:
        one.run(add("one", 100), "PRAGMA wal_checkpoint(PASSIVE)")
        let_settle()
        place.snapshot()
        before = path.stat()
        one.run(add("two"))
        assert path.stat() == before, "the main file changed: the test shows nothing"
        assert place.snapshot().fresh
    assert notes(place.restored() / "notes.db") == ["one"] * 100 + ["two"]


def test_a_second_commit_of_the_same_size_is_seen(place: Place) -> None:
    """Neither the main file nor the size of the WAL or the number of its frames tells of it."""
    path = place.palace / "notes.db"
    with service(path) as one:
        one.run(add("one", 20), add("two"))
        one.run("PRAGMA wal_checkpoint(PASSIVE)")
        let_settle()
        one.run("UPDATE note SET text = 'abc' WHERE id = 1")  # the WAL begins anew
        place.snapshot()
        size = os.stat(f"{path}-wal").st_size
        before = path.stat()
        one.run("PRAGMA wal_checkpoint(PASSIVE)", "UPDATE note SET text = 'xyz' WHERE id = 1")
        assert os.stat(f"{path}-wal").st_size == size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert place.snapshot().fresh
    assert notes(place.restored() / "notes.db")[0] == "xyz"


def test_after_a_mere_checkpoint_no_data_is_stored(
    place: Place, blocks_read: list[int], chunks_put: list[int]
) -> None:
    path = place.palace / "notes.db"
    with service(path) as one:
        one.run(add("one", 300))
        place.snapshot()
        assert chunks_put
        chunks_put.clear()
        blocks_read.clear()
        one.run("PRAGMA wal_checkpoint(TRUNCATE)")
        place.snapshot()
        assert blocks_read, "the main file is another: it had to be read"
        assert chunks_put == []
    place.snapshot()
    assert chunks_put == []
    assert notes(place.restored() / "notes.db") == ["one"] * 300
