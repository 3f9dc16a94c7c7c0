"""Restoring into palaces whose services keep running."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.restore.live_palaces import TwoGenerations, files_of
from tests.support import Place, as_nobody, count, small_disk

import palatine
from palatine.clock import Clock
from palatine.errors import NoSpace, PathNotFound, Refused
from palatine.restore import intent
from palatine.restore.liveplan import LivePlan
from palatine.restore.task import Changed
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES
from palatine.testing.generations import check, fill, make, serving
from palatine.testing.sqlite_service import Service

ROUNDS = count(6, 50)


@pytest.fixture
def two(place: Place) -> TwoGenerations:
    return TwoGenerations(place)


@pytest.mark.torture
@pytest.mark.parametrize("modes", [("wal", "wal"), ("delete", "truncate"), ("wal", "delete")])
def test_a_service_sees_one_state_and_its_own_writes(place: Place, modes: tuple[str, str]) -> None:
    two = TwoGenerations(place, *modes)
    inode = (two.palace / "same").stat().st_ino
    with serving(*two.databases) as met:
        for number in range(ROUNDS):
            generation = ("old", "new")[number % 2]
            two.restore(generation)
            two.check(generation)
    assert met.wrong == []
    assert met.changes >= ROUNDS
    assert (two.palace / "same").stat().st_ino == inode
    # nothing of what was there before comes back when the service has closed
    two.check(generation)
    two.check_at_rest()
    print(f"{ROUNDS} restores, {modes}: {met}")


def test_every_kind_of_change_without_a_service(two: TwoGenerations) -> None:
    for generation in ("old", "old", "new"):
        two.restore(generation)
        two.check(generation)
        two.check_at_rest()


def test_what_is_equal_is_not_touched(two: TwoGenerations) -> None:
    two.restore("old")
    before = {path: path.lstat() for path in two.palace.rglob("*")}
    done = two.restore("old")
    assert (done.files, done.removed, done.changed, done.size) == (0, 0, 0, 0)
    for path, status in before.items():
        now = path.lstat()
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (
            status.st_ino, status.st_mtime_ns, status.st_ctime_ns,
        ) or path.is_dir()  # fmt: skip


def test_deletion_only_when_asked_for(two: TwoGenerations) -> None:
    extra = two.palace / "notes" / "extra"
    extra.write_text("extra")
    make(two.palace / "extra.db", "new", 10, "journal_mode = wal")
    two.restore("old", delete=False)
    assert extra.read_text() == "extra"
    assert check(two.palace / "extra.db") == ("", "new")
    assert (two.palace / "notes" / "deep" / "new" / "own").exists()
    two.restore("old")
    two.check("old")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(two: TwoGenerations) -> None:
    two.restore("old")
    with contextlib.closing(sqlite3.connect(two.databases[0])) as db, db:
        db.execute("UPDATE account SET balance = 7 WHERE id = 1")
    (two.palace / "notes" / "3.md").unlink()
    (two.palace / "extra").touch()
    before = state_of(two.palace)
    with two.place.open() as repository:
        log = repository.log()
    done = two.restore("old", dry_run=True)
    found = [(one.deed, one.path) for one in done.actions if one.deed != "meta"]
    assert found == [("write", b"a.db"), ("remove", b"extra"), ("add", b"notes/3.md")]
    assert differences(before, state_of(two.palace)) == []
    with two.place.open() as repository:
        assert repository.log() == log


def test_chosen_paths_only(two: TwoGenerations) -> None:
    with serving(*two.databases) as met:
        two.restore("old", delete=False, paths=["a.db", "notes/3.md"])
        assert check(two.databases[0]) == ("", "old")
        assert check(two.databases[1]) == ("", "new")
    assert met.wrong == []
    assert (two.palace / "notes" / "3.md").read_text() == "old 3"
    assert (two.palace / "notes" / "4.md").read_text() == "new 4"


def test_what_was_there_comes_back(two: TwoGenerations) -> None:
    with Service(two.databases[0]) as service:
        service.run("INSERT INTO written VALUES(1, 'new')")
        two.restore("old")
        assert service.run("SELECT * FROM written") == []
        with two.place.open() as repository:
            repository.undo(two.palace)
        assert service.run("SELECT * FROM written") == [[1, "new"]]
        two.check("new")
    two.check("new")


def test_the_wal_of_a_killed_service_is_not_replayed(two: TwoGenerations) -> None:
    services = [Service(path, "wal_autocheckpoint = 0") for path in two.databases]
    for service in services:
        service.run("INSERT INTO written VALUES(1, 'new')")
        service.kill()
    assert (two.palace / "a.db-wal").stat().st_size
    two.restore("old")
    two.check("old")
    two.check_at_rest()
    with two.place.open() as repository:
        repository.undo(two.palace)
    with contextlib.closing(sqlite3.connect(two.databases[0])) as db:
        assert db.execute("SELECT number FROM written").fetchall() == [(1,)]


def test_a_hot_journal_is_not_rolled_back_into_what_comes(place: Place) -> None:
    two = TwoGenerations(place, "delete", "persist")
    with contextlib.ExitStack() as stack:
        for path in two.databases:
            service = Service(path, "cache_size = 1", "synchronous = OFF")
            stack.callback(service.close)
            service.run("BEGIN", "UPDATE account SET generation = 'wrong', pad = randomblob(300)")
            service.kill()
    assert (two.palace / "a.db-journal").stat().st_size
    two.restore("old")
    two.check("old")


def foreign_wal(path: Path, where: Path) -> None:
    """Put the WAL of another database at a path, one that SQLite would replay."""
    make(where / "foreign.db", "foreign", 40, "journal_mode = wal")
    service = Service(where / "foreign.db", "wal_autocheckpoint = 0")
    service.run("UPDATE account SET generation = 'wrong'")
    service.kill()
    assert (where / "foreign.db-wal").stat().st_size
    shutil.move(where / "foreign.db-wal", path)
    for name in ("foreign.db", "foreign.db-shm"):
        (where / name).unlink()


@pytest.mark.parametrize("delete", [False, True])
def test_a_foreign_wal_beside_a_database_that_comes_back(
    two: TwoGenerations, delete: bool, tmp_path: Path
) -> None:
    for path in two.databases:
        path.unlink()
        foreign_wal(Path(f"{path}-wal"), tmp_path)
    two.restore("old", delete=delete)
    assert [check(path) for path in two.databases] == [("", "old")] * 2
    two.check_at_rest()


def test_a_database_goes_with_its_sidecars_or_not_at_all(two: TwoGenerations) -> None:
    extra = two.palace / "extra.db"
    make(extra, "extra", 10, "journal_mode = wal")
    service = Service(extra, "wal_autocheckpoint = 0")
    service.run("INSERT INTO written VALUES(1, 'extra')")
    before = files_of(two.palace)
    with pytest.raises(Refused, match=r"extra\.db.*removed"):
        two.restore("old")
    two.restore("new", delete=False)
    assert files_of(two.palace).keys() == before.keys()
    assert [check(path) for path in two.databases] == [("", "new")] * 2
    service.kill()
    two.restore("old")
    two.check("old")


def test_an_idle_user_of_a_rollback_database_is_seen(two: TwoGenerations) -> None:
    """It holds no lock, but it has the file open."""
    extra = two.palace / "extra.db"
    make(extra, "extra", 10, "journal_mode = delete")
    with Service(extra) as service:
        service.run("SELECT * FROM account")
        with pytest.raises(Refused, match=r"extra\.db"):
            two.restore("old")
        assert [check(path) for path in two.databases] == [("", "new")] * 2
    two.restore("old")
    two.check("old")


def test_databases_that_come_where_other_files_were_and_the_other_way_round(
    two: TwoGenerations,
) -> None:
    first, second = two.databases
    second.unlink()
    second.write_text("a file of the same name")
    first.unlink()
    first.mkdir()
    (first / "file").write_text("in a directory")
    two.place.snapshot(tags=["files"])
    two.restore("old")
    two.check("old")
    two.restore("files")
    assert second.read_text() == "a file of the same name"
    assert (first / "file").read_text() == "in a directory"
    two.check_at_rest()
    two.restore("old")
    two.check("old")
    with Service(second) as service:
        service.run("SELECT * FROM account")
        with pytest.raises(Refused, match=r"b\.sqlite3"):
            two.restore("files")
        two.check("old")


def test_an_empty_file_is_a_database_without_content(two: TwoGenerations) -> None:
    live = two.databases[0]
    live.unlink()
    live.touch()
    two.place.snapshot(tags=["empty"])
    with Service(live) as service:
        two.restore("old")
        assert service.run("SELECT DISTINCT generation FROM account") == [["old"]]
        two.restore("empty", delete=False, paths=["a.db"])
        assert service.run("SELECT count(*) FROM sqlite_schema") == [[0]]
        two.restore("old")
    two.check("old")


LOCKED = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
if sys.argv[2] == "lock":
    fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def opened_elsewhere(path: Path, how: str) -> Iterator[None]:
    """Have another process hold a file, locked as redb locks, or only open."""
    command = [sys.executable, "-c", LOCKED, str(path), how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate()


def test_a_locked_file_is_not_changed_and_nothing_else_is(two: TwoGenerations) -> None:
    with serving(*two.databases) as met:
        with opened_elsewhere(two.palace / "notes" / "big", "lock"):
            with pytest.raises(Refused, match="notes/big is locked"):
                two.restore("old")
            with pytest.raises(Refused, match="notes/big is locked"):
                two.restore("old", dry_run=True)
            two.check("new")
            two.restore("old", delete=False, paths=["a.db"])
            two.restore("new")
        with opened_elsewhere(two.palace / "same", "lock"):
            two.restore("old")  # it does not change
        two.check("old")
    assert met.wrong == []


def test_whoever_has_a_file_open_is_named(two: TwoGenerations) -> None:
    with opened_elsewhere(two.palace / "notes" / "big", "open"):
        done = two.restore("old")
        assert "notes/big" in " ".join(done.notices)
    two.check("old")


class Hurried(Clock):
    """A clock that only counts how long it would have slept."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@pytest.mark.parametrize("modes", [("wal", "wal"), ("delete", "delete")])
@pytest.mark.parametrize("late", [False, True])
def test_an_exclusive_holder_is_refused_before_anything_changes(
    place: Place, modes: tuple[str, str], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = TwoGenerations(place, *modes)
    with Service(two.databases[1]) as service:
        hold = ("PRAGMA locking_mode = EXCLUSIVE", "INSERT INTO written VALUES(1, 'new')")
        decide = LivePlan.decide

        def held_meanwhile(plan: LivePlan, changed: Changed) -> None:
            service.run(*hold)
            decide(plan, changed)

        if late:
            monkeypatch.setattr(LivePlan, "decide", held_meanwhile)
        else:
            service.run(*hold)
        with pytest.raises(Refused, match=r"b\.sqlite3.*exclusively"):
            two.restore("old", Hurried())
        service.run("DELETE FROM written")
    two.check("new")


def test_too_little_room_is_told_before_anything_changes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40 << 20):
        palace = tmp_path / "disk" / "palace"
        palace.mkdir()
        make(palace / "a.db", "old", 30_000, "journal_mode = wal")
        palatine.init(tmp_path / "repository")
        with palatine.open_repository(
            tmp_path / "repository", cache=tmp_path / "cache"
        ) as repository:
            repository.snapshot(palace, tags=["old"])
            with contextlib.closing(sqlite3.connect(palace / "a.db")) as db:
                db.isolation_level = None
                fill(db, "new", 100)
                db.execute("VACUUM")
            assert shutil.disk_usage(palace).free > 30 << 20
            with serving(palace / "a.db") as met:
                with pytest.raises(NoSpace, match="bytes free"):
                    repository.restore("palace#old", palace, live=True)
                assert check(palace / "a.db") == ("", "new")
            assert (met.wrong, met.busy) == ([], 0)
        assert sorted(os.listdir(tmp_path / "disk")) == ["palace"]


def test_a_snapshot_with_sidecars_as_files(place: Place) -> None:
    database = place.palace / "a.db"
    make(database, "older", 30, "journal_mode = wal")
    with Service(database, "wal_autocheckpoint = 0") as service:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
            fill(db, "old", 30)
        place.snapshot(tags=["raw"], unsafe_files=True)
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
            fill(db, "new", 30)
        with place.open() as repository:
            done = repository.restore("palace#raw", place.palace, live=True)
        assert done.files == 1
        assert service.run("SELECT DISTINCT generation FROM account") == [["old"]]
    assert check(database) == ("", "old")
    assert sorted(os.listdir(place.palace)) == ["a.db"]


def test_a_single_database(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    make(database, "old", 60, "journal_mode = wal")
    palatine.init(tmp_path / "repository")
    with palatine.open_repository(tmp_path / "repository", cache=tmp_path / "cache") as repository:
        repository.snapshot(database, tags=["old"])
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
            fill(db, "new", 80)
        beside = tmp_path / "beside"
        beside.write_text("not of the palace")
        with serving(database) as met:
            repository.restore("memory#old", database, live=True, delete=True)
            assert check(database) == ("", "old")
        assert met.wrong == []
        with Service(database) as service:
            service.run("SELECT * FROM account")
            repository.undo(database)
            assert check(database) == ("", "new")
    assert sorted(os.listdir(tmp_path)) == ["beside", "cache", "memory.db", "repository"]


def test_there_must_be_something(place: Place) -> None:
    (place.palace / "file").touch()
    place.snapshot()
    with place.open() as repository, pytest.raises(PathNotFound):
        repository.restore("palace", place.root / "nowhere", live=True)


def test_a_read_only_directory_is_told_before_anything_changes(two: TwoGenerations) -> None:
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    for path in (two.place.root, *two.place.root.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.chown(two.palace / "notes", 0, 0)
    for above in two.place.root.parents:
        if above.stat().st_mode & 0o5 != 0o5 and above.is_relative_to("/tmp"):
            above.chmod(0o755)

    def work() -> None:
        with pytest.raises(palatine.PalatineError, match="cannot be written"):
            two.restore("old")

    assert as_nobody(work) == 0
    assert [check(path)[1] for path in two.databases] == ["new", "new"]


def test_the_note_is_gone_and_so_is_what_was_staged(two: TwoGenerations) -> None:
    two.restore("old")
    assert not intent.stands(two.palace)
    assert sorted(os.listdir(two.place.root)) == ["cache", "palace", "repository"]


def test_outside_parts_change_with_the_palace(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(7))
    graph = made.outside["knowledge-graph"]
    with place.open() as repository:
        repository.snapshot(made.palace, palace="one")
        before = files_of(made.palace)
        with Service(graph, "journal_mode = WAL") as service:
            service.run("CREATE TABLE since(x)")
            made.outside["identity"].write_text("somebody else")
            (made.palace / "since").touch()
            done = repository.restore("one", made.palace, live=True, delete=True, outside=True)
            assert {part.name for part in done.outside} == set(made.outside)
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                service.run("SELECT * FROM since")
            assert made.outside["identity"].read_text() != "somebody else"
            assert differences(before, files_of(made.palace)) == []
            repository.undo(made.palace, outside=True)
            assert service.run("SELECT * FROM since") == []
    assert made.outside["identity"].read_text() == "somebody else"
    assert (made.palace / "since").exists()
    assert not list(place.root.rglob(".*pal-restore*"))


def test_from_the_command_line(two: TwoGenerations) -> None:
    place = two.place

    def pal(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "palatine", "--repo", str(place.repository), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    target = str(two.palace)
    with serving(*two.databases) as met:
        planned = pal("restore", "palace#old", target, "--live", "--delete", "--dry-run")
        assert planned.returncode == 0, planned.stderr
        assert "a.db" in planned.stdout
        assert two.files["new"] == files_of(two.palace)
        done = pal("restore", "palace#old", target, "--live", "--delete")
        assert done.returncode == 0, done.stderr
        two.check("old")
        with opened_elsewhere(two.palace / "notes" / "big", "lock"):
            refused = pal("restore", "palace#new", target, "--live")
            assert refused.returncode == 5
            assert "notes/big is locked" in refused.stderr
        assert pal("restore", "palace#new", target, "--delete").returncode == 2
    assert met.wrong == []
    two.check("old")
