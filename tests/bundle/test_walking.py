"""What formats see of a restored palace: all of it, in one order, however deep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from palatine.bundle.formats.base import Notes
from palatine.bundle.formats.walking import Kind, contents, leads_to_file, walk
from palatine.errors import SourceError
from palatine.fsio import remove_tree


def test_order_is_that_of_bytes_and_directories_come_first(tmp_path: Path) -> None:
    for name in (b"b/x", b"b.c", b"b/a/z", b"\xffodd", b"a"):
        path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "link").symlink_to("b")
    os.mkfifo(tmp_path / "pipe")
    assert [(item.path, item.kind) for item in walk(tmp_path)] == [
        (b"a", Kind.FILE), (b"b", Kind.DIRECTORY), (b"b/a", Kind.DIRECTORY), (b"b/a/z", Kind.FILE),
        (b"b/x", Kind.FILE), (b"b.c", Kind.FILE), (b"link", Kind.SYMLINK), (b"\xffodd", Kind.FILE),
    ]  # fmt: skip


def test_a_thousand_directories_deep_and_too_deep(tmp_path: Path) -> None:
    _nest(tmp_path / "deep", b"d", 1500)
    assert sum(1 for _ in walk(tmp_path / "deep")) == 1500
    _nest(tmp_path / "long", b"n" * 200, 30)
    with pytest.raises(SourceError, match="too deep"):
        list(walk(tmp_path / "long"))
    remove_tree(tmp_path / "deep")
    remove_tree(tmp_path / "long")


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (item,) = walk(tmp_path)
    assert b"".join(contents(item)) == b"123"
    for size in (2, 4):
        (tmp_path / "a").write_bytes(bytes(size))
        with pytest.raises(SourceError, match="changed"):
            list(contents(item))


def test_which_symlinks_lead_to_a_file_of_the_palace(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    (top / "in" / "file").write_text("x")
    (tmp_path / "outside").write_text("x")
    targets = {
        "in/file": True, "./in/../in/file": True, "in": False, ".": False, "nowhere": False,
        "../outside": False, str(top / "in" / "file"): False, "loop": False,
        "../top/in/file": False,
    }  # fmt: skip
    for at, target in enumerate(targets):
        (top / f"{at}").symlink_to(target)
    (top / "loop").symlink_to("loop")
    links = {item.path: item for item in walk(top) if item.kind is Kind.SYMLINK}
    for at, wanted in enumerate(targets.values()):
        assert leads_to_file(links[str(at).encode()], top) is wanted, list(targets)[at]


def test_notes_name_a_few_and_count_the_rest() -> None:
    notes = Notes()
    for at in range(12):
        notes.name("left out", b"%d" % at)
    notes.say("once")
    notes.say("once")
    assert notes.lines() == ("once", "left out: 0, 1, 2, 3, 4 and 7 more")


def _nest(top: Path, name: bytes, depth: int) -> None:
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
