"""Snapshot, restore, compare: every tree comes back as it was, and unchanged ones cost nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.capture.trees import MIB, ROOT, TREES, Thing, contents, make
from tests.support import TORTURE, Place, count

import palatine.capture.files
import palatine.capture.leaves
from palatine.capture.signatures import TICK_NS, UNKNOWN, signature
from palatine.testing.builders import FakeClock, State, age, differences, state_of


@given(TREES)
@settings(max_examples=count(60, 1000))
def test_every_tree_comes_back_as_it_was(things: list[Thing]) -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        make(place.palace, things)
        before = state_of(place.palace)
        done = place.snapshot()
        assert done.stored.snapshot.complete
        assert done.left_out == ()
        target = place.restored()
        assert differences(before, state_of(target)) == []
        assert differences(before, state_of(place.palace)) == []
        assert blocks(target) <= blocks(place.palace) + 64
        stats = done.stored.snapshot.stats
        kinds = [state.kind for state in before.values()]
        assert stats.files == kinds.count("file")
        assert stats.directories == kinds.count("directory") - 1
        assert stats.symlinks == kinds.count("symlink")
        assert stats.size == sum(
            len(state.data) for state in before.values() if state.kind == "file"
        )
        assert place.verify().ok
        stored = place.files("packs"), place.files("index"), place.files("snapshots")
        assert not place.snapshot().fresh
        assert (place.files("packs"), place.files("index"), place.files("snapshots")) == stored


def blocks(root: Path) -> int:
    """Return the blocks of 4 KiB that the files below a directory take."""
    found = 0
    for directory, _, names in os.walk(os.fsencode(root)):
        for name in names:
            found += os.lstat(os.path.join(directory, name)).st_blocks // 8
    return found


@given(TREES, TREES)
@settings(max_examples=count(20, 300))
def test_a_second_tree_upon_the_first_comes_back_too(
    first: list[Thing], second: list[Thing]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        make(place.palace, first)
        states = [state_of(place.palace)]
        place.snapshot()
        make(place.palace, second)
        states.append(state_of(place.palace))
        place.snapshot(force=True)
        for revision, state in (("palace~1", states[0]), ("palace", states[1])):
            assert differences(state, state_of(place.restored(revision))) == []


class Palace(RuleBasedStateMachine):
    """Any edits between snapshots; each snapshot restores to what was there when it was taken.

    The cache with its signatures is kept, lost, or replaced by one of an earlier state.
    """

    names = st.integers(0, 9)

    @initialize(things=TREES)
    def begin(self, things: list[Thing]) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.place = Place(self.root)
        make(self.place.palace, things)
        self.taken: list[tuple[str, dict[bytes, State]]] = []
        self.old_cache: Path | None = None

    def paths(self, kind: str) -> list[bytes]:
        found = state_of(self.place.palace)
        top = os.fsencode(self.place.palace)
        return [
            os.path.join(top, path) if path else top
            for path, one in found.items()
            if one.kind == kind
        ]

    def pick(self, kind: str, number: int) -> bytes | None:
        some = self.paths(kind)
        return some[number % len(some)] if some else None

    @rule(things=TREES)
    def add(self, things: list[Thing]) -> None:
        make(self.place.palace, things[:5])

    @rule(number=names, at=st.integers(0, 3 * MIB), data=st.binary(min_size=1, max_size=50))
    def overwrite(self, number: int, at: int, data: bytes) -> None:
        path = self.pick("file", number)
        if path is not None and os.path.getsize(path):
            with open(path, "r+b") as file:
                file.seek(at % os.path.getsize(path))
                file.write(data)

    @rule(number=names, data=st.binary(min_size=1, max_size=9))
    def edit_in_disguise(self, number: int, data: bytes) -> None:
        """Same size, same mtime: only the change time tells."""
        path = self.pick("file", number)
        if path is not None and os.path.getsize(path):
            before = os.stat(path)
            with open(path, "r+b") as file:
                file.write(data[: before.st_size])
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(number=names, size=st.integers(0, 2 * MIB))
    def resize(self, number: int, size: int) -> None:
        path = self.pick("file", number)
        if path is not None:
            os.truncate(path, size)

    @rule(number=names)
    def remove(self, number: int) -> None:
        path = self.pick("file", number)
        if path is not None:
            os.unlink(path)

    @rule(number=names)
    def remove_directory(self, number: int) -> None:
        path = self.pick("directory", number)
        if path is not None and path != os.fsencode(self.place.palace):
            shutil.rmtree(path)

    @rule(kind=st.sampled_from(["file", "directory", "symlink"]), number=names, to=names,
          name=st.sampled_from([b"moved", b"0", b"zz", b"a"]))  # fmt: skip
    def move(self, kind: str, number: int, to: int, name: bytes) -> None:
        path, directory = self.pick(kind, number), self.pick("directory", to)
        if path is None or directory is None or path == os.fsencode(self.place.palace):
            return
        target = os.path.join(directory, name)
        if not os.path.lexists(target) and not (target + b"/").startswith(path + b"/"):
            os.rename(path, target)

    @rule(number=names, to=names, name=st.sampled_from([b"second", b"0", b"zz"]))
    def link(self, number: int, to: int, name: bytes) -> None:
        path, directory = self.pick("file", number), self.pick("directory", to)
        if path is not None and directory is not None:
            target = os.path.join(directory, name)
            if not os.path.lexists(target):
                os.link(path, target)

    @rule(number=names, mode=st.integers(0, 0o777))
    def change_mode(self, number: int, mode: int) -> None:
        path = self.pick("file", number)
        if path is not None:
            os.chmod(path, mode if ROOT else mode | 0o600)

    @rule()
    def let_time_pass(self) -> None:
        """Files become old enough for their signatures to be kept."""
        time.sleep(TICK_NS / 1e9 + 0.002)

    @rule()
    def lose_the_cache(self) -> None:
        shutil.rmtree(self.place.cache, ignore_errors=True)

    @rule()
    def keep_a_copy_of_the_cache(self) -> None:
        if self.place.cache.exists():
            self.old_cache = self.root / "old-cache"
            shutil.rmtree(self.old_cache, ignore_errors=True)
            shutil.copytree(self.place.cache, self.old_cache)

    @rule()
    def bring_back_the_old_cache(self) -> None:
        if self.old_cache is not None:
            shutil.rmtree(self.place.cache, ignore_errors=True)
            shutil.copytree(self.old_cache, self.place.cache)

    @rule()
    def snapshot(self) -> None:
        before = state_of(self.place.palace)
        done = self.place.snapshot()
        assert done.stored.snapshot.complete
        self.taken.append((done.stored.id.hex(), before))

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        for revision, state in self.taken:
            assert differences(state, state_of(self.place.restored(revision))) == []
        assert self.place.verify().ok
        shutil.rmtree(self.root)


Palace.TestCase.settings = settings(
    max_examples=count(25, 300), stateful_step_count=count(30, 60), deadline=None,
    derandomize=not TORTURE,
)  # fmt: skip
TestPalace = Palace.TestCase


def test_second_names_survive_a_move_of_the_first(place: Place) -> None:
    """The directory of the first name is renamed, and another file takes its path."""
    for name in ("one", "two"):
        (place.palace / name).mkdir()
    (place.palace / "one" / "a").write_bytes(b"the file")
    os.link(place.palace / "one" / "a", place.palace / "two" / "b")
    age(place.palace)
    time.sleep(TICK_NS / 1e9 + 0.002)
    place.snapshot()
    (place.palace / "one").rename(place.palace / "three")
    (place.palace / "one").mkdir()
    (place.palace / "one" / "a").write_bytes(b"another file")
    place.snapshot()
    place.check_restores()


@pytest.mark.parametrize("moved", [False, True])
def test_two_names_of_one_file_stay_one_whatever_kind_of_file_they_name(
    place: Place, moved: bool
) -> None:
    """By its name one is cut at fixed places, the other by its content; they are one file."""
    for directory in ("a", "b"):
        (place.palace / directory).mkdir()
    (place.palace / "a" / "pages.db").write_bytes(contents(1, 3 * MIB))
    os.link(place.palace / "a" / "pages.db", place.palace / "b" / "text")
    age(place.palace)
    time.sleep(TICK_NS / 1e9 + 0.002)
    place.snapshot()
    if moved:
        (place.palace / "a").rename(place.palace / "c")
        place.snapshot()
    place.check_restores()
    with place.open() as repository:
        entries = [one.entry for one in repository.ls("palace", recursive=True)]
    assert len({entry.parts for entry in entries if entry.size}) == 1


@pytest.mark.parametrize("later_us", [0, 1, TICK_NS // 1000 - 1])
def test_edits_within_one_tick_of_a_coarse_clock_are_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch, later_us: int
) -> None:
    """Same size, and stamps that a coarse file system cannot tell apart."""

    class Coarse:
        st_mtime_ns = st_ctime_ns = 0

        def __init__(self, status: os.stat_result) -> None:
            self._status = status

        def __getattr__(self, name: str) -> object:
            return getattr(self._status, name)

    def coarse(status: os.stat_result) -> bytes:
        return signature(Coarse(status))  # type: ignore[arg-type]

    for module in (palatine.capture.leaves, palatine.capture.files):
        monkeypatch.setattr(module, "signature", coarse)
    path = place.palace / "note"
    clock = FakeClock()
    with place.open(clock=clock) as repository:
        for number in range(5):
            data = b"%05d" % number
            path.write_bytes(data)
            clock.time_us = path.stat().st_ctime_ns // 1000 + later_us
            repository.snapshot(place.palace)
            assert b"".join(repository.cat("palace:note")) == data


def test_settled_files_are_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (place.palace / f"{number}").write_bytes(b"%d" % number)
    (place.palace / "big").write_bytes(contents(1, MIB))
    time.sleep(TICK_NS / 1e9 + 0.01)
    place.snapshot()
    read: list[bytes] = []
    inner = palatine.capture.files.FileReader.read

    def noted(self: object, directory: int, name: bytes, *rest: object) -> object:
        read.append(name)
        return inner(self, directory, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(palatine.capture.files.FileReader, "read", noted)
    assert not place.snapshot().fresh
    assert read == []
    (place.palace / "7").write_bytes(b"changed")
    place.snapshot()
    assert read == [b"7"]
    assert len(UNKNOWN) == len(signature(os.stat(place.palace)))


@pytest.mark.parametrize("name", ["pages.db", "text"])
def test_a_small_change_in_a_large_file_stores_little(place: Place, name: str) -> None:
    data = bytearray(contents(1, 5 * MIB))
    (place.palace / name).write_bytes(data)
    place.snapshot()
    before = place.stored()
    for at in range(0, len(data), 300_000):
        data[at] ^= 1
    (place.palace / name).write_bytes(data)
    place.snapshot()
    assert place.stored() - before < 100_000 + (0 if name == "pages.db" else 50_000)
    place.check_restores()


def test_a_file_whose_bytes_are_an_encoded_tree_stays_a_file(place: Place) -> None:
    (place.palace / "a").mkdir()
    (place.palace / "a" / "x").write_bytes(b"1")
    place.snapshot()
    with place.open() as repository:
        store = repository.store
        store.refresh()
        root = repository.resolve("palace").snapshot.root.tree
        tree = bytes(store.get(palatine.ids.Kind.TREE, root))
    (place.palace / "evil").write_bytes(tree * (1 + 20_000 // len(tree)))
    (place.palace / "small").write_bytes(tree)
    place.snapshot()
    place.check_restores()
    assert place.verify().ok
