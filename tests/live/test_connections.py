"""What keeps a pin by a connection from being dropped by its own process (POSIX locks)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.live.aid import add, notes, service
from tests.live.test_unchanged_palace import listing
from tests.live.test_volume import images_of, opened
from tests.support import Place, count

from palatine.clock import SYSTEM
from palatine.model.snapshot import CapturedAs
from palatine.sqlite import custody, ofd
from palatine.sqlite.connected import ConnectedDatabase
from palatine.testing.sqlite_books import check_accounts, make_accounts
from palatine.testing.sqlite_service import Service
from palatine.testing.writers import working

READ = os.O_RDONLY


@pytest.fixture(autouse=True)
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without open-file-description locks."""
    monkeypatch.setattr(ofd, "AVAILABLE", False)


@pytest.fixture
def pinned(tmp_path: Path) -> Iterator[tuple[ConnectedDatabase, Service]]:
    """A pinned database and its service, with something to checkpoint."""
    directory = os.open(tmp_path, READ)
    with service(tmp_path / "notes.db") as one:
        one.run(add("one", 20))
        database = ConnectedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
        assert database.try_pin()
        assert database.pinned
        yield database, one
        database.close()
        assert is_free(one)
    os.close(directory)


def is_free(one: Service) -> bool:
    """Whether nobody reads: then a service can truncate its WAL."""
    one.run("PRAGMA busy_timeout = 50", add("more"))
    return one.run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0


@pytest.mark.parametrize("suffix", [b"", b"-shm", b"-wal"])
def test_the_pin_outlives_descriptors_that_others_close(
    pinned: tuple[ConnectedDatabase, Service], tmp_path: Path, suffix: bytes
) -> None:
    directory = os.open(tmp_path, READ)
    with custody.opened(b"notes.db" + suffix, READ, directory) as fd:
        assert os.read(fd, 1)
    os.close(directory)
    assert not is_free(pinned[1])


def test_the_pin_outlives_another_capture_of_its_database(
    pinned: tuple[ConnectedDatabase, Service], tmp_path: Path
) -> None:
    """To another thread it is refused; this one may have it twice, as by another name."""
    refused: list[bool] = []
    directory = os.open(tmp_path, READ)

    def capture() -> None:
        database = ConnectedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
        refused.append(not database.try_pin())
        database.close()

    thread = threading.Thread(target=capture)
    thread.start()
    thread.join()
    assert refused == [True]
    assert not is_free(pinned[1])
    capture()
    assert refused == [True, False]
    assert not is_free(pinned[1])
    os.close(directory)


def test_the_descriptors_are_closed_in_the_end(
    pinned: tuple[ConnectedDatabase, Service], tmp_path: Path
) -> None:
    directory = os.open(tmp_path, READ)
    before = set(os.listdir("/proc/self/fd"))
    with custody.opened(b"notes.db", READ, directory):
        pass
    assert set(os.listdir("/proc/self/fd")) - before, "it was closed at once"
    os.close(directory)
    pinned[0].unpin()
    assert set(os.listdir("/proc/self/fd")) < before


def test_what_sqlite_cannot_open_lets_go_of_all(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with service(path, "journal_mode = DELETE") as one:
        one.run(add("one", 20))
    os.truncate(path, 5000)
    directory = os.open(tmp_path, READ)
    before = len(os.listdir("/proc/self/fd"))
    database = ConnectedDatabase(directory, os.fsencode(path))
    assert database.try_pin()
    assert not database.pinned
    database.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert custody.claim([(0, 0)])
    custody.renounce([(0, 0)])
    os.close(directory)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_captures_beside_a_thread_that_opens_and_closes_the_files(
    tmp_path: Path, mode: str
) -> None:
    """As the walk of another capture does, which looks into every file for what it is."""
    palace = tmp_path / "palace"
    palace.mkdir()
    accounts = palace / "accounts.db"
    make_accounts(accounts, mode, 4096)
    ended = threading.Event()

    def look() -> None:
        random = Random(1)
        directory = os.open(palace, READ)
        while not ended.wait(random.random() * 0.002):
            for name in os.listdir(directory):
                try:
                    with custody.opened(os.fsencode(name), READ, directory):
                        pass
                except FileNotFoundError:
                    continue
        os.close(directory)

    thread = threading.Thread(target=look)
    with (
        opened(palace) as root,
        working("account_writer", mode, 1, accounts),
        working("account_writer", mode, 3, accounts),
        working("checkpointer", mode, 2, accounts),
    ):
        thread.start()
        try:
            for _ in range(count(25, 2000)):
                SYSTEM.sleep(0.001)
                (image,) = images_of(root, tmp_path, "accounts.db")
                assert check_accounts(image) == ""
        finally:
            ended.set()
            thread.join()


def test_a_palace_in_use_keeps_its_content_though_sidecars_may_appear(place: Place) -> None:
    """The main files and the logs are as they were; those of databases in use are there anyway."""
    with (
        service(place.palace / "notes.db") as one,
        service(place.palace / "old.db", "journal_mode = DELETE") as two,
    ):
        one.run(add("one", 20))
        two.run(add("two", 20))
        before = listing(place.palace)
        snapshot = place.snapshot().stored.snapshot
        after = listing(place.palace)
    assert {one.captured for one in snapshot.artifacts} == {CapturedAs.PINNED}
    assert before.keys() == after.keys()
    for path in before.keys() - {str(place.palace / "notes.db-shm")}:  # the marks of its readers
        same = slice(0, 3) if path.endswith("-wal") else slice(None)  # who connects owns it anew
        assert (before[path][same], before[path][-1]) == (after[path][same], after[path][-1])
    restored = place.restored()
    assert notes(restored / "notes.db") == ["one"] * 20
    assert notes(restored / "old.db") == ["two"] * 20


def test_a_claim_of_a_database_keeps_sidecars_open_that_it_has_not_seen(tmp_path: Path) -> None:
    """The `-shm` may be a new one since the claim: its connection may have opened that."""
    directory = os.open(tmp_path, READ)
    with service(tmp_path / "notes.db"):
        claimed = (tmp_path / "notes.db").stat()
        inodes = ((claimed.st_dev, claimed.st_ino),)
        assert custody.claim(inodes)
        other = ConnectedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
        shm = other.shm
        assert shm >= 0
        other.close()
        os.fstat(shm)
        custody.renounce(inodes)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(shm)
    os.close(directory)


def test_a_database_at_rest_is_held_at_the_first_try(tmp_path: Path) -> None:
    """The connection makes the sidecars: who waits to find them there waits for as long as services
    that come and go remove them again.
    """
    service(tmp_path / "notes.db").close()
    assert sorted(os.listdir(tmp_path)) == ["notes.db"]
    directory = os.open(tmp_path, READ)
    database = ConnectedDatabase(directory, os.fsencode(tmp_path / "notes.db"))
    try:
        assert database.try_pin()
        assert database.pinned
        assert database.index_header() is not None
    finally:
        database.close()
        os.close(directory)
