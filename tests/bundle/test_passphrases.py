"""Passphrases on the command line: from a file, a pipe or the terminal, never as an argument."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bundle.crypting import on_a_terminal

from palatine.cli.passphrases import passphrase
from palatine.errors import UsageError

SRC = Path(__file__).parents[2] / "src"
SCRIPT = """
from palatine.cli.passphrases import passphrase
from palatine.errors import PalatineError
try:
    found = passphrase("-", confirm={confirm})
    print("GOT", found.secret.hex())
except PalatineError as error:
    print("TOLD", error.message, "|", error.hint)
"""


def secret(file: Path) -> bytes:
    found = passphrase(str(file))
    assert found is not None
    return found.secret


def test_nothing_asked_for() -> None:
    assert passphrase(None) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"correct horse", b"correct horse"),
        (b"correct horse\n", b"correct horse"),
        (b" blanks stay \r\n", b" blanks stay "),
        ("Grüße".encode(), "Grüße".encode()),
    ],
)
def test_from_a_file(tmp_path: Path, content: bytes, expected: bytes) -> None:
    (tmp_path / "F").write_bytes(content)
    assert secret(tmp_path / "F") == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"one\n\n", "more than one line"),
        (b"x" * (1 << 17), "more than one line"),
    ],
)
def test_what_is_no_passphrase(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "F").write_bytes(content)
    with pytest.raises(UsageError, match=told):
        secret(tmp_path / "F")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        secret(tmp_path / "F")
    with pytest.raises(UsageError, match="cannot be the name"):
        passphrase("a\0b")


def test_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
    found = passphrase("-")
    assert found is not None
    assert found.secret == b"correct horse"


def script(confirm: bool) -> str:
    return f"import sys; sys.path.insert(0, {str(SRC)!r}){SCRIPT.format(confirm=confirm)}"


def prompted(confirm: bool, *typed: str) -> str:
    """Have the prompt ask on a terminal; return all that was seen there."""
    code, seen = on_a_terminal([sys.executable, "-c", script(confirm)], typed)
    assert code == 0, seen
    return seen


def test_typed() -> None:
    seen = prompted(False, "correct horse")
    assert f"GOT {b'correct horse'.hex()}" in seen
    assert "correct horse" not in seen


def test_typed_twice() -> None:
    expected = f"GOT {b'same'.hex()}"
    assert expected in prompted(True, "same", "same")
    seen = prompted(True, "same", "other", "same", "same")
    assert expected in seen
    assert "do not match" in seen


def test_nothing_typed_and_nothing_piped() -> None:
    code, seen = on_a_terminal([sys.executable, "-c", script(False)], ["\x04"])
    assert code == 0
    assert "TOLD no passphrase was typed | --passphrase-file FILE" in seen
    done = subprocess.run(
        [sys.executable, "-c", script(False)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert "TOLD the passphrase is empty" in done.stdout
