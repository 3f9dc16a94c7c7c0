"""Passphrases on the command line: from a file, piped in, or asked for on the terminal.

Never as an argument: every process of the machine can read those.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.bundle.age.keys import Passphrase

_MOST = 1 << 16


def passphrase(file: str | None, *, confirm: bool = False) -> Passphrase | None:
    """Return the passphrase that a file holds; `-` is stdin, and asks where that is a terminal.

    `confirm` has it typed twice. Raises UsageError.
    """
    from palatine.bundle.age.keys import Passphrase

    if file is None:
        return None
    if file != "-":
        return Passphrase(_one_line(_read(file), file))
    if sys.stdin.isatty():
        return Passphrase(_typed(confirm))
    return Passphrase(_one_line(sys.stdin.buffer.read(_MOST), "stdin"))


def _read(file: str) -> bytes:
    try:
        with Path(file).expanduser().open("rb") as opened:
            return opened.read(_MOST)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "name a file with a passphrase") from error
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"{file!r} cannot be the name of a file", "check the path") from error


def _one_line(data: bytes, name: str) -> bytes:
    """Return the passphrase in a file; several lines may be another file than was meant."""
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if b"\n" in line or len(data) >= _MOST:
        raise UsageError(f"{name} holds more than one line", "a passphrase is one line")
    return line


def _typed(confirm: bool) -> bytes:
    try:
        typed = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    except typer.Abort:
        raise UsageError("no passphrase was typed", "--passphrase-file FILE has it read") from None
    return str(typed).encode(errors="surrogateescape")
