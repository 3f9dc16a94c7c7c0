"""What makes a pinned read right, each rule by the one moment that breaks it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.live.aid import TABLE, WAL, add, notes, service
from tests.support import Place

from palatine.sqlite.image import Image
from palatine.sqlite.pin import Database, State
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
        database = Database(directory, b"notes.db")
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
        database = Database(directory, b"notes.db")
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


def once_before(
    monkeypatch: pytest.MonkeyPatch, method: str, number: int, meddle: Callable[[], None]
) -> None:
    """Let something happen before the call of a database's method with this number, from 1."""
    original = getattr(Database, method)
    calls = 0

    def meddling(self: Database, *rest: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            meddle()
        return original(self, *rest)

    monkeypatch.setattr(Database, method, meddling)


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

        def reading(self: Image, offset: int, length: int) -> bytes:
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
