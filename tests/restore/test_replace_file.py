"""Exchanging a palace that is one database file: no sidecar of the old one survives."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.restore.over import (
    another,
    check,
    database,
    left_by_a_killed_service,
    names,
    two_states,
)
from tests.support import Place, damage_frames

from palatine import fsio
from palatine.errors import Damaged, Exists, Refused
from palatine.ids import Kind
from palatine.ops.restoring import Restored
from palatine.restore import intent
from palatine.restore import replace as replace_module


@pytest.fixture
def memory(place: Place) -> Path:
    """A database of its own, snapshotted with other content than it has."""
    path = place.palace / "ai-memory.db"
    database(path, 20_000, "first")
    with place.open() as repository:
        repository.snapshot(path)
    database(path, 15_000, "second")
    return path


def restore(place: Place, target: Path, revision: str = "ai-memory", **options: object) -> Restored:
    with place.open() as repository:
        return repository.restore(revision, target, replace=True, **options)  # type: ignore[arg-type]


def check_alone(memory: Path) -> None:
    """Assert that nothing lies beside a database, neither of SQLite nor of a restore."""
    assert os.listdir(memory.parent) == [memory.name]


def test_a_file_is_refused_without_being_asked_for(place: Place, memory: Path) -> None:
    with place.open() as repository, pytest.raises(Exists):
        repository.restore("ai-memory", memory)
    assert names(memory) == {"second"}


def test_a_file_is_replaced_and_undone(place: Place, memory: Path) -> None:
    assert memory.stat().st_size > 4 << 20
    was = memory.stat()
    done = restore(place, memory)
    assert done.files == 1
    assert names(memory) == {"first"}
    check_alone(memory)
    for expected in ("second", "first"):
        with place.open() as repository:
            repository.undo(memory)
        assert names(memory) == {expected}
        check_alone(memory)
    assert memory.stat().st_mode == was.st_mode


def test_what_a_killed_service_left_is_kept_and_not_replayed(place: Place, memory: Path) -> None:
    left_by_a_killed_service(memory, "in the WAL")
    done = restore(place, memory)
    check_alone(memory)
    assert names(memory) == {"first"}
    assert done.before is not None
    kept = place.restored(done.before.stored.id.hex())
    assert names(kept / "ai-memory.db") == {"in the WAL"}


def test_a_foreign_wal_beside_the_destination_goes(place: Place, memory: Path) -> None:
    other = place.root / "elsewhere.db"
    database(other, 15_000, "foreign")
    left_by_a_killed_service(other, "foreign commits")
    shutil.copy(f"{other}-wal", f"{memory}-wal")
    restore(place, memory)
    check_alone(memory)
    assert names(memory) == {"first"}


def test_a_file_in_use_is_refused(place: Place, memory: Path) -> None:
    code = "db = sqlite3.connect(sys.argv[1])\ndb.execute('SELECT * FROM entry').fetchall()"
    with another(code, memory) as process, pytest.raises(Refused) as raised:
        restore(place, memory)
    assert f"process {process.pid} (" in raised.value.message
    assert names(memory) == {"second"}


def test_a_file_that_goes_on_changing_is_refused(
    place: Place, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def changing(directory: Path) -> None:
        calls.append(directory)
        database(memory, 100 + len(calls), f"since {len(calls)}")

    monkeypatch.setattr(fsio, "sync_file_system", changing)
    with pytest.raises(Refused) as raised:
        restore(place, memory)
    assert raised.value.code == "changed"
    assert names(memory) == {"since 3"}
    check_alone(memory)


def test_beside_another_file_of_the_same_beginning(place: Place, memory: Path) -> None:
    """Only the database and its sidecars are looked at, not what else lies there."""
    for name in ("ai-memory.db.bak", "ai-memory.db-wall", "other"):
        (memory.parent / name).write_bytes(b"mine")
    with another("file = open(sys.argv[1])", memory.parent / "ai-memory.db.bak"):
        restore(place, memory)
    assert names(memory) == {"first"}
    assert len(os.listdir(memory.parent)) == 4


def test_as_a_file_of_another_name(place: Place, memory: Path) -> None:
    other = place.root / "other.db"
    database(other, 10, "other")
    restore(place, other)
    assert names(other) == {"first"}
    assert names(memory) == {"second"}
    with place.open() as repository:
        repository.undo(other)
    assert names(other) == {"other"}


def test_a_directory_and_a_file_do_not_take_each_others_place(place: Place, memory: Path) -> None:
    folder = place.root / "elsewhere"
    folder.mkdir()
    (folder / "note").write_bytes(b"note")
    with pytest.raises(Refused) as raised:
        restore(place, folder)
    assert str(folder / "ai-memory.db") in raised.value.hint
    with place.open() as repository:
        repository.snapshot(folder)
    with pytest.raises(Refused):
        restore(place, memory, "elsewhere")
    assert (folder / "note").read_bytes() == b"note"
    assert names(memory) == {"second"}
    check_alone(memory)


def test_damage_changes_nothing(place: Place, memory: Path) -> None:
    left_by_a_killed_service(memory, "in the WAL")
    files = {path: path.read_bytes() for path in memory.parent.iterdir()}
    damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        restore(place, memory)
    assert {path: path.read_bytes() for path in memory.parent.iterdir()} == files


class Killed(BaseException):
    """As if the process had ended there."""


STEPS = ["fold", "clear_sidecars", "rename", "remove"]


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_ended_at_any_step_it_is_old_or_new(
    place: Place, memory: Path, monkeypatch: pytest.MonkeyPatch, wal: bool, step: str, when: str
) -> None:
    """And never a database beside somebody else's WAL; the next restore finishes it."""
    if wal:
        left_by_a_killed_service(memory, "in the WAL")
    module = {"fold": replace_module, "clear_sidecars": replace_module, "rename": fsio,
              "remove": intent}[step]  # fmt: skip
    real = getattr(module, step)

    def ending(*arguments: object) -> None:
        if when == "after":
            real(*arguments)
        raise Killed

    monkeypatch.setattr(module, step, ending)
    with pytest.raises(Killed):
        restore(place, memory)
    monkeypatch.undo()
    copy = place.root / "copy"
    shutil.copytree(memory.parent, copy)
    old = {"in the WAL"} if wal else {"second"}
    gone = (step, when) in [("rename", "after"), ("remove", "before"), ("remove", "after")]
    assert names(copy / memory.name) == ({"first"} if gone else old)
    noted = step in ("clear_sidecars", "rename") or (step, when) == ("remove", "before")
    if step == "fold":
        with place.open() as repository:
            oldest = repository.log()[-1].id.hex()
        assert not restore(place, memory, oldest).finished
    with place.open() as repository:
        done = repository.undo(memory)  # which finishes what was begun, before it goes back
    assert bool(done.finished) == noted
    assert names(memory) == old
    check_alone(memory)


def test_what_sqlite_cannot_open_is_replaced_all_the_same(place: Place, memory: Path) -> None:
    memory.write_bytes(b"no database at all" * 1000)
    Path(f"{memory}-wal").write_bytes(b"nor a WAL")
    restore(place, memory)
    check_alone(memory)
    assert names(memory) == {"first"}


def test_a_directory_beside_is_no_business_of_it(place: Place) -> None:
    before, _ = two_states(place)
    with place.open() as repository:
        repository.restore("palace", place.palace, replace=True)
    check(place, before)
