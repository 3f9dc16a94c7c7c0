"""Merging files: three trees against a plain model, JSON item by item, git, indexes, sidecars."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.restore.merging import Pair, counts, model, report_of, rows, whys, write
from tests.support import count

from palatine.restore.merge.items import Items, NotMergeable
from palatine.restore.merge.report import Counts, Why

PATHS = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/c", "new/one", "link"])
CONTENTS = st.sampled_from(["", "one", "two", "x" * 20_000])
FILES = st.dictionaries(PATHS, CONTENTS, max_size=5)
PREFER = st.sampled_from([None, "ours", "theirs"])


def lay(root: Path, files: dict[str, str]) -> None:
    """Have a directory hold these files and no others; what is called `link` is a symlink."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "link":
            path.symlink_to(text)
        else:
            path.write_text(text)


def laid(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_text()
    return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Two palaces of the generic layout, theirs not there yet."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "keep").write_text("in both")
    return Pair(tmp_path, tmp_path / "ours", tmp_path / "theirs")


@settings(max_examples=count(8, 300))
@given(ours=FILES, theirs=FILES, base=FILES, prefer=PREFER)
@pytest.mark.torture
def test_files_are_merged_as_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, ours: Any, theirs: Any, base: Any, prefer: Any
) -> None:
    root = tmp_path_factory.mktemp("files")
    pair = Pair(root, root / "ours", root / "theirs")
    pair.ours.mkdir()
    keep = {"keep": "in both"}
    for side in (ours, theirs, base):
        if "link" in side:
            side["link"] = side["link"][:9] or "."
    lay(pair.ours, base | keep)
    pair.relate()
    lay(pair.ours, ours | keep)
    lay(pair.theirs, theirs | keep)
    expected, conflicts = model(ours, theirs, base, prefer or "")
    rehearsed = report_of(pair.merge(prefer=prefer, dry_run=True))
    assert laid(pair.ours) == ours | keep
    report = report_of(pair.merge(prefer=prefer))
    assert laid(pair.ours) == expected | keep
    for one in (rehearsed, report):
        assert {os.fsdecode(found.path) for found in one.conflicts} == conflicts
        assert {os.fsdecode(path) for path in one.removed} == ours.keys() - expected.keys()
        changed = {name for name in ours if expected.get(name, ours[name]) != ours[name]}
        assert {os.fsdecode(path) for path in one.updated} == changed
    again = report_of(pair.merge(prefer=prefer))
    assert not again.changed
    assert again.conflicts.left == report.conflicts.left
    assert laid(pair.ours) == expected | keep
    shutil.rmtree(root)


ITEM = st.fixed_dictionaries({"id": st.sampled_from(["a", "b", 1, 2]), "v": st.integers(0, 2)})
ITEMS = st.lists(ITEM, max_size=4, unique_by=lambda one: repr(one["id"]))


@given(
    ours=ITEMS, theirs=ITEMS, base=ITEMS, has_base=st.booleans(), indent=st.sampled_from([None, 2])
)
@pytest.mark.torture
def test_lists_are_merged_as_the_model_says(
    ours: Any, theirs: Any, base: Any, has_base: bool, indent: int | None
) -> None:
    sides = [{repr(one["id"]): one["v"] for one in side} for side in (ours, theirs, base)]
    if not has_base:
        sides[2] = {}
    texts = [json.dumps(one, indent=indent).encode() for one in (ours, theirs, base)]
    conflicts: list[str] = []

    def tell(key: str, why: Why) -> bool:
        conflicts.append(key)
        return False

    told = Counts(b"", "")
    merged = Items(False, told, tell).merge(texts[0], texts[1], texts[2] if has_base else None)
    expected, clashes = model(sides[0], sides[1], sides[2])
    found = json.loads(merged)
    assert {repr(one["id"]): one["v"] for one in found} == expected
    assert len(found) == len(expected)
    assert len(conflicts) == told.conflicting == len(clashes)
    assert told.added == len(expected.keys() - sides[0].keys())
    if not told.changed:
        assert merged == texts[0]
    again = Items(False, Counts(b"", ""), tell).merge(
        merged, texts[1], texts[2] if has_base else None
    )
    assert again == merged


@pytest.mark.parametrize(
    ("ours", "theirs", "base", "expected"),
    [
        ('[1.50, {"b":2,"a":1}]\n', "[1.5, 7]", None, '[1.50, {"b":2,"a":1}, 7]\n'),
        ("[]", '[\n  {"x": 1e400}\n]', None, '[\n  {"x": 1e400}\n]'),
        ('{"l": [1, 1], "k": "é"}', '{"l": [1], "n": 0}', None, '{"l": [1, 1], "k": "é", "n": 0}'),
        ('{"l": [1, 1]}', '{"l": [1]}', '{"l": [1, 1]}', '{"l": [1]}'),
        ('{"a": {"x": 1}}', '{"a": {"y": 2}}', None, '{"a": {"x": 1, "y": 2}}'),
        ('{"a": 1, "b": 2}', '{"b": 2}', '{"a": 1, "b": 2}', '{"b": 2}'),
        ('["\\ud800"]', '["b"]', None, '["\\ud800", "b"]'),
        ("[]", "[]", "broken", "[]"),
    ],
)
def test_json_keeps_the_text_of_what_stays(
    ours: str, theirs: str, base: str | None, expected: str
) -> None:
    items = Items(True, Counts(b"", ""), lambda key, why: False)
    merged = items.merge(
        ours.encode(), theirs.encode(), base.encode() if base is not None else None
    )
    assert merged.decode() == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "error"),
    [
        ("[1, 2]", "[3]", NotMergeable),
        ('{"a": 1}', '{"b": 1}', NotMergeable),
        ("[]", "{}", NotMergeable),
        ("[", "[]", ValueError),
        ("[]", "[] []", ValueError),
        ("[" * 100_000, "[]", ValueError),
    ],
)
def test_what_is_no_list_of_objects_is_not_merged_item_by_item(
    ours: str, theirs: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Items(False, Counts(b"", ""), lambda key, why: False).merge(
            ours.encode(), theirs.encode(), None
        )


def test_an_item_whose_id_comes_twice_is_lost_on_neither_side() -> None:
    ours = b'[{"id": 1, "v": 1}, {"id": 1, "v": 2}]'
    theirs = b'[{"id": 1, "v": 3}]'
    merged = Items(False, Counts(b"", ""), lambda key, why: False).merge(ours, theirs, None)
    assert [one["v"] for one in json.loads(merged)] == [1, 2, 3]


def git(palace: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
    return subprocess.run(
        command, cwd=palace, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(palace: Path, name: str) -> str:
    (palace / name).write_text(name)
    git(palace, "add", ".")
    git(palace, "commit", "-q", "-m", name)
    return git(palace, "rev-parse", "HEAD")


def test_a_git_repository_that_is_new_comes_whole_and_another_is_left(pair: Pair) -> None:
    pair.relate()
    git(pair.theirs, "init", "-q")
    head = commit(pair.theirs, "first")
    git(pair.theirs, "gc", "-q")
    report = report_of(pair.merge())
    assert report.added == [b".git/", b"first"]
    assert git(pair.ours, "rev-parse", "HEAD") == head
    git(pair.ours, "fsck", "--strict")
    # packed otherwise, and with another index, it says the same
    git(pair.ours, "repack", "-adq")
    assert not len(report_of(pair.merge()).conflicts)
    commit(pair.theirs, "second")
    report = report_of(pair.merge())
    assert whys(report) == [(".git", "git")]
    assert b"second" in report.added
    assert git(pair.ours, "rev-parse", "HEAD") == head


def test_a_repository_that_only_ours_went_on_with_is_no_conflict(pair: Pair) -> None:
    git(pair.ours, "init", "-q")
    commit(pair.ours, "first")
    pair.relate()
    head = commit(pair.ours, "second")
    (pair.theirs / "note").write_text("new")
    report = report_of(pair.merge())
    assert not len(report.conflicts)
    assert report.added == [b"note"]
    assert git(pair.ours, "rev-parse", "HEAD") == head


def test_a_new_directory_is_told_as_one_and_keeps_modes_and_times(pair: Pair) -> None:
    pair.relate()
    there = pair.theirs / "new" / "deep"
    there.mkdir(parents=True)
    (there / "run").write_text("#!/bin/sh")
    (there / "run").chmod(0o755)
    os.utime(there / "run", ns=(10**18, 10**18))
    (pair.theirs / "new" / "empty").mkdir(mode=0o700)
    os.utime(there, ns=(10**18, 10**18))
    report = report_of(pair.merge())
    assert (report.added, report.files) == ([b"new/"], 1)
    for path in (there / "run", there, pair.theirs / "new" / "empty"):
        mine = pair.ours / path.relative_to(pair.theirs)
        assert mine.stat().st_mode == path.stat().st_mode
        assert mine.stat().st_mtime_ns == path.stat().st_mtime_ns


def test_a_file_on_one_side_and_a_directory_on_the_other(pair: Pair) -> None:
    lay(pair.ours, {"x/one": "1", "y": "2"})
    pair.relate()
    lay(pair.theirs, {"x": "a file", "y/one": "1", "z": "new"})
    report = report_of(pair.merge(prefer="theirs"))
    assert whys(report) == [("x", "kind"), ("y", "kind")]
    assert report.conflicts.left == 2
    assert laid(pair.ours) == {"x/one": "1", "y": "2", "z": "new"}


def test_a_database_is_not_removed_nor_exchanged_for_something_else(pair: Pair) -> None:
    for name in ("gone.db", "other.db"):
        write(pair.ours / name, "CREATE TABLE t(id TEXT PRIMARY KEY)")
    pair.relate()
    (pair.theirs / "gone.db").unlink()
    (pair.theirs / "other.db").write_text("no database any more")
    report = report_of(pair.merge(prefer="theirs"))
    assert whys(report) == [("gone.db", "database"), ("other.db", "database")]
    assert rows(pair.ours / "other.db", "SELECT * FROM t") == []
    assert rows(pair.ours / "gone.db", "SELECT * FROM t") == []


def test_a_new_database_comes_without_anything_beside_it(pair: Pair) -> None:
    """Also where a sidecar of one that was there before still stands: it would be played in."""
    pair.relate()
    write(pair.theirs / "new.db", "PRAGMA journal_mode = WAL; CREATE TABLE t(id TEXT PRIMARY KEY)")
    write(pair.theirs / "new.db", "INSERT INTO t VALUES('theirs')")
    (pair.ours / "new.db-wal").write_bytes(b"stale" * 5000)
    report = report_of(pair.merge())
    assert b"new.db" in report.added
    assert sorted(os.listdir(pair.ours)) == ["keep", "new.db"]
    assert rows(pair.ours / "new.db", "SELECT * FROM t") == ["theirs"]


def test_what_could_not_be_captured_there_is_not_removed_here(pair: Pair) -> None:
    (pair.ours / "secret").mkdir()
    (pair.ours / "secret" / "file").write_text("x")
    pair.relate()
    if os.geteuid() == 0:
        # root reads everything: a snapshot that says so takes the place of one that could not
        from palatine.model.snapshot import Missing
        from palatine.restore.merge import sorting

        shutil.rmtree(pair.theirs / "secret")
        pair.snapshot()
        original = sorting.Sides
        with pytest.MonkeyPatch.context() as patch, pair.open() as repository:
            missing = Missing(b"secret", "cannot be read")
            stored = repository.resolve("theirs")
            patch.setattr(
                type(stored.snapshot), "missing", property(lambda _: (missing,)), raising=False
            )
            assert sorting.Sides is original
            report = report_of(repository.restore("theirs", pair.ours, merge=True))
    else:
        (pair.theirs / "secret").chmod(0)
        report = report_of(pair.merge())
        (pair.theirs / "secret").chmod(0o700)
    assert report.removed == []
    assert (pair.ours / "secret" / "file").read_text() == "x"


def test_only_chosen_paths_are_merged_and_the_merge_stays_open(pair: Pair) -> None:
    pair.relate()
    lay(pair.theirs, {"keep": "in both", "a": "1", "b/c": "2"})
    done = pair.merge(paths=["a"])
    assert report_of(done).added == [b"a"]
    assert done.after is not None
    assert len(done.after.snapshot.parents) == 1
    done = pair.merge()
    assert report_of(done).added == [b"b/"]
    assert done.after is not None
    assert len(done.after.snapshot.parents) == 2


def test_a_json_file_that_is_no_list_is_taken_whole_or_not_at_all(pair: Pair) -> None:
    (pair.ours / "x.json").write_text('{"a": 1}')
    pair.relate()
    (pair.ours / "x.json").write_text('{"a": 2}')
    (pair.theirs / "x.json").write_text('{"a": 3}')
    report = report_of(pair.merge())
    assert whys(report) == [("x.json", "both-changed")]
    assert counts(report, "x.json") == (0, 0, 0, 0, 1)
    assert (pair.ours / "x.json").read_text() == '{"a": 2}'
    assert report_of(pair.merge(prefer="theirs")).conflicts.left == 0
    assert (pair.ours / "x.json").read_text() == '{"a": 3}'
