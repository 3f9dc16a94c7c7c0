"""From errors to exit codes and to the one line (or JSON object) that tells what happened."""

from __future__ import annotations

import os
from typing import NamedTuple

from palatine.errors import (
    Damaged,
    Locked,
    NoRepository,
    PalatineError,
    Refused,
    UsageError,
)

DONE, ERROR, USAGE, PARTLY, DAMAGE, REFUSED = 0, 1, 2, 3, 4, 5
NO_REPOSITORY, LOCKED, INTERRUPTED = 10, 11, 130

MEANINGS = {
    DONE: "done",
    ERROR: "error: it could not be done",
    USAGE: "usage: the request makes no sense; nothing was done",
    PARTLY: "done, but not all of it",
    DAMAGE: "damage was found in the repository",
    REFUSED: "refused: possible, but only when asked for explicitly",
    NO_REPOSITORY: "there is no repository",
    LOCKED: "somebody else holds a lock",
    INTERRUPTED: "interrupted",
}

_FAMILIES: tuple[tuple[type[PalatineError], int], ...] = (
    (UsageError, USAGE),
    (Refused, REFUSED),
    (NoRepository, NO_REPOSITORY),
    (Locked, LOCKED),
    (Damaged, DAMAGE),
)
_WORST_FIRST = (
    INTERRUPTED, DAMAGE, ERROR, NO_REPOSITORY, LOCKED, PARTLY, REFUSED, USAGE, DONE,
)  # fmt: skip


class Incomplete(PalatineError):
    """Done, but not all of it."""

    code = "incomplete"


class OutputFailed(PalatineError):
    """What was to be written to stdout could not be."""

    code = "output"


class Reported(PalatineError):
    """A failure that the output for people has told already; programs get it as an error."""

    def __init__(self, error: PalatineError, exit_code: int | None = None) -> None:
        super().__init__(error.message, error.hint)
        self.code = error.code
        self.exit_code = exit_code_of(error) if exit_code is None else exit_code


class Failure(NamedTuple):
    """An error as it is told: exit code, code word, message and hint."""

    exit_code: int
    code: str
    message: str
    hint: str


def worst(codes: list[int]) -> int:
    """Return the worst of several exit codes."""
    return min(codes, key=_WORST_FIRST.index, default=DONE)


def exit_code_of(error: PalatineError) -> int:
    """Return the exit code of an error's family."""
    if isinstance(error, Reported):
        return error.exit_code
    if isinstance(error, Incomplete):
        return PARTLY
    return next((code for family, code in _FAMILIES if isinstance(error, family)), ERROR)


def describe(error: BaseException) -> Failure:
    """Return how an exception is told; one nobody raised on purpose is a bug, and said to be."""
    if isinstance(error, KeyboardInterrupt):
        return Failure(INTERRUPTED, "interrupted", "interrupted", "")
    if isinstance(error, PalatineError):
        return Failure(exit_code_of(error), error.code, error.message, error.hint)
    parser = getattr(error, "format_message", None)
    if parser is not None:
        return _from_parser(error, str(parser()))
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return Failure(ERROR, "system", f"{where}{error.strerror}", "")
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Failure(
        ERROR, "bug", f"this is a bug in palatine: {what}", "PALATINE_DEBUG=1 shows where"
    )


def _from_parser(error: BaseException, message: str) -> Failure:
    """Describe what typer says of arguments it cannot use (its classes have no public name)."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "pal")
    first = message[:1].lower() + message[1:]
    return Failure(USAGE, "usage", first.rstrip("."), f"{command} --help shows how")
