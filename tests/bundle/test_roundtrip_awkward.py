"""The round trip of what is awkward: holes, owners, links, a service that writes, full disks."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from random import Random

import pytest
from tests.bundle.travel import blocks, elsewhere, exported, imported, size_of
from tests.support import Place, count, small_disk

from palatine import api
from palatine.errors import NoSpace, PalatineError
from palatine.layouts import registry
from palatine.ops.restoring import Request
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES
from palatine.testing.sqlite_books import check_accounts, check_pair, make_accounts, make_transfers
from palatine.testing.writers import working

MIB = 1 << 20


def sparse(path: Path, size: int, islands: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for at, data in islands.items():
            file.seek(at)
            file.write(data)


@pytest.mark.torture
def test_a_file_of_five_gigabytes_that_is_mostly_holes(place: Place) -> None:
    size = count(300 * MIB, 5_000_000_000) + 1234
    rng = Random(5)
    islands = {0: b"head", 17 * MIB + 3: rng.randbytes(3 * MIB), size - 6: b"ending"}
    sparse(place.palace / "sparse.bin", size, islands)
    sparse(place.palace / "no-data", size // 100, {})
    os.link(place.palace / "sparse.bin", place.palace / "twin")
    stored = place.snapshot().stored
    file = exported(place, stored.id.hex())
    assert file.stat().st_size < 6 * MIB
    other = elsewhere(place)
    done = imported(other, file)
    target = other.restored(done.stored.id.hex())
    assert done.same
    assert size_of(other.repository) < 4 * MIB
    for name in ("sparse.bin", "no-data", "twin"):
        mine, its = place.palace / name, target / name
        assert its.stat().st_size == mine.stat().st_size
        assert its.stat().st_mtime_ns == mine.stat().st_mtime_ns
    assert (target / "twin").stat().st_ino == (target / "sparse.bin").stat().st_ino
    with (target / "sparse.bin").open("rb") as copy:
        for at, data in islands.items():
            copy.seek(at)
            assert copy.read(len(data)) == data
    assert blocks(target) <= blocks(place.palace) + (64 << 12)


@pytest.mark.parametrize(
    "islands",
    [{}, {0: b"x"}, {8 * MIB - 1: b"x"}, {4 * MIB: bytes(MIB)}, {0: b"a" * 70_000, 5 * MIB: b"b"}],
    ids=["nothing", "first", "last", "zeros", "two"],
)
def test_holes_stay_holes_and_zeros_stay_zeros(place: Place, islands: dict[int, bytes]) -> None:
    sparse(place.palace / "file.db", 8 * MIB, islands)
    sparse(place.palace / "small", 9000, {0: b"x"} if islands else {})
    before = state_of(place.palace)
    file = exported(place, place.snapshot().stored.id.hex())
    other = elsewhere(place)
    target = other.restored(imported(other, file).stored.id.hex())
    assert differences(before, state_of(target)) == []
    assert blocks(target) <= blocks(place.palace) + (8 << 12)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners(place: Place) -> None:
    for number, owner in enumerate([(0, 0), (1000, 1000), (65534, 7), (2**31, 2**32 - 2)]):
        for kind in ("d", "f", "l"):
            path = place.palace / f"{kind}{number}"
            if kind == "d":
                path.mkdir()
            elif kind == "f":
                path.write_bytes(b"x" * (number * 20_000))
            else:
                path.symlink_to("f0")
            os.chown(path, *owner, follow_symlinks=False)
    os.chown(place.palace, 12, 13)

    def owners(root: Path) -> dict[str, tuple[int, int]]:
        paths = [root, *sorted(root.rglob("*"))]
        return {
            str(path.relative_to(root)): (path.lstat().st_uid, path.lstat().st_gid)
            for path in paths
        }

    before = owners(place.palace)
    file = exported(place, place.snapshot().stored.id.hex())
    other = elsewhere(place, "sha256")
    assert owners(other.restored(imported(other, file).stored.id.hex())) == before


def test_attributes(place: Place) -> None:
    (place.palace / "d").mkdir()
    (place.palace / "d/f").write_bytes(b"x")
    values = {"user.empty": b"", "user.binary": bytes(range(256)), "user.größe": b"\n=\0"}
    for path in (place.palace, place.palace / "d", place.palace / "d/f"):
        for name, value in values.items():
            os.setxattr(path, name, value)
    before = state_of(place.palace)
    file = exported(place, place.snapshot().stored.id.hex())
    other = elsewhere(place)
    done = imported(other, file)
    assert done.same
    assert differences(before, state_of(other.restored(done.stored.id.hex()))) == []


def test_a_service_that_writes_all_the_while(place: Place) -> None:
    """What is exported is one instant, whatever the service did since, and during the export."""
    accounts = place.palace / "accounts.db"
    first, second = place.palace / "first.db", place.palace / "second.db"
    make_accounts(accounts, "wal", 4096)
    make_transfers(first, "wal", 4096)
    make_transfers(second, "wal", 4096)
    other = elsewhere(place, "sha256")
    with (
        working("account_writer", "wal", 1, accounts),
        working("transferrer", "wal", 2, first, second),
    ):
        for turn in range(count(4, 60)):
            stored = place.snapshot(force=True).stored
            file = exported(place, stored.id.hex(), f"turn-{turn}")
            again = exported(place, stored.id.hex(), "again", force=True)
            assert again.read_bytes() == file.read_bytes()
            done = imported(other, file)
            target = other.restored(done.stored.id.hex())
            assert check_accounts(target / "accounts.db") == ""
            assert check_pair(target / "first.db", target / "second.db") == ""
            direct = place.restored(stored.id.hex())
            assert differences(state_of(direct), state_of(target)) == []


def test_exports_at_once(place: Place) -> None:
    """Several of the same snapshot, by threads with different counts of workers: same bytes."""
    rng = Random(8)
    for number in range(12):
        (place.palace / f"f{number}").write_bytes(rng.randbytes(number * 300_000))
    revision = place.snapshot().stored.id.hex()
    found: list[bytes] = []

    def work(number: int) -> None:
        found.append(exported(place, revision, f"b{number}").read_bytes())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_disk_that_is_full(place: Place) -> None:
    """For the file, and for the repository: an error, and nothing that looks like a result."""
    (place.palace / "file").write_bytes(Random(3).randbytes(8 * MIB))
    revision = place.snapshot().stored.id.hex()
    file = exported(place, revision)
    disk = place.root / "disk"
    with small_disk(disk, 4 * MIB):
        with place.open() as repository, pytest.raises((PalatineError, OSError)) as caught:
            repository.export(revision, disk / "B.tar.zst", level=1)
        assert isinstance(caught.value, PalatineError), "a full disk is no bug"
        assert [path.name for path in disk.iterdir()] == []
    with small_disk(disk, 4 * MIB):
        other = Place(disk)
        with pytest.raises(NoSpace):
            imported(other, file)
        assert other.files("snapshots") == []
    with small_disk(disk, 4 * MIB):
        with pytest.raises(NoSpace):
            api.restore_bundle(file, Request(disk / "target"), cache=place.root / "cache-2")
        assert not (disk / "target").exists()
        with pytest.raises(NoSpace):
            api.restore_bundle(file, Request(place.root / "target"), cache=disk / "cache")
        assert not (place.root / "target").exists()


def test_a_snapshot_that_lacks_something(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not captured is said by the bundle, by the import, and by the copy."""
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    (log,) = made.outside.values()
    layout = registry.match(made.palace)
    parts = layout.outside(made.palace)
    monkeypatch.setattr(type(layout), "outside", lambda self, path: parts)
    log.unlink()
    with place.open() as repository:
        stored = repository.snapshot(made.palace).stored
    assert [one.path for one in stored.snapshot.missing] == [b"@agent-log"]
    file = exported(place, stored.id.hex())
    assert any("1 path is missing" in said for said in place.notices.said)
    assert any("lacks 1 of what" in note for note in api.verify_bundle(file).notes)
    other = elsewhere(place)
    done = imported(other, file)
    assert done.same
    assert done.stored.snapshot.missing == stored.snapshot.missing
    assert not done.stored.snapshot.complete
    target = other.restored(done.stored.id.hex())
    assert differences(state_of(made.palace), state_of(target)) == []


@pytest.mark.parametrize("size", [8, 5000])
def test_a_file_that_changed_between_its_names(
    place: Place, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Captured with other bytes under each name: each name comes back with its own."""
    first, rng = place.palace / "a", Random(4)
    first.write_bytes(rng.randbytes(size))
    (place.palace / "m").symlink_to("between")
    (place.palace / "z").hardlink_to(first)
    read = os.readlink

    def changing(name: bytes, *, dir_fd: int) -> bytes:
        with first.open("r+b") as file:
            file.write(b"changed")
        return read(name, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "readlink", changing)
        stored = place.snapshot().stored
    direct = state_of(place.restored(stored.id.hex()))
    assert direct[b"z"].data.startswith(b"changed")
    assert direct[b"a"].data != direct[b"z"].data
    other = elsewhere(place)
    done = imported(other, exported(place, stored.id.hex()))
    assert done.same
    assert differences(direct, state_of(other.restored(done.stored.id.hex()))) == []


def test_a_palace_that_is_one_database(place: Place) -> None:
    make_accounts(place.palace / "one.db", "wal", 4096)
    alone = place.root / "alone.db"
    shutil.copy2(place.palace / "one.db", alone)
    with place.open() as repository:
        stored = repository.snapshot(alone).stored
        repository.restore(stored.id.hex(), place.root / "direct")
    file = exported(place, stored.id.hex())
    other = elsewhere(place)
    done = imported(other, file)
    assert done.same
    with other.open() as repository:
        repository.restore(done.stored.id.hex(), other.root / "copy")
    assert differences(state_of(place.root / "direct"), state_of(other.root / "copy")) == []
