"""What `pal log --graph` draws."""

from __future__ import annotations

import shutil

from tests.cli.conftest import Pal, make_palace

from palatine.cli.graph import draw


def drawn(history: dict[str, str]) -> list[str]:
    """Return the rows for a history, newest first: each snapshot (a letter) and its parents."""
    parents = {one.encode(): [parent.encode() for parent in of] for one, of in history.items()}
    return [f"{marks} {one.decode()}" if one else marks for marks, one in draw([*parents], parents)]


def test_one_line() -> None:
    assert drawn({"c": "b", "b": "a", "a": ""}) == ["* c", "* b", "* a"]


def test_two_hosts_and_what_they_came_from() -> None:
    rows = ["* d", "| * c", "* | b", "|/", "* a"]
    assert drawn({"d": "b", "c": "a", "b": "a", "a": ""}) == rows


def test_a_merge() -> None:
    rows = ["* e", "|\\", "* | d", "| * c", "|/", "* a"]
    assert drawn({"e": "dc", "d": "a", "c": "a", "a": ""}) == rows


def test_strangers_side_by_side() -> None:
    assert drawn({"d": "b", "c": "a", "b": "", "a": ""}) == ["* d", "| * c", "* | b", "  * a"]


def test_three_that_came_from_one() -> None:
    rows = ["* d", "| * c", "| | * b", "| |/", "|/", "* a"]
    got = drawn({"d": "a", "c": "a", "b": "a", "a": ""})
    assert got[:3] == rows[:3]
    assert got[3:] == ["|_|/", "|/", "* a"]


def test_the_command(pal: Pal) -> None:
    alpha = make_palace(pal.root / "alpha")
    pal("snapshot", alpha)
    (alpha / "x").write_text("1")
    pal("snapshot", alpha)
    other = pal.root / "other"
    shutil.copytree(alpha, other, symlinks=True)
    pal("snapshot", other, "--palace", "alpha")
    (alpha / "x").write_text("2")
    pal("snapshot", alpha, "--palace", "alpha")
    lines = pal("log", "alpha", "--graph").out.splitlines()
    assert lines[0].startswith("GRAPH  ID")
    assert [line[:5].strip() for line in lines[1:]] == ["*", "| *", "*", "*"]
