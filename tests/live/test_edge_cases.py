"""Databases in every state a crash, a fault or a service leaves them in."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.aid import WAL, add, let_settle, notes, service
from tests.support import SETTINGS, Place, as_nobody, flip

import palatine
from palatine.capture import databases, spool, walk
from palatine.capture.databases import DatabaseCapture
from palatine.capture.outcomes import Target, Terms
from palatine.errors import SourceError
from palatine.model.snapshot import CapturedAs, Snapshot
from palatine.testing.sqlite_service import Service

pytestmark = pytest.mark.usefixtures("pins")


def missing(snapshot: Snapshot) -> list[bytes]:
    return [one.path for one in snapshot.missing]


def how(snapshot: Snapshot) -> dict[bytes, CapturedAs]:
    return {one.path: one.captured for one in snapshot.artifacts}


def left_by_crash(path: Path) -> None:
    """Leave a database whose last commit is in its WAL, and a transaction that never ended."""
    one = service(path)
    one.run(add("one", 100), "PRAGMA wal_checkpoint(PASSIVE)", add("two", 100))
    one.run("PRAGMA cache_size = 2", "BEGIN", add("three", 300))
    one.kill()
    assert os.stat(f"{path}-wal").st_size


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment for a database that is held exclusively, not half a minute."""

    def terms(block: int, _: float, *rest: object) -> object:
        return Terms(block, 0.1, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("palatine.capture.palace.Terms", terms)


@pytest.mark.parametrize("gone", [(), ("-shm",)], ids=["wal-and-shm", "wal-only"])
def test_a_killed_service_leaves_its_last_commit_in_the_wal(
    place: Place, gone: tuple[str, ...]
) -> None:
    left_by_crash(place.palace / "notes.db")
    for suffix in gone:
        os.unlink(place.palace / f"notes.db{suffix}")
    snapshot = place.snapshot().stored.snapshot
    assert (snapshot.complete, how(snapshot)) == (True, {b"notes.db": CapturedAs.STABLE})
    restored = place.restored()
    assert os.listdir(restored) == ["notes.db"]
    assert notes(restored / "notes.db") == ["one"] * 100 + ["two"] * 100


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_a_hot_journal_is_rolled_back_in_the_image(place: Place, mode: str) -> None:
    path = place.palace / "notes.db"
    one = service(path, f"journal_mode = {mode}", "cache_size = 2", "cache_spill = 1")
    one.run(add("one", 300), "BEGIN", "UPDATE note SET text = 'lost', pad = randomblob(999)")
    one.kill()
    torn = path.read_bytes()
    assert place.snapshot().stored.snapshot.complete
    assert path.read_bytes() == torn
    assert notes(place.restored() / "notes.db") == ["one"] * 300


@pytest.mark.parametrize(("at", "left"), [(8, 0), (16, 0), (24, 0), (32 + 8, 0), (32 + 24 + 50, 0)],
                         ids=["page-size", "salt", "checksum", "frame-salt", "frame"])  # fmt: skip
def test_a_wal_counts_up_to_where_its_checksums_hold(place: Place, at: int, left: int) -> None:
    """SQLite itself, on a copy, is the judge of what such a WAL means."""
    path = place.palace / "notes.db"
    left_by_crash(path)
    os.unlink(f"{path}-shm")
    flip(Path(f"{path}-wal"), at, 0x10)
    check_as_sqlite_recovers(place, path)


@pytest.mark.parametrize("size", [0, 10, 32, 60, 5000, 4152 * 30 + 7])
def test_a_truncated_wal_counts_up_to_its_last_commit(place: Place, size: int) -> None:
    path = place.palace / "notes.db"
    left_by_crash(path)
    os.unlink(f"{path}-shm")
    os.truncate(f"{path}-wal", size)
    check_as_sqlite_recovers(place, path)


def check_as_sqlite_recovers(place: Place, path: Path) -> None:
    copy = place.root / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    assert place.snapshot().stored.snapshot.complete
    with contextlib.closing(sqlite3.connect(copy)) as db:
        expected = [text for (text,) in db.execute("SELECT text FROM note ORDER BY id")]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    restored = place.restored()
    assert notes(restored / "notes.db") == expected
    assert os.listdir(restored) == ["notes.db"]


@pytest.mark.parametrize("at", [16, 24, 32 + 8, 32 + 4096 + 24 + 8])
def test_a_live_database_whose_wal_is_not_what_its_index_says_is_told(
    place: Place, at: int
) -> None:
    """Salts and sizes say so under the pin; its checksums are for who makes the index again."""
    path = place.palace / "notes.db"
    (place.palace / "other").write_bytes(b"kept")
    with service(path) as one, service(place.palace / "sound.db") as sound:
        one.run(add("one", 100))
        sound.run(add("two"))
        flip(Path(f"{path}-wal"), at)
        snapshot = place.snapshot().stored.snapshot
        if at == 24:  # the header's own checksum, which no reader of a live WAL looks at
            assert snapshot.complete
        else:
            assert missing(snapshot) == [b"notes.db"]
            assert sorted(os.listdir(place.restored())) == ["other", "sound.db"]
        flip(Path(f"{path}-wal"), at)
        assert notes(place.restored() / "sound.db") == ["two"]


@pytest.mark.parametrize("size", [3, 4096, 10_000])
def test_a_live_database_that_is_truncated_does_not_keep_the_rest_from_it(
    place: Place, size: int
) -> None:
    """What its WAL has of it comes with it, and SQLite is the judge of what that means."""
    path = place.palace / "notes.db"
    with service(path) as one, service(place.palace / "sound.db") as sound:
        one.run(add("one", 100), "PRAGMA wal_checkpoint(PASSIVE)", add("two"))
        sound.run(add("two"))
        os.truncate(path, size)
        snapshot = place.snapshot().stored.snapshot
        assert snapshot.complete, snapshot.missing
        restored = place.restored()
        assert notes(restored / "sound.db") == ["two"]
        (pages,) = one.run("PRAGMA page_count")[0]
    assert (restored / "notes.db").stat().st_size == int(str(pages)) * 4096


@pytest.mark.parametrize("size", [3, 100, 4096, 10_000])
def test_a_truncated_database_is_captured_byte_for_byte(place: Place, size: int) -> None:
    path = place.palace / "notes.db"
    with service(path, "journal_mode = DELETE") as one:
        one.run(add("one", 100))
    os.truncate(path, size)
    assert place.snapshot().stored.snapshot.complete
    place.check_restores()


def test_a_database_that_is_not_sound_is_captured_byte_for_byte(place: Place) -> None:
    path = place.palace / "notes.db"
    with service(path, "journal_mode = DELETE") as one:
        one.run(add("one", 300))
    for at in range(4096, path.stat().st_size, 4096):
        flip(path, at)
    with contextlib.closing(sqlite3.connect(path)) as db, contextlib.suppress(sqlite3.Error):
        assert db.execute("PRAGMA quick_check").fetchone() != ("ok",)
    assert place.snapshot().stored.snapshot.complete
    place.check_restores()


@pytest.mark.parametrize("data", [b"", b"x", b"no database" * 1000, b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_a_file(place: Place, data: bytes) -> None:
    (place.palace / "notes.db").write_bytes(data)
    (place.palace / "notes.db-wal").write_bytes(b"" if data.startswith(b"SQLite") else b"mine")
    os.mkdir(place.palace / "directory.db")
    assert place.snapshot().stored.snapshot.complete
    restored = place.restored()
    assert (restored / "notes.db").read_bytes() == data
    if not data.startswith(b"SQLite"):
        place.check_restores()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_held_exclusively_is_missing_and_the_rest_is_kept(
    place: Place, impatient: None, mode: str
) -> None:
    held, free = place.palace / "held.db", place.palace / "free.db"
    (place.palace / "file").write_bytes(b"kept")
    pragmas = "locking_mode = EXCLUSIVE", f"journal_mode = {mode}"
    with service(held, *pragmas) as one, service(free) as other:
        one.run(add("one", 100))
        other.run(add("two", 100))
        snapshot = place.snapshot().stored.snapshot
        assert missing(snapshot) == [b"held.db"]
        assert "exclusively" in snapshot.missing[0].reason
    restored = place.restored()
    assert sorted(os.listdir(restored)) == ["file", "free.db"]
    assert notes(restored / "free.db") == ["two"] * 100
    assert place.snapshot().stored.snapshot.complete
    assert notes(place.restored() / "held.db") == ["one"] * 100


KEY = 0x5A


def encrypt(path: Path) -> None:
    """Make of a database what SQLCipher makes: pages that only the key tells, sound checksums."""
    path.write_bytes(bytes(byte ^ KEY for byte in path.read_bytes()))
    wal = Path(f"{path}-wal")
    data = bytearray(wal.read_bytes() if wal.exists() else b"")
    if not data:
        return
    size = struct.unpack_from(">I", data, 8)[0]
    sums = struct.unpack_from(">2I", data, 24)
    order = ">" if data[3] & 1 else "<"
    for at in range(32, len(data), 24 + size):
        page = bytes(byte ^ KEY for byte in data[at + 24 : at + 24 + size])
        data[at + 24 : at + 24 + size] = page
        sums = checksum(order, checksum(order, sums, data[at : at + 8]), page)
        struct.pack_into(">2I", data, at + 16, *sums)
    with wal.open("r+b") as file:
        file.write(data)


def checksum(order: str, sums: tuple[int, ...], data: bytes | bytearray) -> tuple[int, ...]:
    """Return the checksum of https://www.sqlite.org/fileformat2.html#checksum_algorithm."""
    first, second = sums
    for one, two in struct.iter_unpack(f"{order}2I", data):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_an_encrypted_database_in_use_is_captured_without_its_key(
    place: Place, pins: str, mode: str
) -> None:
    path = place.palace / "secret.db"
    with service(path, f"journal_mode = {mode}", "wal_autocheckpoint = 0") as one:
        one.run(add("one", 300), "PRAGMA wal_checkpoint(PASSIVE)", add("two", 100))
        one.run("BEGIN", "SELECT count(*) FROM note")  # idle ones in rollback mode hold nothing
        encrypt(path)
        let_settle()
        for _ in range(2):
            done = place.snapshot()
            pinned = CapturedAs.PINNED if pins == "locks" else CapturedAs.STABLE
            assert how(done.stored.snapshot) == {b"secret.db": pinned}
            ((noted, words),) = done.notes
            assert (noted, words.split(":")[0]) == (b"secret.db", "encrypted")
            assert ("lock" in words) == (pins == "locks")
        assert not done.fresh
    restored = place.restored()
    assert os.listdir(restored) == ["secret.db"], "a WAL beside the image would be replayed over it"
    encrypt(restored / "secret.db")
    assert len(notes(restored / "secret.db")) == 400


def test_a_new_database_may_have_everything_in_its_wal(place: Place) -> None:
    path = place.palace / "notes.db"
    with service(path) as one:
        one.run(add("one", 300))
        assert path.stat().st_size <= 4096
        assert place.snapshot().stored.snapshot.complete
        assert (place.restored() / "notes.db").stat().st_size > 300_000
    assert notes(place.restored() / "notes.db") == ["one"] * 300


@pytest.mark.parametrize("page_size", [512, 1024, 32768, 65536])
@pytest.mark.parametrize("auto_vacuum", [0, 1, 2])
def test_every_page_size_and_auto_vacuum(place: Place, page_size: int, auto_vacuum: int) -> None:
    path = place.palace / "notes.db"
    pragmas = f"page_size = {page_size}", f"auto_vacuum = {auto_vacuum}", *WAL
    with service(path, *pragmas) as one:
        one.run(add("one", 200), "PRAGMA wal_checkpoint(PASSIVE)")
        one.run("DELETE FROM note WHERE id > 20", "PRAGMA incremental_vacuum", "VACUUM", add("two"))
        assert place.snapshot().stored.snapshot.complete
    assert notes(place.restored() / "notes.db") == ["one"] * 20 + ["two"]
    one = service(place.palace / "crashed.db", *pragmas)
    one.run(add("three", 200))
    one.kill()
    place.snapshot()
    assert notes(place.restored() / "crashed.db") == ["three"] * 200


def test_modules_that_are_not_loaded_do_not_matter(place: Place) -> None:
    path = place.palace / "vectors.db"
    with service(path) as one:
        one.run(
            "PRAGMA writable_schema = ON",
            "INSERT INTO sqlite_master VALUES('table', 'vec_items', 'vec_items', 0, "
            "'CREATE VIRTUAL TABLE vec_items USING vec0(embedding float[4])')",
            add("one", 100),
        )
        assert place.snapshot().stored.snapshot.complete
    with contextlib.closing(sqlite3.connect(place.restored() / "vectors.db")) as db:
        assert db.execute("SELECT count(*) FROM note").fetchone() == (100,)
        assert db.execute("SELECT sql LIKE '%vec0%' FROM sqlite_master WHERE name = 'vec_items'"
                          ).fetchone() == (1,)  # fmt: skip


@pytest.mark.parametrize("place_in", ["", "deep/er/"])
@pytest.mark.parametrize("name", ["notes.db", "notes", "state.bin"])
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_databases_of_every_name_and_place_are_found(
    place: Place, place_in: str, name: str, mode: str
) -> None:
    (place.palace / place_in).mkdir(parents=True, exist_ok=True)
    path = place.palace / place_in / name
    with service(path, f"journal_mode = {mode}", "wal_autocheckpoint = 0") as one:
        for text in ("one", "two", "three"):
            one.run(add(text, 100))
            snapshot = place.snapshot().stored.snapshot
            assert how(snapshot) == {os.fsencode(place_in + name): CapturedAs.PINNED}
            found = notes(place.restored() / place_in / name)
            assert (len(found) % 100, found[-1]) == (0, text)


def test_a_database_of_another_name_belongs_to_the_instant_from_the_second_time_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: list[list[bytes]] = []
    original = DatabaseCapture.capture

    def watched(self: DatabaseCapture, targets: list[Target]) -> object:
        captured.append(sorted(one.path for one in targets))
        return original(self, targets)

    with (
        service(place.palace / "a.db") as one,
        service(place.palace / "odd", "journal_mode = DELETE") as two,
    ):
        one.run(add("one"))
        two.run(add("one"))
        let_settle()  # what changed just now is not noted
        place.snapshot()
        two.run(add("two"))
        monkeypatch.setattr(DatabaseCapture, "capture", watched)
        place.snapshot()
    assert captured[0] == [b"a.db", b"odd"]


def test_a_symlinked_database_stays_a_symlink(place: Place) -> None:
    with service(place.root / "outside.db") as one:
        one.run(add("one"))
        os.symlink(place.root / "outside.db", place.palace / "notes.db")
        os.symlink("nowhere.db", place.palace / "dangling.db")
        assert place.snapshot().stored.snapshot.complete
    restored = place.restored()
    assert os.readlink(restored / "notes.db") == str(place.root / "outside.db")
    assert sorted(os.listdir(restored)) == ["dangling.db", "notes.db"]


def test_a_database_bigger_than_the_memory_for_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY", 200_000)
    with service(place.palace / "notes.db") as one, service(place.palace / "more.db") as two:
        one.run(add("one", 900), "PRAGMA wal_checkpoint(PASSIVE)", add("two", 900))
        two.run(add("three", 900))
        assert place.snapshot().stored.snapshot.complete
    restored = place.restored()
    assert notes(restored / "notes.db") == ["one"] * 900 + ["two"] * 900
    assert notes(restored / "more.db") == ["three"] * 900


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
def test_what_is_checkpointed_before_it_was_read_again_is_captured_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(spool, "MEMORY", 200_000)
    unpin = DatabaseCapture._unpin
    moments = 0

    def meddling(self: DatabaseCapture, *rest: object) -> None:
        nonlocal moments
        unpin(self, *rest)  # type: ignore[arg-type]
        if moments < times:
            moments += 1
            for one in (first, second):
                one.run("UPDATE note SET pad = randomblob(1000)", add("more"))
                one.run("PRAGMA wal_checkpoint(TRUNCATE)")

    monkeypatch.setattr(DatabaseCapture, "_unpin", meddling)
    with service(place.palace / "a.db") as first, service(place.palace / "b.db") as second:
        for one in (first, second):
            one.run(add("one", 900))
        assert place.snapshot().stored.snapshot.complete
    restored = place.restored()
    found = notes(restored / "a.db")
    assert found == notes(restored / "b.db")
    assert found == ["one"] * 900 + ["more"] * (len(found) - 900)
    assert len(found) - 900 == (1 if times == 1 else databases.ASIDE)
    assert moments == len(found) - 900 + (times > 1)


def test_a_palace_that_disappears_is_an_error_and_no_snapshot(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(place.palace / "notes.db") as one:
        one.run(add("one", 100))
    (place.palace / "folder").mkdir()
    original = walk.walk

    def vanishing(*rest: object) -> object:
        shutil.rmtree(place.palace)
        return original(*rest)  # type: ignore[arg-type]

    monkeypatch.setattr("palatine.capture.place.walk", vanishing)
    with place.open() as repository:
        with pytest.raises(SourceError):
            repository.snapshot(place.palace)
        assert repository.log() == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may enter and write to."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


@pytest.mark.skipif(os.getuid() != 0, reason="changing the user needs root")
@pytest.mark.parametrize("suffix", ["", "-shm", "-wal"])
def test_what_another_user_may_not_read_is_missing(shared: Path, suffix: str) -> None:
    place = Place(shared)
    with Service(place.palace / "notes.db", *WAL) as one:
        one.run("CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT, pad BLOB)", add("one", 100))
        (place.palace / "file").write_bytes(b"kept")
        for path in place.palace.iterdir():
            path.chmod(0o644)
        (place.palace / f"notes.db{suffix}").chmod(0o600)
        repository = shared / "its-own"

        def work() -> None:
            palatine.init(repository, "blake3")
            with palatine.open_repository(
                repository, cache=shared / "its-cache", settings=SETTINGS
            ) as opened:
                snapshot = opened.snapshot(place.palace).stored.snapshot
                assert missing(snapshot) == [b"notes.db"], snapshot.missing
                assert snapshot.stats.files == 1

        assert as_nobody(work) == 0
