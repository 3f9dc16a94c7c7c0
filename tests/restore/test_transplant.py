"""Databases changed under services that have them open: every variant that SQLite has."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import count, small_disk

from palatine.errors import Locked, NoSpace, Refused
from palatine.sqlite import transplant as transplanting
from palatine.sqlite.fitting import fit, masked
from palatine.sqlite.transplant import Job, Moments, Terms, schema_cookie, transplant
from palatine.testing import generations
from palatine.testing.builders import FakeClock
from palatine.testing.generations import check, make, serving
from palatine.testing.sqlite_service import Service

WAL, DELETE = "journal_mode = wal", "journal_mode = delete"
NAMES = ("a.db", "b.db")


class Pair:
    """Two live databases of the generation `old`, and images of `new` beside them."""

    def __init__(self, root: Path, *pragmas: str, rows: tuple[int, int] = (60, 90)) -> None:
        self.root = root
        self.databases = [root / name for name in NAMES]
        self.images = {
            generation: [root / f"{generation}-{name}" for name in NAMES]
            for generation in ("old", "new")
        }
        for generation, size in zip(("old", "new"), rows, strict=True):
            for path in self.images[generation]:
                make(path, generation, size, *pragmas)
        for image, live in zip(self.images["old"], self.databases, strict=True):
            shutil.copy(image, live)

    def put(self, generation: str = "new", **options: object) -> None:
        put(list(zip(self.images[generation], self.databases, strict=True)), **options)  # type: ignore[arg-type]

    def generations(self) -> list[str]:
        return [whole(path) for path in self.databases]


def put(
    pairs: list[tuple[Path, Path]],
    written: Callable[[list[int]], None] = lambda _: None,
    committed: Callable[[], None] = lambda: None,
    terms: Terms | None = None,
) -> None:
    for image, database in pairs:
        fit(image, database)
    jobs = [Job(image, database) for image, database in pairs]
    transplant(jobs, Moments(written, committed), terms or Terms())


def whole(path: Path) -> str:
    said, name = check(path)
    assert said == ""
    return name


def pragma(path: Path, name: str) -> object:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(f"PRAGMA {name}").fetchone()[0]


class Impatient(FakeClock):
    """A clock whose sleepers do something instead."""

    def __init__(self, instead: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._instead = instead

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._instead()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, WAL)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Terms:
    """Terms under which locks are waited for shortly, and patience ends without time going by."""
    monkeypatch.setattr(transplanting, "HOLD", 0.02)
    return Terms(1.0, Impatient())


@pytest.mark.torture
@pytest.mark.parametrize("mode", ["wal", "delete", "truncate"])
def test_a_service_sees_one_generation_and_what_it_wrote(tmp_path: Path, mode: str) -> None:
    pair = Pair(tmp_path, f"journal_mode = {mode}", rows=(60, 400))
    rounds = count(12, 200)
    with serving(*pair.databases) as met:
        for number in range(rounds):
            wanted = ("new", "old")[number % 2]
            pair.put(wanted)
            assert pair.generations() == [wanted, wanted]
    assert (met.wrong, met.busy) == ([], 0)
    assert met.changes or met.reads < 5  # it may have had no turn meanwhile
    print(f"{mode}: {met}")
    # nothing of what was there before is replayed when the service has closed
    assert pair.generations() == [("new", "old")[(rounds - 1) % 2]] * 2
    assert [path for path in tmp_path.iterdir() if path.name.endswith(("-wal", "-shm"))] == []


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, "old", 40)
    for change, expected in [
        ("UPDATE account SET generation = 'new' WHERE id = 7", "new"),
        ("UPDATE account SET balance = 0 WHERE id = 7", "3900"),
        ("DELETE FROM note WHERE id = 'note-3'", "19"),
        ("INSERT INTO generation VALUES('new', 3)", "new"),
        ("INSERT INTO written VALUES(1, 'new')", "new"),
    ]:
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        with contextlib.closing(sqlite3.connect(copy)) as db, db:
            db.execute(change)
        assert expected in check(copy)[0]
    assert check(path) == ("", "old")


def test_a_reader_in_a_transaction_keeps_what_it_reads(pair: Pair) -> None:
    with Service(pair.databases[0]) as service:
        service.run("BEGIN", "SELECT * FROM account")
        pair.put()
        assert service.run("SELECT DISTINCT generation FROM account") == [["old"]]
        service.run("COMMIT")
        assert service.run("SELECT DISTINCT generation FROM account") == [["new"]]
    assert pair.generations() == ["new", "new"]


@pytest.mark.parametrize("mode", [WAL, DELETE])
def test_a_write_transaction_is_waited_for(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(tmp_path, mode)
    monkeypatch.setattr(transplanting, "HOLD", 0.02)
    with Service(pair.databases[1]) as service:
        service.run("BEGIN IMMEDIATE", "INSERT INTO written VALUES(1, 'old')")
        waits = []

        def commit() -> None:
            waits.append(1)
            if len(waits) == 2:
                service.run("COMMIT")

        pair.put(terms=Terms(60, Impatient(commit)))
        assert len(waits) == 2  # it was not to be had before
        assert service.run("SELECT count(*) FROM written") == [[0]]
    assert pair.generations() == ["new", "new"]


@pytest.mark.parametrize("mode", [WAL, DELETE])
def test_an_exclusive_holder_leaves_all_as_they_are(
    tmp_path: Path, mode: str, impatient: Terms
) -> None:
    pair = Pair(tmp_path, mode)
    with Service(pair.databases[1], "locking_mode = EXCLUSIVE") as service:
        service.run("INSERT INTO written VALUES(1, 'old')")
        with pytest.raises(Locked, match=r"b\.db"):
            pair.put(terms=impatient)
        service.run("INSERT INTO written VALUES(2, 'old')")
    assert pair.generations() == ["old", "old"]


def test_readers_that_never_end_leave_all_as_they_are(tmp_path: Path, impatient: Terms) -> None:
    pair = Pair(tmp_path, DELETE)
    with Service(pair.databases[0]) as first, Service(pair.databases[0]) as second:
        readers = [first, second]
        first.run("BEGIN", "SELECT * FROM account")

        def relieve() -> None:
            """Have one begin before the other ends."""
            readers[1].run("BEGIN", "SELECT * FROM account")
            readers[0].run("COMMIT")
            readers.reverse()

        terms = Terms(2.0, Impatient(relieve))
        with pytest.raises(Locked, match=r"a\.db"):
            pair.put(terms=terms)
        readers[0].run("COMMIT")
    assert pair.generations() == ["old", "old"]


def test_another_page_size_is_rebuilt_where_there_is_a_wal(tmp_path: Path) -> None:
    live, image = tmp_path / "live.db", tmp_path / "image.db"
    make(live, "old", 40, "page_size = 1024", WAL)
    make(image, "new", 90, "page_size = 8192", WAL)
    with contextlib.closing(sqlite3.connect(image)) as db, db:
        db.execute("CREATE TABLE bare(text)")  # no key and no index: its rowids are hard to keep
        db.executemany("INSERT INTO bare(rowid, text) VALUES(?, ?)", [(7, "a"), (900, "b")])
    with serving(live) as met:
        put([(image, live)])
    assert met.wrong == []
    assert whole(live) == "new"
    assert pragma(live, "page_size") == 1024
    with contextlib.closing(sqlite3.connect(live)) as db:
        assert db.execute("SELECT rowid FROM bare").fetchall() == [(7,), (900,)]


def test_another_page_size_is_taken_over_without_a_wal(tmp_path: Path) -> None:
    live, image = tmp_path / "live.db", tmp_path / "image.db"
    make(live, "old", 40, "page_size = 1024", DELETE)
    make(image, "new", 90, "page_size = 8192", DELETE)
    with serving(live) as met:
        put([(image, live)])
    assert met.wrong == []
    assert whole(live) == "new"
    assert pragma(live, "page_size") == 8192


def test_what_cannot_be_rebuilt_is_refused(tmp_path: Path) -> None:
    live, image = tmp_path / "live.db", tmp_path / "image.db"
    make(live, "old", 40, "page_size = 1024", WAL)
    with contextlib.closing(sqlite3.connect(image)) as db:
        db.create_collation("theirs", lambda a, b: (a > b) - (a < b))
        db.execute("CREATE TABLE word(text TEXT COLLATE theirs UNIQUE)")
        db.execute("INSERT INTO word VALUES('a')")
        db.commit()
    with pytest.raises(Refused, match="theirs"):
        put([(image, live)])
    assert whole(live) == "old"
    assert not [path for path in tmp_path.iterdir() if "rebuilt" in path.name]


@pytest.mark.parametrize(("mine", "its"), [(WAL, DELETE), (DELETE, WAL)])
def test_a_database_keeps_its_journal_mode(tmp_path: Path, mine: str, its: str) -> None:
    live, image = tmp_path / "live.db", tmp_path / "image.db"
    make(live, "old", 40, mine)
    make(image, "new", 50, its)
    with serving(live) as met:
        put([(image, live)])
    assert met.wrong == []
    assert whole(live) == "new"
    assert f"journal_mode = {pragma(live, 'journal_mode')}" == mine


@pytest.mark.parametrize("mode", [WAL, DELETE])
@pytest.mark.parametrize("vacuum", [0, 1, 2])
def test_a_reader_with_a_memory_map_survives_shrinking_and_growing(
    tmp_path: Path, mode: str, vacuum: int
) -> None:
    pair = Pair(tmp_path, f"auto_vacuum = {vacuum}", mode, rows=(4000, 20))
    with Service(pair.databases[0], "mmap_size = 268435456") as service:
        for generation in ("new", "old", "new", "old"):
            rows = service.run("SELECT count(*), sum(length(pad)) FROM account")
            assert rows[0][0] in (4000, 20)
            pair.put(generation)
            if mode == WAL:
                service.run("PRAGMA wal_checkpoint(TRUNCATE)")
            assert service.run("SELECT DISTINCT generation FROM account") == [[generation]]
    assert pair.generations() == ["old", "old"]


def test_a_service_whose_tables_are_gone_is_told_so_and_gets_them_back(pair: Pair) -> None:
    bare = pair.root / "bare.db"
    with contextlib.closing(sqlite3.connect(bare)) as db:
        db.execute("CREATE TABLE other(text)")
    live = pair.databases[0]
    with Service(live) as service:
        service.run("SELECT * FROM account")
        put([(bare, live)])
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            service.run("SELECT * FROM account")
        put([(pair.images["new"][0], live)])
        assert service.run("SELECT DISTINCT generation FROM account") == [["new"]]
    assert whole(live) == "new"


@pytest.mark.parametrize("mode", [WAL, DELETE])
@pytest.mark.parametrize("vacuum", [0, 1, 2])
@pytest.mark.parametrize("kind", ["empty file", "one page", "a view"])
def test_databases_of_one_page_and_none(tmp_path: Path, mode: str, vacuum: int, kind: str) -> None:
    image, live, other = (tmp_path / name for name in ("image.db", "live.db", "other.db"))
    make(live, "old", 40, mode)
    make(other, "old", 40, mode)
    image.touch()
    if kind != "empty file":
        with contextlib.closing(sqlite3.connect(image, isolation_level=None)) as db:
            db.execute(f"PRAGMA auto_vacuum = {vacuum}")
            db.execute("PRAGMA user_version = 7")
            if kind == "a view":
                db.execute("CREATE VIEW one AS SELECT 1")
        assert image.stat().st_size == 4096
    make(tmp_path / "new.db", "new", 50, mode)
    pairs = [(image, live), (tmp_path / "new.db", other)]

    def fail(_: list[int]) -> None:
        raise NoSpace("no room for the note")

    with Service(live) as service:
        with pytest.raises(NoSpace):  # even one page waits for the others
            put(pairs, fail)
        assert [whole(live), whole(other)] == ["old", "old"]
        put(pairs)
        assert service.run("PRAGMA integrity_check") == [["ok"]]
        names = [row[0] for row in service.run("SELECT name FROM sqlite_schema")]
        assert names == (["one"] if kind == "a view" else [])
        if kind != "empty file":
            assert service.run("PRAGMA user_version") == [[7]]
            assert service.run("PRAGMA auto_vacuum") == [[vacuum]]
        service.run("CREATE TABLE anew(text)", "INSERT INTO anew VALUES('x')")
        assert service.run("PRAGMA integrity_check") == [["ok"]]
    assert whole(other) == "new"


def test_a_database_that_was_an_empty_file(tmp_path: Path) -> None:
    image, live = tmp_path / "image.db", tmp_path / "live.db"
    live.touch()
    make(image, "new", 40, WAL)
    with Service(live) as service:
        put([(image, live)])
        assert service.run("SELECT DISTINCT generation FROM account") == [["new"]]
    assert whole(live) == "new"


def test_sidecars_of_an_image_count(tmp_path: Path) -> None:
    """A snapshot with --unsafe-files has them."""
    origin, live = tmp_path / "origin.db", tmp_path / "live.db"
    make(origin, "older", 40, WAL)
    make(live, "old", 40, WAL)
    image = tmp_path / "image.db"
    with Service(origin, "wal_autocheckpoint = 0") as service:
        service.run("SELECT 1 FROM account")
        with contextlib.closing(sqlite3.connect(origin, isolation_level=None)) as db:
            generations.fill(db, "new", 40)
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{origin}{suffix}", f"{image}{suffix}")
    put([(image, live)])
    assert whole(live) == "new"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("image.db-")]


@contextlib.contextmanager
def filled(disk: Path, leave: int) -> Iterator[None]:
    """Fill a disk but for some bytes."""
    room = os.statvfs(disk)
    filler = disk / "filler"
    with contextlib.suppress(OSError):  # the service may have taken of it meanwhile
        filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - leave)))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.torture
@pytest.mark.parametrize("mode", [WAL, DELETE])
def test_a_full_disk_leaves_all_as_they_are(tmp_path: Path, mode: str) -> None:
    """Wherever it is full: also when one database would still commit and the other not."""
    steps = count(5, 64)
    outcomes = set()
    with small_disk(tmp_path / "disk", 30 << 20):
        pair = Pair(tmp_path / "disk", mode, rows=(60, 4000))
        with serving(*pair.databases) as met:
            for number in range(steps):
                leave = (1 << 20) + number * (16 << 20) // steps
                with filled(tmp_path / "disk", leave), contextlib.suppress(NoSpace):
                    pair.put()
                (generation,) = set(pair.generations())
                outcomes.add(generation)
                pair.put("old")
            pair.put()
        # the service itself may have found the disk full, and met nothing worse
        assert [one for one in met.wrong if "is full" not in one] == []
        assert pair.generations() == ["new", "new"]
    assert outcomes == {"old", "new"}


def test_what_the_callback_raises_takes_all_back(pair: Pair) -> None:
    def fail(_: list[int]) -> None:
        raise NoSpace("no room for the note")

    with serving(*pair.databases) as met:
        for _ in range(3):
            with pytest.raises(NoSpace):
                pair.put(written=fail)
            assert pair.generations() == ["old", "old"]
    assert (met.wrong, met.changes) == ([], 0)


@pytest.mark.parametrize("mode", [WAL, DELETE])
def test_the_cookie_is_that_of_the_last_commit_and_raised_by_one(tmp_path: Path, mode: str) -> None:
    pair = Pair(tmp_path, mode)
    before: list[list[int]] = []
    with Service(pair.databases[0]) as service:
        service.run("PRAGMA wal_autocheckpoint = 0", "CREATE TABLE later(text)")
        (cookie,) = service.run("PRAGMA schema_version")[0]
        pair.put(written=before.append)
        assert before[0][0] == cookie
        assert service.run("PRAGMA schema_version") == [[cookie + 1]]
    assert schema_cookie(pair.databases[0]) == before[0][0] + 1


def test_none_is_committed_before_all_are_written(pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(Service(path)) for path in pair.databases]
        seen = []

        def written(_: list[int]) -> None:
            for service in services:
                seen.extend(service.run("SELECT DISTINCT generation FROM account"))
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    service.run("PRAGMA busy_timeout = 10", "INSERT INTO written VALUES(1, 'old')")

        pair.put(written=written)
        assert seen == [["old"], ["old"]]
    assert pair.generations() == ["new", "new"]


def test_equal_content_has_equal_first_pages(pair: Pair) -> None:
    """What `masked` leaves out is what a transplant leaves of the old database, and no more."""
    live = pair.databases[0]
    pair.put()
    first = pair.images["new"][0].read_bytes()
    second = live.read_bytes()
    assert first != second
    assert masked(first[:4096]) == masked(second[:4096])
    assert first[4096:] == second[4096:]
    with contextlib.closing(sqlite3.connect(live)) as db, db:
        db.execute("PRAGMA user_version = 3")
    assert masked(first[:4096]) != masked(live.read_bytes()[:4096])
