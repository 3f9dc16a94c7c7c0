"""What capture does with what is odd: what changes, vanishes, cannot be read, or is no file."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.capture.trees import MIB, contents
from tests.support import SETTINGS, Place, count

import palatine
from palatine.capture import names
from palatine.capture.files import FileReader
from palatine.errors import NameTaken, PalatineError, PathNotFound, Refused
from palatine.model.snapshot import CapturedAs
from palatine.ops.snapshot import Done
from palatine.testing.builders import FakeClock, Notices, differences, state_of


class Meddler(Notices):
    """Does something to the palace each time capture tells that it read a piece."""

    def __init__(self, meddle: Callable[[int], None]) -> None:
        super().__init__()
        self._meddle = meddle
        self._times = 0

    def advance(self, amount: int, item: str = "") -> None:
        self._times += 1
        self._meddle(self._times)


def snapshot_while(place: Place, meddle: Callable[[int], None]) -> Done:
    with palatine.open_repository(
        place.repository, cache=place.cache, settings=SETTINGS, reporter=Meddler(meddle)
    ) as repository:
        return repository.snapshot(place.palace)


def test_a_file_that_changes_once_is_read_again(place: Place) -> None:
    path = place.palace / "busy.db"
    path.write_bytes(contents(1, 3 * MIB))

    def meddle(times: int) -> None:
        if times == 1:
            with path.open("r+b") as file:
                file.write(b"changed behind what was read")

    done = snapshot_while(place, meddle)
    assert done.stored.snapshot.complete
    place.check_restores()


@pytest.mark.parametrize("how", ["overwrite", "grow", "shrink"])
def test_a_file_that_never_holds_still_is_told(place: Place, how: str) -> None:
    path = place.palace / "busy.db"
    path.write_bytes(contents(1, 6 * MIB))
    (place.palace / "calm").write_bytes(b"calm")

    def meddle(times: int) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            if how == "overwrite":
                file.write(b"%09d" % times)
            elif how == "grow":
                file.seek(size)
                file.write(contents(times, 100_000))
            else:
                file.truncate(max(0, size - 50_000))

    snapshot = snapshot_while(place, meddle).stored.snapshot
    assert not snapshot.complete
    assert [one.path for one in snapshot.missing] == [b"busy.db"]
    assert [(one.path, one.captured) for one in snapshot.artifacts] == [
        (b"busy.db", CapturedAs.TORN)
    ]
    place.restored()
    assert place.verify().ok
    # and it is read again the next time, changed or not
    assert place.snapshot().stored.snapshot.complete
    place.check_restores()


def test_a_file_that_shrinks_to_nothing_while_it_is_read_does_no_harm(place: Place) -> None:
    path = place.palace / "busy.db"
    path.write_bytes(contents(1, 3 * MIB))
    done = snapshot_while(place, lambda times: os.truncate(path, 0))
    assert done.stored.snapshot.complete
    place.check_restores()


def test_a_file_that_vanishes_before_it_is_read_is_not_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "stays"):
        (place.palace / name).write_bytes(name.encode())
    read = FileReader.read

    def vanishing(self: FileReader, directory: int, name: bytes, *rest: object) -> object:
        if name == b"gone":
            os.unlink(name, dir_fd=directory)
        return read(self, directory, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FileReader, "read", vanishing)
    assert place.snapshot().stored.snapshot.complete
    monkeypatch.undo()
    assert sorted(os.listdir(place.restored())) == ["stays"]


@pytest.mark.parametrize("other", ["directory", "fifo", "symlink"])
def test_a_file_that_becomes_something_else_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    path = place.palace / "thing"
    path.write_bytes(b"file")
    (place.palace / "stays").write_bytes(b"stays")
    read = FileReader.read

    def swapping(self: FileReader, directory: int, name: bytes, *rest: object) -> object:
        if name == b"thing":
            path.unlink()
            if other == "directory":
                path.mkdir()
            elif other == "fifo":
                os.mkfifo(path)
            else:
                path.symlink_to("stays")
        return read(self, directory, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FileReader, "read", swapping)
    snapshot = place.snapshot().stored.snapshot
    monkeypatch.undo()
    assert [one.path for one in snapshot.missing] == [b"thing"]
    assert sorted(os.listdir(place.restored())) == ["stays"]


def test_a_palace_in_motion_is_captured_without_an_error(place: Place) -> None:
    for number in range(200):
        (place.palace / f"{number:03d}").write_bytes(b"%d" % number)
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 7) % 200
            path = place.palace / f"{number:03d}"
            path.unlink(missing_ok=True)
            (place.palace / f"new-{number}").mkdir(exist_ok=True)
            (place.palace / f"new-{number}").rename(place.palace / f"dir-{number}")
            shutil.rmtree(place.palace / f"dir-{number}")
            path.write_bytes(b"%d" % number)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(count(8, 100)):
            place.snapshot()
            shutil.rmtree(place.restored())
    finally:
        stop.set()
        thread.join()
    place.snapshot()
    place.check_restores()
    assert place.verify().ok


def test_what_cannot_be_read_is_told_and_the_rest_is_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("readable", "secret"):
        (place.palace / name).write_bytes(name.encode())
    read = FileReader.read

    def refusing(self: FileReader, directory: int, name: bytes, *rest: object) -> object:
        if name == b"secret":
            raise PermissionError(13, "Permission denied")
        return read(self, directory, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FileReader, "read", refusing)
    snapshot = place.snapshot().stored.snapshot
    assert [(one.path, one.reason) for one in snapshot.missing] == [
        (b"secret", "Permission denied")
    ]
    assert not place.snapshot().fresh
    monkeypatch.undo()
    assert place.snapshot().stored.snapshot.complete
    place.check_restores()


def test_sockets_pipes_and_devices_are_left_out_and_named(place: Place) -> None:
    os.mkfifo(place.palace / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(place.palace, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
        (place.palace / "note").write_bytes(b"note")
        done = place.snapshot()
    assert sorted(done.left_out) == ["named pipe pipe", "socket socket"]
    assert done.stored.snapshot.complete
    assert os.listdir(place.restored()) == ["note"]


def test_symlinks_are_kept_and_never_followed(place: Place) -> None:
    outside = place.root / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    for name, target in [("up", ".."), ("self", "self"), ("away", str(outside)), ("gone", "none"),
                         ("file", str(outside / "secret"))]:  # fmt: skip
        (place.palace / name).symlink_to(target)
    place.snapshot()
    place.check_restores()
    assert place.snapshot().stored.snapshot.stats.size == 0


def test_a_directory_swapped_for_a_symlink_is_not_entered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = place.root / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (place.palace / "sub").mkdir()
    (place.palace / "note").write_bytes(b"note")
    opened = os.open
    seen: list[object] = []

    def swapping(path: object, *rest: object, **options: object) -> int:
        if path == b"sub":
            seen.append(path)
        if len(seen) == 2 and not (place.palace / "sub").is_symlink():
            # the first to open it looks for databases, the second is the walk
            (place.palace / "sub").rmdir()
            (place.palace / "sub").symlink_to(outside)
        return opened(path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swapping)
    snapshot = place.snapshot().stored.snapshot
    monkeypatch.undo()
    assert [one.path for one in snapshot.missing] == [b"sub"]
    assert os.listdir(place.restored()) == ["note"]


def test_a_repository_inside_the_palace_is_left_out(tmp_path: Path) -> None:
    palace = tmp_path / "palace"
    (palace / "deep").mkdir(parents=True)
    (palace / "note").write_bytes(b"note")
    palatine.init(palace / "deep" / "repository")
    with palatine.open_repository(
        palace / "deep" / "repository", cache=palace / "cache", settings=SETTINGS
    ) as repository:
        for number in range(3):
            (palace / "note").write_bytes(b"%d" % number)
            done = repository.snapshot(palace)
            assert any("deep/repository" in one for one in done.left_out)
            assert not done.stored.snapshot.missing
        repository.restore("palace", tmp_path / "restored")
        assert done.stored.snapshot.stats.files == 1
    assert sorted(path.name for path in (tmp_path / "restored").rglob("*")) == [
        "cache", "deep", "note"
    ]  # fmt: skip


@pytest.mark.parametrize("below", ["", "packs", "packs/ab"])
def test_a_palace_inside_the_repository_is_refused(place: Place, below: str) -> None:
    inside = place.repository / below
    inside.mkdir(parents=True, exist_ok=True)
    (place.root / "alias").symlink_to(inside)
    with place.open() as repository:
        for path in (inside, place.root / "alias"):
            with pytest.raises(Refused) as raised:
                repository.snapshot(path)
            assert raised.value.hint
    assert place.files("sessions") == []


def database(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("CREATE TABLE IF NOT EXISTS t(a)")
    db.commit()
    return db


@pytest.mark.parametrize("single", [False, True])
def test_a_database_may_be_taken_as_the_plain_files_it_consists_of(
    place: Place, single: bool
) -> None:
    path = place.palace / "kg.db"
    source = path if single else place.palace
    db = database(path, "wal")
    try:
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        files = {"kg.db"} if single else {"kg.db", "kg.db-wal", "kg.db-shm"}
        data = {name: (place.palace / name).read_bytes() for name in files}
        with place.open() as repository:
            repository.snapshot(source, palace="alpha", unsafe_files=True)
        restored = place.restored("alpha")
        assert {one.name: one.read_bytes() for one in restored.iterdir()} == data
    finally:
        db.close()


def test_sidecars_of_a_database_at_rest_are_not_stored(place: Place) -> None:
    database(place.palace / "kg.db", "wal").close()
    for name in ("kg.db-wal", "kg.db-shm"):
        (place.palace / name).write_bytes(b"")
    (place.palace / "other-wal").write_bytes(b"belongs to no database")
    place.snapshot()
    assert sorted(os.listdir(place.restored())) == ["kg.db", "other-wal"]


def test_an_excluded_database_may_be_in_use(place: Place) -> None:
    db = database(place.palace / "kg.db", "wal")
    try:
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        (place.palace / "note").write_bytes(b"note")
        place.snapshot(excludes=["kg.db", "kg.db-*"])
        assert sorted(os.listdir(place.restored())) == ["note"]
        place.snapshot(excludes=["kg.db-*"])
    finally:
        db.close()
    image = sqlite3.connect(place.restored() / "kg.db")
    try:
        assert image.execute("SELECT a FROM t").fetchall() == [(1,)]
    finally:
        image.close()


def test_a_single_file_is_a_palace(place: Place) -> None:
    path = place.palace / "memory.db"
    database(path, "delete").close()
    (place.palace / "neighbour").write_bytes(b"not part of it")
    with place.open() as repository:
        done = repository.snapshot(path)
        assert done.stored.palace == "memory"
        assert not repository.snapshot(path).fresh
        repository.restore("memory", place.root / "restored")
    assert os.listdir(place.root / "restored") == ["memory.db"]
    assert (place.root / "restored" / "memory.db").read_bytes() == path.read_bytes()


def test_excludes_are_written_as_in_a_gitignore(place: Place) -> None:
    for name in ("a.tmp", "keep.tmp", "sub/b.tmp", "sub/c.md", "cache/deep/d", "x/cache/e"):
        (place.palace / name).parent.mkdir(parents=True, exist_ok=True)
        (place.palace / name).write_bytes(b"x")
    place.snapshot(excludes=["*.tmp", "!keep.tmp", "/cache/"])
    target = place.restored()
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == ["keep.tmp", "sub/c.md", "x/cache/e"]
    assert place.snapshot(excludes=["*.md"]).fresh


def test_what_was_excluded_once_is_in_the_next_snapshot(place: Place) -> None:
    for number in range(5):
        (place.palace / f"{number}").write_bytes(b"x")
    place.snapshot(excludes=["3"])
    place.snapshot()
    place.check_restores()


def test_sparse_files_stay_sparse_also_at_5_terabytes(place: Place) -> None:
    path = place.palace / "link_lists.bin"
    size = 5 << 40
    try:
        with path.open("wb") as file:
            for at in (0, 1 << 30, (3 << 40) + 12345, size - 100_000):
                file.seek(at)
                file.write(contents(at % 97, 100_000))
    except OSError as error:
        pytest.skip(f"this file system holds no file of 5 TB: {error}")
    place.snapshot()
    restored = place.restored() / "link_lists.bin"
    assert restored.stat().st_size == size
    assert restored.stat().st_blocks <= path.stat().st_blocks + 64
    with restored.open("rb") as file:
        for at in (0, 1 << 30, (3 << 40) + 12345, size - 100_000):
            file.seek(at - 10 if at else 0)
            expected = (b"" if not at else bytes(10)) + contents(at % 97, 100_000)
            assert file.read(len(expected)) == expected
    with path.open("r+b") as file:
        file.seek(2 << 40)
        file.write(b"in the hole")
    before = place.stored()
    place.snapshot()
    assert place.stored() - before < 50_000
    assert place.verify().ok


def test_extended_attributes_come_back(place: Place) -> None:
    path = place.palace / "note"
    path.write_bytes(b"note")
    (place.palace / "sub").mkdir()
    try:
        os.setxattr(path, "user.one", b"1\0\xff")
        os.setxattr(place.palace / "sub", "user.two", b"")
    except OSError as error:
        pytest.skip(f"no user extended attributes here: {error}")
    path.chmod(0o400)
    place.snapshot()
    place.check_restores()
    os.setxattr(path, "user.one", b"2")
    assert place.snapshot().fresh
    place.check_restores()


def test_time_stamps_of_every_century_come_back(place: Place) -> None:
    stamps = [0, 1, -1, -(2**60), 2**62, 2**63 - 1, 2**63, 2**63 + 5]
    for number, stamp in enumerate(stamps):
        path = place.palace / f"{number}"
        path.write_bytes(b"x")
        os.utime(path, ns=(stamp, stamp))
    place.snapshot()
    place.check_restores()


def test_a_big_directory_changes_little_when_one_name_does(place: Place) -> None:
    total = count(5_000, 50_000)
    for number in range(total):
        (place.palace / f"name-{number:06d}").write_bytes(b"%d" % number)
    place.snapshot()
    before = place.stored()
    (place.palace / "name-002500x").write_bytes(b"new")
    (place.palace / "name-001000").unlink()
    place.snapshot()
    assert place.stored() - before < 60_000
    place.check_restores()


def test_names_are_sorted_also_where_they_do_not_fit_in_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "RUN", 100)
    made = [os.fsencode(f"n{number * 7919 % 1000}") for number in range(1000)] + [
        b"\xff\n",
        b"\x01",
    ]
    for name in made:
        with open(os.path.join(os.fsencode(place.palace), name), "wb"):
            pass
    here = os.open(place.palace, os.O_RDONLY)
    try:
        assert list(names.sorted_names(here)) == sorted(made)
    finally:
        os.close(here)
    place.snapshot()
    place.check_restores()


def test_the_clock_may_be_set_back(place: Place) -> None:
    clock = FakeClock()
    with place.open(clock=clock) as repository:
        ids = []
        for number, step in enumerate([0, 60, -3600, 5, -86_400 * 365, 1]):
            clock.advance(step)
            (place.palace / "note").write_bytes(b"%d" % number)
            ids.append(repository.snapshot(place.palace).stored.id)
        log = repository.log("palace")
        assert [stored.id for stored in reversed(log)] == ids
        times = [stored.snapshot.time_us for stored in reversed(log)]
        assert times == sorted(set(times))
        assert log[0].snapshot.wall_us < log[-1].snapshot.wall_us
        for back, stored in enumerate(log):
            assert repository.resolve(f"palace~{back}").id == stored.id
            expected = b"%d" % (len(log) - 1 - back)
            assert b"".join(repository.cat(f"palace~{back}:note")) == expected
        assert [len(stored.snapshot.parents) for stored in log] == [1, 1, 1, 1, 1, 0]


def test_a_name_that_another_path_holds_is_refused(place: Place) -> None:
    place.snapshot()
    other = place.root / "elsewhere" / "palace"
    other.mkdir(parents=True)
    with place.open() as repository:
        with pytest.raises(NameTaken) as raised:
            repository.snapshot(other)
        assert "--palace" in raised.value.hint
        assert repository.snapshot(other, palace="palace").fresh
        assert repository.snapshot(other, palace="team/palace").stored.palace == "team/palace"


def test_nothing_changed_is_no_snapshot_but_its_tags_are_put(place: Place) -> None:
    (place.palace / "note").write_bytes(b"note")
    first = place.snapshot().stored
    again = place.snapshot(tags=["kept"], message="nothing new")
    assert (again.fresh, again.stored.id, again.stored.tags) == (False, first.id, ("kept",))
    with place.open() as repository:
        assert [stored.tags for stored in repository.log()] == [("kept",)]
    assert place.snapshot(force=True).stored.snapshot.parents == (first.id,)


def test_a_palace_that_is_not_there_is_said_to_be_absent(place: Place) -> None:
    with place.open() as repository, pytest.raises(PathNotFound):
        repository.snapshot(place.root / "nothing")


def test_a_device_is_no_palace(place: Place) -> None:
    with place.open() as repository, pytest.raises(PalatineError, match="neither"):
        repository.snapshot("/dev/null", palace="null")


def test_capture_changes_nothing_in_the_palace(place: Place) -> None:
    database(place.palace / "kg.db", "wal").close()
    (place.palace / "note").write_bytes(b"note")
    before = state_of(place.palace)
    place.snapshot()
    assert differences(before, state_of(place.palace)) == []


def test_a_time_stamp_beyond_what_can_be_said_is_recorded_as_the_nearest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tmpfs takes stamps of any century; a snapshot that cannot be read back is worse than that."""
    path = place.palace / "note"
    path.write_bytes(b"note")
    real = os.fstat

    class Far:
        def __init__(self, status: os.stat_result) -> None:
            self._status = status
            self.st_mtime_ns = 1 << 80

        def __getattr__(self, name: str) -> object:
            return getattr(self._status, name)

    monkeypatch.setattr(os, "fstat", lambda fd: Far(real(fd)))
    place.snapshot()
    monkeypatch.undo()
    with place.open() as repository:
        (note,) = repository.ls("palace")
    assert note.entry.mtime_ns == (1 << 64) - 1
    place.restored()
