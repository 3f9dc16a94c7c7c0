"""Exchanging a palace for what it was: refused unless asked for, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.capture.trees import MIB, contents
from tests.restore.over import (
    OWN,
    another,
    check,
    database,
    first_state,
    inodes,
    left_by_a_killed_service,
    names,
    restore,
    second_state,
    two_states,
)
from tests.support import Place, as_nobody, damage_frames, small_disk

import palatine
from palatine import fsio
from palatine.clock import SYSTEM
from palatine.errors import Damaged, Exists, Locked, NoSpace, PathNotFound, Refused, SourceError
from palatine.ids import Kind
from palatine.restore import intent, replace, staging
from palatine.restore.directory import DirectoryWriter
from palatine.restore.inuse import users
from palatine.testing.builders import differences, state_of

ROOT = os.geteuid() == 0


def test_refused_unless_asked_for(place: Place) -> None:
    _, now = two_states(place)
    with pytest.raises(Exists):
        restore(place)
    check(place, now)


def test_the_palace_is_exchanged_and_kept_first(place: Place) -> None:
    before, now = two_states(place)
    done = restore(place, replace=True)
    check(place, before)
    assert done.before is not None
    assert done.before.fresh
    assert done.before.seconds > 0
    with place.open() as repository:
        (tagged, _) = repository.log()
        assert tagged.id == done.before.stored.id
        assert tagged.tags == ("pre-restore",)
        assert done.stored.id.hex()[:16] in tagged.snapshot.message
        kept = place.restored(tagged.id.hex())
    assert differences(now, state_of(kept)) == []
    assert place.verify().ok


def test_it_counts_what_changes(place: Place) -> None:
    two_states(place)
    planned = restore(place, replace=True, dry_run=True)
    done = restore(place, replace=True)
    deeds = {action.path: action.deed for action in planned.actions}
    assert deeds == {
        b"data_level0.bin": "meta", b"kg.db": "write", b"later": "remove",
        b"later/thing": "remove", b"notes": "meta", b"notes/2026": "add", b"notes/2026/may": "add",
        b"notes/new": "remove", b"notes/one": "write", b"notes/two": "meta",
        b"second-name": "add", b"vectors.bin": "write",
    }  # fmt: skip
    counts = [
        (one.files, one.directories, one.symlinks, one.size, one.removed, one.changed)
        for one in (planned, done)
    ]
    assert counts[0] == counts[1]
    assert counts[0][:3] == (5, 1, 0)


def test_a_dry_run_changes_nothing_at_all(place: Place) -> None:
    _, now = two_states(place)
    stats = {path: os.lstat(path) for path in place.palace.rglob("*")}
    stored = {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()}
    assert restore(place, replace=True, dry_run=True).before is None
    check(place, now)
    assert {path: os.lstat(path) for path in place.palace.rglob("*")} == stats
    found = {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()}
    assert found == stored


def test_the_same_snapshot_twice(place: Place) -> None:
    before, _ = two_states(place)
    restore(place, replace=True)
    again = restore(place, "palace~1", replace=True)
    check(place, before)
    assert (again.files, again.removed, again.changed) == (0, 0, 0)


def test_what_stays_is_taken_over_and_what_changed_is_not(place: Place) -> None:
    two_states(place)
    (place.palace / "sparse").rename(place.palace / "elsewhere")
    (place.palace / "elsewhere").rename(place.palace / "sparse")
    old = inodes(place.palace)
    restore(place, replace=True)
    new = inodes(place.palace)
    kept = {Path(path).name for path in old if new.get(path) == old[path]}
    assert {"config", "sparse", "empty-one"} <= kept
    assert not kept & {"palace", "notes", "one", "two", "data_level0.bin", "vectors.bin", "kg.db"}
    assert os.lstat(place.palace / "config").st_nlink == 1
    assert os.lstat(place.palace / "notes" / "two").st_nlink == 2


def test_files_of_several_names_stay_so(place: Place) -> None:
    """Linking one of their names would change the stat of the others."""
    for name in ("one", "first"):
        (place.palace / name).write_bytes(name.encode())
    os.link(place.palace / "first", place.palace / "second")
    os.link(place.palace / "one", place.root / "elsewhere")
    before = state_of(place.palace)
    place.snapshot()
    (place.palace / "new").write_bytes(b"new")
    place.notices.said.clear()
    restore(place, replace=True)
    check(place, before)
    assert place.notices.said == []


def test_clones_get_only_the_chunks_that_differ(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system shares blocks: here it is played by a copy."""
    clones = []

    def copied(source: int, target: int) -> bool:
        size = os.fstat(source).st_size
        assert os.sendfile(target, source, 0, size) == size
        clones.append(size)
        return True

    before, _ = two_states(place)
    monkeypatch.setattr(fsio, "clone", copied)
    written = []
    writing = DirectoryWriter.write

    def noted(self: DirectoryWriter, *arguments: object) -> None:
        writing(self, *arguments)  # type: ignore[arg-type]
        written.append(self.written.size)

    monkeypatch.setattr(DirectoryWriter, "write", noted)
    restore(place, replace=True)
    check(place, before)
    # data_level0.bin has another mode, all of it is cloned; of vectors.bin one chunk differs
    assert sorted(clones)[-2:] == [3 * MIB, 5 * MIB]
    assert written[0] < 3 * MIB


def test_chosen_paths_are_laid_over_what_is_there(place: Place) -> None:
    before, now = two_states(place)
    restore(place, replace=True, paths=["notes/one", "notes/2026", "vectors.bin"])
    found = state_of(place.palace)
    for path in (b"notes/one", b"notes/2026", b"notes/2026/may", b"vectors.bin"):
        assert found[path] == before[path]
    same = {
        path: state
        for path, state in now.items()
        if path not in (b"notes/one", b"notes/2026", b"vectors.bin")
    }
    assert differences(same, {path: found[path] for path in same}) == []
    assert set(found) == {*now, b"notes/2026/may"}


def test_a_chosen_path_that_the_snapshot_lacks(place: Place) -> None:
    _, now = two_states(place)
    with pytest.raises(PathNotFound):
        restore(place, replace=True, paths=["later"])
    check(place, now)
    with place.open() as repository:
        assert not any("pre-restore" in one.tags for one in repository.log())


IN_USE = {
    "an idle connection in a rollback mode": (
        "db = sqlite3.connect(sys.argv[1] + '/rollback.db')\n"
        "db.execute('SELECT * FROM entry').fetchall()"
    ),
    "a connection in WAL mode": (
        "db = sqlite3.connect(sys.argv[1] + '/kg.db')\n"
        "db.execute('SELECT * FROM entry').fetchall()"
    ),
    "a connection that has not read yet": "db = sqlite3.connect(sys.argv[1] + '/kg.db')",
    "a flock as redb takes it": (
        "file = open(sys.argv[1] + '/store.redb', 'rb')\nfcntl.flock(file, fcntl.LOCK_EX)"
    ),
    "a mapping": (  # mmap.mmap would keep a descriptor
        "from ctypes import *\n"
        "map = CDLL(None).mmap\nmap.restype = c_void_p\n"
        "map.argtypes = [c_void_p, c_size_t, c_int, c_int, c_int, c_long]\n"
        "with open(sys.argv[1] + '/data_level0.bin', 'rb') as file:\n"
        "    assert map(None, 4096, 1, 2, file.fileno(), 0) != c_void_p(-1).value"
    ),
    "a working directory": "os.chdir(sys.argv[1] + '/notes')",
    "a file that has no name any more": (
        "path = Path(sys.argv[1]) / 'gone'\nfile = path.open('w')\npath.unlink()"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", IN_USE)
def test_a_palace_in_use_is_refused(place: Place, how: str) -> None:
    first_state(place.palace)
    database(place.palace / "rollback.db", 10, "first", "delete")
    (place.palace / "store.redb").write_bytes(b"redb\x1a\x0a\xa9\x0d\x0a" + bytes(5000))
    place.snapshot()
    second_state(place.palace)
    with another(IN_USE[how], place.palace) as process:
        with pytest.raises(Refused) as raised:
            restore(place, replace=True)
        assert f"process {process.pid} (" in raised.value.message
        assert "--live" in raised.value.hint
        with place.open() as repository:
            assert len(repository.log()) == 1
    restore(place, replace=True)


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else")
@pytest.mark.filterwarnings("ignore:This process")
def test_what_another_user_has_locked_is_seen_by_its_lock() -> None:
    """Whoever is not root may not look into /proc of others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        database(Path(directory) / "kg.db", 10, "first")
        code = "db = sqlite3.connect(sys.argv[1])\ndb.execute('BEGIN IMMEDIATE')"

        def looks() -> None:
            (use,) = [one for one in users(Path(directory)) if one.path == b"kg.db-shm"]
            assert (use.pid, use.how) == (process.pid, "locked")

        with another(code, Path(directory) / "kg.db") as process:
            for path in Path(directory).glob("kg.db*"):
                os.chmod(path, 0o644)
            assert as_nobody(looks) == 0


def test_two_restores_over_one_palace_do_not_meet(place: Place) -> None:
    _, now = two_states(place)
    with intent.held(place.palace, SYSTEM, 0), pytest.raises(Locked):
        restore(place, replace=True, lock_timeout=0)
    check(place, now)


def test_what_a_killed_service_left_is_not_played_into_the_restored(place: Place) -> None:
    before, _ = two_states(place)
    left_by_a_killed_service(place.palace / "kg.db", "in the WAL")
    done = restore(place, replace=True)
    check(place, before)
    assert not list(place.palace.glob("kg.db-*"))
    assert names(place.palace / "kg.db") == {"first"}
    assert done.before is not None
    kept = place.restored(done.before.stored.id.hex())
    assert names(kept / "kg.db") == {"in the WAL"}


def test_a_hot_journal_is_not_played_into_the_restored(place: Place) -> None:
    first_state(place.palace)
    database(place.palace / "rollback.db", 3000, "first", "delete")
    place.snapshot()
    database(place.palace / "rollback.db", 2000, "second", "delete")
    code = (
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 5')\ndb.execute('BEGIN')\n"
        "db.execute('UPDATE entry SET name = ?', ('torn',))"
    )
    with another(code, place.palace / "rollback.db") as process:
        process.kill()
    assert (place.palace / "rollback.db-journal").stat().st_size
    done = restore(place, replace=True)
    assert names(place.palace / "rollback.db") == {"first"}
    assert done.before is not None
    kept = place.restored(done.before.stored.id.hex())
    assert names(kept / "rollback.db") == {"second"}


def test_a_foreign_wal_beside_the_destination_goes(place: Place, tmp_path: Path) -> None:
    """As trusty's merge left it: another database's `-wal` beside kg.db."""
    before, _ = two_states(place)
    other = tmp_path / "elsewhere"
    other.mkdir()
    database(other / "kg.db", 1500, "foreign")
    left_by_a_killed_service(other / "kg.db", "foreign commits")
    shutil.copy(other / "kg.db-wal", place.palace / "kg.db-wal")
    restore(place, replace=True)
    check(place, before)
    assert names(place.palace / "kg.db") == {"first"}


def test_a_database_kept_beside_chosen_paths_keeps_its_commits(place: Place) -> None:
    """What only its WAL has is not in the main file that could be linked."""
    two_states(place)
    left_by_a_killed_service(place.palace / "kg.db", "in the WAL")
    restore(place, replace=True, paths=["notes/one"])
    assert names(place.palace / "kg.db") == {"in the WAL"}


def test_a_git_repository_after_gc_works_again(place: Place) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(place.palace), "-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run([*command, *words], check=True, capture_output=True, text=True)
        return done.stdout

    first_state(place.palace)
    git("init", "-q")
    git("add", "--all")
    git("commit", "-q", "-m", "first")
    git("gc", "-q")
    git("pack-refs", "--all")
    before = state_of(place.palace)
    head = git("rev-parse", "HEAD")
    place.snapshot()
    second_state(place.palace)
    git("add", "--all")
    git("commit", "-q", "-m", "second")
    restore(place, replace=True)
    check(place, before)
    assert git("rev-parse", "HEAD") == head
    git("fsck", "--strict")
    assert git("status", "--porcelain") == ""


@pytest.mark.parametrize("kind", [Kind.CHUNK, Kind.TREE])
def test_damage_is_refused_before_anything_changes(place: Place, kind: Kind) -> None:
    first_state(place.palace)
    place.snapshot()
    damage_frames(place, kind)
    second_state(place.palace)
    now, old = state_of(place.palace), inodes(place.palace)
    with pytest.raises(Damaged):
        restore(place, replace=True)
    check(place, now)
    assert inodes(place.palace) == old
    with place.open() as repository:
        assert not any("pre-restore" in one.tags for one in repository.log())


def test_a_full_disk_leaves_the_old_palace(place: Place) -> None:
    first_state(place.palace)
    (place.palace / "vectors.bin").write_bytes(contents(9, 6 * MIB))
    place.snapshot()
    disk = place.root / "elsewhere"
    with small_disk(disk, 20 * MIB):
        shutil.copytree(place.palace, disk / "palace", symlinks=True)
        (disk / "palace" / "vectors.bin").write_bytes(contents(8, 6 * MIB))
        (disk / "filler").write_bytes(bytes(20 * MIB - 6 * MIB - disk_use(disk)))
        now, old = state_of(disk / "palace"), inodes(disk / "palace")
        with place.open() as repository:
            repository.snapshot(disk / "palace", palace="on-the-small-disk")
            with pytest.raises(NoSpace):
                repository.restore("palace", disk / "palace", replace=True)
            assert differences(now, state_of(disk / "palace")) == []
            assert inodes(disk / "palace") == old
            assert sorted(os.listdir(disk)) == ["filler", "palace"]
            (disk / "filler").unlink()
            repository.restore("palace", disk / "palace", replace=True)
        assert differences(state_of(place.palace), state_of(disk / "palace")) == []


def disk_use(disk: Path) -> int:
    space = os.statvfs(disk)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def test_a_symlink_to_the_palace_stays_one(place: Place) -> None:
    before, _ = two_states(place)
    link = place.root / "elsewhere"
    link.symlink_to("palace")
    with place.open() as repository:
        done = repository.restore("palace", link, replace=True)
    assert link.is_symlink()
    assert done.target == place.palace
    check(place, before)


def test_a_mount_point_is_a_clear_error(place: Place) -> None:
    two_states(place)
    disk = place.root / "elsewhere"
    with small_disk(disk, 30 * MIB):
        (disk / "mine").write_bytes(b"mine")
        with place.open() as repository, pytest.raises(Exists) as raised:
            repository.restore("palace", disk, replace=True)
        assert os.listdir(disk) == ["mine"]
    assert "mount point" in raised.value.message
    assert "--live" in raised.value.hint


def test_a_mount_point_inside_is_refused(place: Place) -> None:
    two_states(place)
    (place.palace / "mounted").mkdir()
    with small_disk(place.palace / "mounted", MIB):
        (place.palace / "mounted" / "mine").write_bytes(b"mine")
        with pytest.raises(Refused) as raised:
            restore(place, replace=True)
        assert (place.palace / "mounted" / "mine").read_bytes() == b"mine"
    assert "mounted is a mount point" in raised.value.message


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EPERM])
def test_an_exchange_that_the_system_refuses(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _, now = two_states(place)

    def refused(one: Path, other: Path) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fsio, "exchange", refused)
    with pytest.raises(SourceError if number == errno.EPERM else Exists) as raised:
        restore(place, replace=True)
    assert os.strerror(number) in raised.value.message
    check(place, now)


def test_where_directories_cannot_be_exchanged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two renames, under a note of intent."""
    before, _ = two_states(place)
    seen = []

    def missing(one: Path, other: Path) -> bool:
        seen.append(intent.stands(place.palace))
        return False

    monkeypatch.setattr(fsio, "exchange", missing)
    restore(place, replace=True)
    check(place, before)
    assert seen == [False, True]


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_palace_of_somebody_else_is_a_clear_error() -> None:
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        place = Place(root)
        _, now = two_states(place)
        subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)
        now = state_of(place.palace)
        for path in (place.repository, place.cache):
            subprocess.run(["chown", "-R", "65534:65534", str(path)], check=True)

        def tries() -> None:
            for live in (True, False):
                with pytest.raises(SourceError) as raised, place.open() as repository:
                    repository.restore("palace", place.palace, live=live, replace=not live)
                assert str(place.palace) in raised.value.message

        assert as_nobody(tries) == 0
        check(place, now)
    finally:
        shutil.rmtree(root)


def test_what_cannot_be_captured_is_not_exchanged_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, now = two_states(place)
    opening = os.open

    def denied(path: Any, *arguments: Any, **more: Any) -> int:
        if path == b"new":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opening(path, *arguments, **more)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(Refused) as raised:
        restore(place, replace=True)
    assert "notes/new" in raised.value.message
    monkeypatch.undo()
    check(place, now)


def test_a_repository_inside_the_palace_is_not_exchanged_away(tmp_path: Path) -> None:
    palace = tmp_path / "palace"
    palace.mkdir()
    (palace / "note").write_bytes(b"note")
    palatine.init(palace / "repository")
    with palatine.open_repository(palace / "repository", cache=tmp_path / "cache") as repository:
        repository.snapshot(palace)
        (palace / "note").write_bytes(b"changed")
        with pytest.raises(Refused) as raised:
            repository.restore("palace", palace, replace=True)
        assert "repository lies in" in raised.value.message
        assert len(repository.log()) == 1
    assert (palace / "note").read_bytes() == b"changed"


def test_over_nothing_it_is_a_new_restore(place: Place) -> None:
    before, _ = two_states(place)
    shutil.rmtree(place.palace)
    assert restore(place, replace=True).before is None
    check(place, before)
    for mode in ("live", "merge"):
        with place.open() as repository, pytest.raises(PathNotFound):
            repository.restore("palace", place.root / "absent", **{mode: True})  # type: ignore[arg-type]


class TestChangedMeanwhile:
    """Something writes to the palace although nobody has it open."""

    def test_a_change_during_the_restore_is_in_the_snapshot(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, _ = two_states(place)
        changes = iter([b"first change", b"second change"])

        def changing(directory: Path) -> None:
            os.sync()
            change = next(changes, None)
            if change is not None:
                (place.palace / "notes" / "late").write_bytes(change)

        monkeypatch.setattr(fsio, "sync_file_system", changing)
        done = restore(place, replace=True)
        check(place, before)
        assert done.before is not None
        kept = place.restored(done.before.stored.id.hex())
        assert (kept / "notes" / "late").read_bytes() == b"second change"
        assert sum("trying again" in said for said in place.notices.said) == 2
        with place.open() as repository:
            tagged = [one for one in repository.log() if "pre-restore" in one.tags]
        assert [one.id for one in tagged] == [done.before.stored.id]

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("path", ["config", "notes/one", "sparse"])
    def test_a_palace_that_goes_on_changing_is_refused(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, moment: str, path: str
    ) -> None:
        """Also where the change keeps size and time: linked files, and files that were written."""
        two_states(place)
        old = inodes(place.palace)
        counter = itertools.count()

        def change() -> None:
            file = place.palace / path
            times = file.stat().st_mtime_ns
            with file.open("r+b") as opened:
                opened.write(b"%6d" % next(counter))
            if path != "config":
                os.utime(file, ns=(times, times))

        name = "sync_file_system" if moment == "before" else "exchange"
        real = getattr(fsio, name)

        def changing(*arguments: Path) -> object:
            # exchanged back, nothing changes any more
            if moment == "before" or len(calls) % 2 == 0:
                change()
            calls.append(arguments)
            return real(*arguments)

        calls: list[tuple[Path, ...]] = []
        if moment == "before":
            monkeypatch.setattr(fsio, "exchange", lambda *_: pytest.fail("exchanged"))
        monkeypatch.setattr(fsio, name, changing)
        with pytest.raises(Refused) as raised:
            restore(place, replace=True)
        assert raised.value.code == "changed"
        assert len(calls) == (3 if moment == "before" else 6)
        assert (place.palace / path).read_bytes()[:6] == b"     2"
        assert inodes(place.palace) == old
        assert left_beside(place) == []

    def test_somebody_who_comes_right_before_the_exchange_is_noticed(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, now = two_states(place)
        real = fsio.exchange
        with contextlib.ExitStack() as stack:

            def coming(one: Path, other: Path) -> bool:
                code = "db = sqlite3.connect(sys.argv[1])"
                stack.enter_context(another(code, place.palace / "kg.db"))
                monkeypatch.setattr(fsio, "exchange", real)
                return real(one, other)

            monkeypatch.setattr(fsio, "exchange", coming)
            with pytest.raises(Refused) as raised:
                restore(place, replace=True)
            assert "is in use: process" in raised.value.message
            assert str(place.palace) in raised.value.message
        check(place, now)

    @pytest.mark.parametrize("exchange", [True, False])
    def test_what_came_between_the_exchange_and_the_kill_is_kept(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, exchange: bool
    ) -> None:
        """A restore that was killed before it looked again leaves that to the next one."""
        before, _ = two_states(place)
        with monkeypatch.context() as patch:
            if exchange:
                patch.setattr(replace, "_check_still", killing(replace._check_still, place, 2))
            else:
                patch.setattr(fsio, "exchange", lambda *_: False)
                patch.setattr(fsio, "rename_directory", killing(fsio.rename_directory, place, 2))
            patch.setattr(staging, "_discard", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                restore(place, replace=True)
        restore(place, "palace~1", replace=True)
        assert differences(before, state_of(place.palace)) == []
        (kept,) = place.root.glob("palace.changed-*")
        assert (kept / "late").read_text() == "late"
        assert any(str(kept) in said for said in place.notices.said)
        assert left_beside(place) == [kept.name]

    def test_what_was_half_removed_at_a_kill_is_not_taken_for_written_to(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, _ = two_states(place)
        remove_tree = fsio.remove_tree

        def half(top: Path) -> None:
            if top.name.endswith(staging.OLD):
                (top / "config").unlink()
                patch.setattr(staging, "_discard", lambda *_: None)
                raise KeyboardInterrupt
            remove_tree(top)

        with monkeypatch.context() as patch:
            patch.setattr(fsio, "exchange", lambda *_: False)
            patch.setattr(fsio, "remove_tree", half)
            with pytest.raises(KeyboardInterrupt):
                restore(place, replace=True)
        restore(place, "palace~1", replace=True)
        check(place, before)


def killing(real: Callable[..., Any], place: Place, number: int) -> Callable[..., Any]:
    """Write to what was the palace before the call with this number, and do no more."""
    calls = itertools.count(1)
    palace = os.open(place.palace, os.O_RDONLY)

    def called(*arguments: object) -> object:
        if next(calls) < number:
            return real(*arguments)
        fd = os.open("late", os.O_WRONLY | os.O_CREAT, dir_fd=palace)
        os.write(fd, b"late")
        os.close(fd)
        os.close(palace)
        raise KeyboardInterrupt

    return called


def left_beside(place: Place) -> list[str]:
    return sorted(set(os.listdir(place.root)) - OWN)
