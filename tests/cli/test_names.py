"""Hostile names: nothing of them reaches a terminal, and all of them come back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.cli.conftest import ODD_NAME, Pal

from palatine.cli import text

ESCAPED = r"odd\xff\x1b[31m\nname"


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "alpha"), ("ls", "-lr", "alpha"), ("find", "odd*"), ("diff", "alpha~"),
        ("restore", "alpha", "x", "--dry-run"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_odd_names_are_escaped(kept: Pal, words: tuple[str, ...]) -> None:
    done = kept(*words)
    assert ESCAPED in done.out
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\xff" not in done.stdout + done.stderr


def test_odd_names_can_be_asked_for(kept: Pal, tmp_path: Path) -> None:
    assert kept("cat", b"alpha:" + ODD_NAME).stdout == b"odd"
    assert kept("ls", b"alpha:" + ODD_NAME).out == ESCAPED + "\n"
    kept("restore", "alpha", tmp_path / "out", "--path", ODD_NAME)
    assert os.listdir(os.fsencode(tmp_path / "out")) == [ODD_NAME]


def test_odd_names_in_errors(pal: Pal) -> None:
    (pal.root / "alpha").touch()
    line = pal("snapshot", ODD_NAME, code=2).err
    assert line.count("\n") == 1
    assert r"\xff\x1b[31m\nname" in line
    error = pal("snapshot", ODD_NAME, "--json", code=2).error
    assert r"\xff\x1b[31m\nname" in error["message"]


def test_an_odd_palace_directory(pal: Pal, tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/" + ODD_NAME)
    shape = pal("snapshot", ODD_NAME, "--json").result["palaces"][0]
    assert isinstance(shape["snapshot"]["path"], dict)
    assert isinstance(shape["source"], dict)
    for words in (("log",), ("palaces",), ("show", shape["palace"])):
        assert b"\x1b" not in pal(*words).stdout


def test_an_odd_message(own: Pal) -> None:
    own("snapshot", "alpha", "--palace", "b", "-m", "red \x1b[31m\nsecond line \u202e")
    out = own("log", "b").out
    assert out.splitlines()[1].endswith(r"red \x1b[31m\nsecond line \u202e")
    assert b"\x1b" not in own("log", "b", "--json").stdout


def test_output_in_an_encoding_without_arrows(kept: Pal) -> None:
    done = kept("diff", "alpha", env={"PYTHONIOENCODING": "ascii:strict"})
    assert r"big.bin \u2192 large.bin" in done.out


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain name.md", "plain name.md"),
        ("été 日本".encode(), "été 日本"),
        (b"a\\b", "a\\\\b"),
        (b"\x00\x07\x7f", r"\x00\x07\x7f"),
        ("\x9b31m".encode(), r"\u009b31m"),
        ("\u202egpj.exe".encode(), r"\u202egpj.exe"),
        ("\U000e0041".encode(), r"\U000e0041"),
        (b"\xc3\x28", r"\xc3("),
    ],
)
def test_escapes(raw: bytes, shown: str) -> None:
    assert text.name(raw) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"), (1_395_864_371, "1.3 GiB"), (1024**4, "1.0 TiB"),
        (-2048, "-2.0 KiB"), (5 * 1024**6, "5.0 EiB"), (5000 * 1024**6, "5000.0 EiB"),
    ],
)  # fmt: skip
def test_sizes(size: int, shown: str) -> None:
    assert text.size(size) == shown


def test_columns_count_wide_characters() -> None:
    assert text.width("日本") == 4
    assert text.width("e\u0301") == 1
    assert text.pad("日本", 6) == "日本  "
    assert text.pad("ab", 4, right=True) == "  ab"


def test_times_beyond_the_calendar() -> None:
    from palatine.cli import shapes

    assert text.local_time(2**62) == "?"
    assert shapes.time(2**62) is None
    assert shapes.time(-1) == "1969-12-31T23:59:59.999999Z"
    assert shapes.time(0) == "1970-01-01T00:00:00.000000Z"
