"""What makes a pinned read right, each rule by the one moment that breaks it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.capture.trees import MIB
from tests.live.aid import TABLE, WAL, add, notes, once_before, service
from tests.support import Place

from palatine.sqlite.database import Database, State
from palatine.sqlite.image import Image
from palatine.sqlite.locked import LockedDatabase
from palatine.testing.builders import START_US, FakeClock
from palatine.testing.sqlite_service import Service


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def written(image: Image | None, path: Path) -> Path:
    assert image is not None
    path.write_bytes(image.read(0, image.size))
    return path


def test_a_wal_that_was_backfilled_is_not_read(tmp_path: Path, directory: int) -> None:
    """The pin does not keep a writer from beginning such a WAL anew."""
    with service(tmp_path / "notes.db") as one:
        one.run(add("one", 20), add("two", 20), "PRAGMA wal_checkpoint(PASSIVE)")
        database = LockedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
        try:
            assert database.try_pin()
            header = database.index_header()
            assert header is not None
            assert header.backfilled == header.max_frame > 0
            one.run("UPDATE note SET text = 'three'")
            image = written(database.pinned_image(header), tmp_path / "image")
        finally:
            database.close()
    assert notes(image) == ["one"] * 20 + ["two"] * 20


def test_the_pin_keeps_checkpoints_from_the_main_file(tmp_path: Path, directory: int) -> None:
    path = tmp_path / "notes.db"
    with service(path) as one:
        one.run(add("one", 20), "PRAGMA wal_checkpoint(PASSIVE)", add("two", 20))
        database = LockedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
        try:
            assert database.try_pin()
            header = database.index_header()
            main = path.read_bytes()
            one.run(add("three", 20), "PRAGMA wal_checkpoint(PASSIVE)")
            assert path.read_bytes() == main
            image = written(database.pinned_image(header), tmp_path / "image")
        finally:
            database.close()
        assert notes(image) == ["one"] * 20 + ["two"] * 20
        one.run("PRAGMA wal_checkpoint(PASSIVE)")
        assert path.read_bytes() != main, "nothing was to be checkpointed: the test shows nothing"


def test_all_databases_are_of_one_instant(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer to both that falls between the looks at one and the other is in both or none."""
    with service(place.palace / "a.db") as a, service(place.palace / "b.db") as b:

        def transfer() -> None:
            a.run(add("transfer"))
            b.run(add("transfer"))

        once_before(monkeypatch, "index_header", 2, transfer)
        place.snapshot()
    restored = place.restored()
    assert notes(restored / "a.db") == notes(restored / "b.db") == ["transfer"]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_that_is_replaced_before_the_pin_is_opened_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    path = place.palace / "notes.db"
    with service(path, f"journal_mode = {mode}", "wal_autocheckpoint = 0") as one:
        one.run(add("old"))
        with service(place.root / "new.db", "journal_mode = DELETE") as new:
            new.run(add("new"))

        def replace() -> None:
            for suffix in ("-wal", "-shm"):
                path.with_name(f"notes.db{suffix}").unlink(missing_ok=True)
            shutil.move(place.root / "new.db", path)

        once_before(monkeypatch, "try_pin", 1, replace)
        place.snapshot()
        assert notes(place.restored() / "notes.db") == ["new"]


@pytest.mark.parametrize("comes", ["while it is read", "before it is pinned"])
def test_a_service_that_comes_to_a_database_at_rest_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    path = place.palace / "notes.db"
    service(path).close()
    with Service(path, *WAL) as closing:
        closing.run(add("one", 100))
    services: list[Service] = []

    def come() -> None:
        services.append(Service(path, *WAL))
        services[0].run("UPDATE note SET text = 'two'", "PRAGMA wal_checkpoint(PASSIVE)")

    if comes == "while it is read":
        original = Image.read

        def reading(self: Image, offset: int, length: int) -> bytes | bytearray:
            if offset and not services:
                come()
            return original(self, offset, length)

        monkeypatch.setattr(Image, "read", reading)
    else:
        once_before(monkeypatch, "stats", 1, come)
    snapshot = place.snapshot().stored.snapshot
    assert snapshot.complete
    assert set(notes(place.restored() / "notes.db")) == {"two"}
    services[0].close()


def test_the_state_that_counts_is_that_of_the_pin(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found while its last connection was closing it, pinned when the next one had written."""
    with service(place.palace / "notes.db") as one:
        one.run(add("one"))
        original = Database.state
        answers = [State.EXCLUSIVE]
        monkeypatch.setattr(
            Database, "state", lambda self: answers.pop() if answers else original(self)
        )
        place.snapshot()
    assert notes(place.restored() / "notes.db") == ["one"]


def test_what_changed_twice_within_a_tick_is_captured_twice(place: Place) -> None:
    with Service(place.palace / "notes.db", "journal_mode = DELETE") as one:
        one.run(TABLE)
        for text in ("one", "two", "six"):
            one.run("DELETE FROM note", add(text))
            place.snapshot()
            assert notes(place.restored() / "notes.db") == [text]


class Coarse:
    """A stat of a file system whose clock ticks once, at the first visit of a test."""

    now_us = 0

    def __init__(self, status: os.stat_result) -> None:
        self._status = status
        self.st_mtime_ns = self.st_ctime_ns = Coarse.now_us * 1000

    def __getattr__(self, name: str) -> object:
        return getattr(self._status, name)


@pytest.mark.parametrize("before", ["it is opened", "the instant"])
def test_who_came_and_went_within_one_tick_of_the_clock_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The times of a database do not tell that it was written to twice: before and while read."""
    path = place.palace / "notes.db"
    texts = ["three", "two"]

    def visit() -> None:
        monkeypatch.setattr(Coarse, "now_us", START_US)
        with Service(path, *WAL) as one:
            one.run(f"UPDATE note SET text = '{texts.pop()}'")

    with Service(path, *WAL) as one:
        one.run(TABLE, add("one", 500, 4000))
    statuses, read = Database.statuses, Image.read

    def reading(self: Image, offset: int, length: int) -> bytes | bytearray:
        if offset == MIB and len(texts) == 1:  # half of it is read
            visit()
        return read(self, offset, length)

    monkeypatch.setattr(Database, "statuses", lambda self: list(map(Coarse, statuses(self))))
    monkeypatch.setattr(Image, "read", reading)
    with service(place.palace / "other.db"), place.open(clock=FakeClock(START_US)) as repository:
        if before == "it is opened":
            visit()
        else:
            once_before(monkeypatch, "index_header", 1, visit)
        assert repository.snapshot(place.palace).stored.snapshot.complete
    assert texts == []
    assert set(notes(place.restored() / "notes.db")) == {"three"}
