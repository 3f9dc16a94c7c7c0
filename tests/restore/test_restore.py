"""Putting back: into nothing or an empty directory, whole or not at all."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import stat
from pathlib import Path
from random import Random

import pytest
from tests.capture.trees import MIB, contents
from tests.support import BLAKE3, Place, as_nobody, count, damage_frames

from palatine.backends.local import LocalBackend
from palatine.errors import Damaged, Exists, NoSpace, PathNotFound, SourceError, UsageError
from palatine.events import SILENT
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.encoding import encode
from palatine.model.tree import Entry, EntryKind, Owner, Part, Piece
from palatine.restore import directory
from palatine.restore.directory import DirectoryWriter
from palatine.restore.select import Selection
from palatine.restore.staging import staging_beside
from palatine.testing.builders import Notices, differences, state_of


def filled(place: Place) -> None:
    for name in ("a/b/deep", "a/note", "a/bee", "ab/other", "top"):
        path = place.palace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10)
    (place.palace / "big.db").write_bytes(contents(1, 3 * MIB))
    (place.palace / "a" / "link").symlink_to("note")
    (place.palace / "a" / "empty").mkdir()
    os.link(place.palace / "a" / "note", place.palace / "second-name")
    place.snapshot()


def left(place: Place) -> list[str]:
    """Return what lies beside the palace that no fixture made."""
    known = {"palace", "repository", "cache"}
    return sorted(name for name in os.listdir(place.root) if name not in known)


def test_into_an_empty_directory(place: Place) -> None:
    filled(place)
    target = place.root / "target"
    target.mkdir()
    with place.open() as repository:
        done = repository.restore("palace", target)
    assert differences(state_of(place.palace), state_of(target)) == []
    assert (done.files, done.directories, done.symlinks) == (7, 4, 1)
    assert done.size == sum(
        len(state.data) for state in state_of(target).values() if state.kind == "file"
    )


def test_parents_of_the_target_are_made(place: Place) -> None:
    filled(place)
    with place.open() as repository:
        repository.restore("palace", place.root / "x" / "y" / "target")
    assert differences(state_of(place.palace), state_of(place.root / "x" / "y" / "target")) == []


@pytest.mark.parametrize("what", ["file", "full directory", "symlink", "dangling symlink"])
def test_a_target_that_is_taken_is_refused(place: Place, what: str) -> None:
    filled(place)
    target = place.root / "target"
    if what == "file":
        target.write_bytes(b"mine")
    elif what == "full directory":
        target.mkdir()
        (target / "mine").write_bytes(b"mine")
    else:
        target.symlink_to(place.palace if what == "symlink" else "nothing")
    before = state_of(place.root / "palace"), os.lstat(target), left(place)
    with place.open() as repository:
        for dry_run in (True, False):
            with pytest.raises(Exists) as raised:
                repository.restore("palace", target, dry_run=dry_run)
            assert raised.value.hint
    assert (state_of(place.root / "palace"), os.lstat(target), left(place)) == before


def test_a_dry_run_writes_nothing_and_says_what_it_would(place: Place) -> None:
    filled(place)
    with place.open() as repository:
        plan = repository.restore("palace", place.root / "target", dry_run=True)
        assert left(place) == []
        done = repository.restore("palace", place.root / "target")
    assert (plan.files, plan.directories, plan.symlinks, plan.size) == (
        done.files, done.directories, done.symlinks, done.size,
    )  # fmt: skip
    expected = {path for path in state_of(place.palace) if path}
    assert {action.path for action in plan.actions} == expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["top"], ["top"]),
        (["a/b"], ["a", "a/b", "a/b/deep"]),
        (["a/bee", "ab"], ["a", "a/bee", "ab", "ab/other"]),
        (["/a//empty/"], ["a", "a/empty"]),
        ([b"a/link"], ["a", "a/link"]),
        (["second-name"], ["second-name"]),
    ],
)
def test_chosen_paths_come_with_what_leads_to_them(
    place: Place, paths: list[str | bytes], expected: list[str]
) -> None:
    filled(place)
    target = place.restored(paths=paths)
    whole = state_of(place.palace)
    found = state_of(target)
    assert sorted(os.fsdecode(path) for path in found if path) == expected
    for path, state in found.items():
        assert state._replace(first=b"") == whole[path]._replace(first=b"")


@pytest.mark.parametrize(
    ("path", "error"),
    [("nothing", PathNotFound), ("a/no", PathNotFound), ("top/x", PathNotFound),
     ("../a", UsageError), ("", UsageError), ("/", UsageError), (".", UsageError)],
)  # fmt: skip
def test_paths_that_are_not_there_are_refused_before_anything_is_made(
    place: Place, path: str, error: type[Exception]
) -> None:
    filled(place)
    with place.open() as repository, pytest.raises(error):
        repository.restore("palace", place.root / "target", paths=[path])
    assert left(place) == []


@pytest.mark.parametrize("kind", [Kind.CHUNK, Kind.TREE])
def test_damage_leaves_nothing_behind_and_no_descriptor_open(place: Place, kind: Kind) -> None:
    filled(place)
    assert damage_frames(place, kind)
    with place.open() as repository:
        repository.log()
        with pytest.raises(Damaged):
            repository.restore("palace", place.root / "target")
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(Damaged):
                repository.restore("palace", place.root / "target")
        gc.collect()  # the error's own traceback holds the workers' frames
        assert len(os.listdir("/proc/self/fd")) == before
    assert left(place) == []


def test_what_is_not_damaged_is_restored_by_its_path(place: Place) -> None:
    filled(place)
    with place.open() as repository:
        (part, *_) = [one for one in repository.ls("palace") if one.path == b"big.db"]
        chunk = part.entry.parts[0].id
        index = repository.store.index
        for name, size in index.listed().items():
            for frame in index.read_footer(name, size).frames:
                if chunk in [member.id for member in frame.members]:
                    path = place.repository / "packs" / name.hex()[:2] / name.hex()
                    data = bytearray(path.read_bytes())
                    data[frame.offset + frame.length // 2] ^= 1
                    path.write_bytes(data)
    with pytest.raises(Damaged, match=chunk.hex()):
        place.restored()
    target = place.restored(paths=["a", "ab", "top", "second-name"])
    expected = {path: state for path, state in state_of(place.palace).items() if path != b"big.db"}
    assert differences(expected, state_of(target)) == []


def test_what_a_killed_restore_left_is_removed_by_the_next(place: Place) -> None:
    filled(place)
    target = place.root / "tar[get]*"
    stale = place.root / f".{target.name}.pal-restore-0123456789abcdef"
    (stale / "deep").mkdir(parents=True)
    (stale / "deep" / "file").write_bytes(b"half")
    (stale / "deep").chmod(0o500)
    other = place.root / ".target.pal-restore-0123456789abcdef"
    other.mkdir()
    with place.open() as repository:
        repository.restore("palace", target)
    assert left(place) == [other.name, target.name]


def test_a_restore_under_way_is_not_taken_for_stale(place: Place) -> None:
    filled(place)
    target = place.root / "target"
    with staging_beside(target, SILENT) as staging:
        (staging / "half").write_bytes(b"half")
        with place.open() as repository:
            repository.restore("palace", target)
        assert (staging / "half").exists()


@pytest.mark.parametrize("number", [28, 122, 5, 13])
def test_a_system_that_refuses_to_write_leaves_nothing_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    filled(place)
    calls = 0
    written = os.pwrite

    def refuse(fd: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OSError(number, os.strerror(number))
        return written(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    wanted = NoSpace if number in (28, 122) else SourceError
    with place.open() as repository, pytest.raises(wanted, match="target"):
        repository.restore("palace", place.root / "target")
    assert left(place) == []


def test_many_directories_do_not_use_up_descriptors(place: Place) -> None:
    total = count(1500, 20_000)
    for number in range(total):
        (place.palace / f"{number}").mkdir()
        (place.palace / f"{number}" / "note").write_bytes(b"%d" % number)
        if number % 10 == 0:
            (place.palace / f"{number}" / "large").write_bytes(contents(number, 17_000))
    place.snapshot()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        target = place.restored()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert differences(state_of(place.palace), state_of(target)) == []


def test_a_chain_of_directories_comes_back(place: Place) -> None:
    """Python's own recursion ends near 1000; so do paths, at 4096 bytes."""
    depth = count(300, 1500)
    here = os.open(place.palace, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    file = os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(file, b"at the bottom")
    os.close(file)
    os.close(here)
    snapshot = place.snapshot().stored.snapshot
    assert snapshot.complete
    assert snapshot.stats.directories == depth
    target = place.restored()
    bottom = target.joinpath(*["d"] * depth, "f")
    assert bottom.read_bytes() == b"at the bottom"
    assert place.verify().ok
    assert not place.snapshot().fresh
    damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        place.restored()
    assert [name for name in os.listdir(place.root) if "pal-restore" in name] == []
    for root in (place.palace, target):
        os.system(f"rm -rf '{root}'")  # shutil's own removal is recursive


class Objects:
    """A source of hand-made objects."""

    def __init__(self) -> None:
        self.held: dict[ObjectId, bytes] = {}

    def put(self, kind: Kind, data: Buffer) -> ObjectId:
        object_id = Digest("blake3").object_id(kind, data)
        self.held[object_id] = bytes(data)
        return object_id

    def get(self, kind: Kind, object_id: ObjectId) -> bytes:
        return self.held[object_id]


OWNER = Owner(os.geteuid(), "", os.getegid(), "")


def write_out(source: Objects, target: Path, *entries: Entry, pool: bytes = b"") -> None:
    """Restore a directory of hand-made entries, as a hostile repository might hold."""
    pooled = sum(entry.size for entry in entries if entry.pooled)
    parts = (Part(source.put(Kind.CHUNK, pool), pooled),) if pooled else ()
    tree = source.put(Kind.TREE, encode(Piece((OWNER,), parts, entries)))
    root = Entry(b"", EntryKind.DIRECTORY, 0o755, 0, 0, parts=(Part(tree, 0),))
    target.mkdir()
    DirectoryWriter(source, Selection(source, tree, []), 2, Notices()).write(
        str(target), root, OWNER
    )


def file(name: bytes, size: int, **more: object) -> Entry:
    return Entry(name, EntryKind.FILE, 0o644, 0, 0, size, **more)  # type: ignore[arg-type]


def test_chunks_shorter_or_longer_than_their_parts_are_damage(tmp_path: Path) -> None:
    for number, held in enumerate((b"short", b"x" * 30_000)):
        source = Objects()
        chunk = source.put(Kind.CHUNK, held)
        with pytest.raises(Damaged):
            write_out(source, tmp_path / f"{number}",
                      file(b"f", 20_000, parts=(Part(chunk, 20_000),)))  # fmt: skip


def test_a_pool_shorter_than_its_files_is_damage(tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        write_out(Objects(), tmp_path / "t", file(b"a", 10), file(b"b", 10), pool=b"x" * 15)


@pytest.mark.parametrize("link", [b"away/secret", b"sub", b"up/secret", b"loop/secret"])
def test_a_second_name_never_leads_out_of_the_target(tmp_path: Path, link: bytes) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    source = Objects()
    sub = source.put(Kind.TREE, encode(Piece((), (), ())))
    entries = [
        Entry(b"away", EntryKind.SYMLINK, 0o777, 0, 0, target=os.fsencode(outside)),
        Entry(b"loop", EntryKind.SYMLINK, 0o777, 0, 0, target=b"loop"),
        Entry(b"sub", EntryKind.DIRECTORY, 0o755, 0, 0, parts=(Part(sub, 0),)),
        Entry(b"up", EntryKind.SYMLINK, 0o777, 0, 0, target=b"../outside"),
        file(b"z", 3, link=link),
    ]
    write_out(source, tmp_path / "target", *entries, pool=b"own")
    assert (tmp_path / "target" / "z").read_bytes() == b"own"
    assert (outside / "secret").stat().st_nlink == 1


def test_a_file_system_that_folds_names_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Note", "note"):
        (place.palace / name).write_bytes(name.encode())
    place.snapshot()
    opened = os.open

    def folding(path: object, flags: int, *rest: object, **options: object) -> int:
        if isinstance(path, bytes) and flags & os.O_CREAT and "dir_fd" in options:
            path = path.lower()
        return opened(path, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", folding)
    with pytest.raises(Exists, match="one to this file system"):
        place.restored()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that are another's")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_user_restores_a_palace_of_roots_without_being_root() -> None:
    """Owners cannot be set; contents, modes, times and attributes can, also of read-only files."""
    import tempfile

    root = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        place = Place(root)
        for name, mode in (("read-only", 0o400), ("none", 0o000), ("all", 0o666)):
            (place.palace / name).write_bytes(name.encode())
            os.setxattr(place.palace / name, "user.x", b"1")
            (place.palace / name).chmod(mode)
        (place.palace / "closed").mkdir(mode=0o500)
        place.snapshot()
        for path in [root, *root.rglob("*")]:
            if not path.is_relative_to(place.palace):
                os.chown(path, 65534, 65534)
        expected = state_of(place.palace)

        def restore() -> None:
            target = place.restored()
            for path in (target / "none", target / "read-only"):
                assert stat.S_IMODE(path.stat().st_mode) in (0, 0o400)
                path.chmod(path.stat().st_mode | 0o400)

        assert as_nobody(restore) == 0
        found = state_of(root / "restored-1")
        for name_of, state in expected.items():
            assert found[name_of].data == state.data
            assert found[name_of].xattrs == state.xattrs
            assert found[name_of].mtime_ns == state.mtime_ns
    finally:
        shutil.rmtree(root)


def test_many_workers_restore_what_one_does(place: Place) -> None:
    rng = Random(1)
    for number in range(200):
        (place.palace / f"{number}").write_bytes(
            rng.randbytes(rng.choice([0, 10, 20_000, 200_000]))
        )
    place.snapshot()
    assert BLAKE3.name == "blake3"
    for _ in range(count(3, 30)):
        place.check_restores()
    assert directory.IN_FLIGHT >= directory.AT_LEAST
    assert LocalBackend(place.repository).location == str(place.repository)
