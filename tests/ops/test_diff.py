"""diff against a slow model that compares the two states path by path."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tests.capture.trees import MIB, TREES, Thing, contents, make
from tests.support import Place, count

import palatine.capture.files
from palatine.capture.signatures import TICK_NS
from palatine.ops.diff import Change, ChangeKind
from palatine.testing.builders import State, state_of


def content(state: State) -> tuple[str, bytes]:
    return state.kind, state.data


def facts(state: State) -> tuple[object, ...]:
    return state.kind, state.data, state.mode, state.mtime_ns, state.xattrs


def check(old: dict[bytes, State], new: dict[bytes, State], changes: list[Change]) -> None:
    """Assert that the changes say what a comparison of the states says."""
    said = {change.path: change for change in changes if change.kind != ChangeKind.REMOVED}
    removed = {change.path for change in changes if change.kind == ChangeKind.REMOVED}
    renamed = {change.old_path for change in changes if change.kind == ChangeKind.RENAMED}
    for path in (old.keys() | new.keys()) - {b""}:
        before, after = old.get(path), new.get(path)
        same_kind = before is not None and after is not None and before.kind == after.kind
        if before is not None and not same_kind:
            assert (path in removed) != (path in renamed)
        elif before is not None:
            assert path not in removed
        if after is None:
            assert path not in said
        elif not same_kind:
            change = said[path]
            assert change.kind in (ChangeKind.ADDED, ChangeKind.RENAMED)
            if change.old_path is not None:
                assert content(old[change.old_path]) == content(after)
                assert after.data
        elif before is not None and facts(before) == facts(after):
            assert path not in said
        elif before is not None:
            change = said[path]
            same = content(before) == content(after)
            assert change.kind == (ChangeKind.METADATA if same else ChangeKind.CHANGED)
            if after.kind == "file":
                assert (change.old_size, change.new_size) == (len(before.data), len(after.data))
    assert [change.path for change in changes] == sorted(change.path for change in changes)
    assert len(removed) + len(said) == len(changes)


def without_holes(things: list[Thing]) -> list[Thing]:
    """Files of equal bytes and other holes are told apart by diff, not by their bytes."""
    return [thing._replace(holes=False) for thing in things]


@given(TREES, TREES)
@settings(max_examples=count(40, 600))
def test_diff_says_what_a_comparison_of_all_paths_says(
    first: list[Thing], second: list[Thing]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        make(place.palace, without_holes(first))
        old = state_of(place.palace)
        place.snapshot()
        for name in os.listdir(place.palace)[::2]:
            path = place.palace / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.rename(place.palace / "renamed")
        make(place.palace, without_holes(second))
        new = state_of(place.palace)
        with place.open() as repository:
            check(old, new, repository.diff_directory("palace", place.palace))
        place.snapshot(force=True)
        with place.open() as repository:
            check(old, new, repository.diff("palace~1", "palace"))
            check(new, old, repository.diff("palace", "palace~1"))
            assert repository.diff("palace", "palace") == []
            assert repository.diff_directory("palace", place.palace) == []


def test_a_live_directory_is_not_read_where_nothing_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (place.palace / f"{number}").write_bytes(b"%d" % number)
    (place.palace / "big.db").write_bytes(contents(1, 2 * MIB))
    time.sleep(TICK_NS / 1e9 + 0.01)
    place.snapshot()
    read: list[bytes] = []
    inner = palatine.capture.files.FileReader.read

    def noted(self: Any, directory: int, name: bytes, *rest: Any) -> object:
        read.append(name)
        return inner(self, directory, name, *rest)

    monkeypatch.setattr(palatine.capture.files.FileReader, "read", noted)
    with place.open() as repository:
        assert repository.diff_directory("palace", place.palace) == []
        assert read == []
        (place.palace / "7").write_bytes(b"other")
        (change,) = repository.diff_directory("palace", place.palace)
    assert (change.kind, change.path) == (ChangeKind.CHANGED, b"7")
    assert read == [b"7"]


def test_a_diff_with_a_live_directory_stores_nothing(place: Place) -> None:
    (place.palace / "note").write_bytes(b"note")
    place.snapshot()
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    (place.palace / "big").write_bytes(contents(1, MIB))
    with place.open() as repository:
        assert [change.path for change in repository.diff_directory("palace", place.palace)] == [
            b"big"
        ]
    for path, data in before.items():
        if "catalog.db" not in path.name:
            assert path.read_bytes() == data
    assert len(place.packs()) == 2


def test_one_changed_name_in_a_big_directory_reads_little_of_it(place: Place) -> None:
    for number in range(count(3000, 20_000)):
        (place.palace / f"{number:05d}").write_bytes(b"%d" % number)
    place.snapshot()
    (place.palace / "01000").write_bytes(b"changed")
    place.snapshot()
    with place.open() as repository:
        (change,) = repository.diff("palace~1", "palace")
    assert (change.path, change.kind) == (b"01000", ChangeKind.CHANGED)
