"""Running a command line: from arguments to an exit code, with no traceback on any way."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from palatine.cli import environment, quick
from palatine.cli.failures import INTERRUPTED, OutputFailed, Reported, describe
from palatine.cli.invocation import Invocation

if TYPE_CHECKING:
    from typer.core import TyperGroup

    from palatine.sync.ssh import Begun

COMMANDS = (
    "init", "snapshot", "palaces", "log", "show", "ls", "cat", "find", "diff", "restore",
    "export", "import", "verify", "tag", "forget", "policy", "gc", "repair", "remote", "push",
    "pull", "clone", "sync", "serve", "stats", "reindex", "watch", "help",
)  # fmt: skip


def run(arguments: Sequence[str], begun: Begun | None = None) -> int:
    """Run `pal` with these arguments and return its exit code.

    `begun` is a connection that was begun before; it is ended here.
    """
    _end_on_sigterm()
    invocation = Invocation(environment.read(), arguments, begun)
    try:
        try:
            code = _run(invocation, arguments)
        finally:
            invocation.close()
        invocation.output.flush()
        return code
    except SystemExit as error:
        # Typer's, when it completes a word for the shell, or when nobody reads its help
        gone = isinstance(error.__context__, BrokenPipeError)
        return 0 if gone or not isinstance(error.code, int) else error.code
    except KeyboardInterrupt as error:
        return _fail(invocation, error)
    except Exception as error:  # noqa: BLE001 - what nobody foresaw is told in one line, too
        return _fail(invocation, error)


def group(only: str | None = None) -> TyperGroup:
    """Return the command `pal` with all its commands, or with one of them."""
    from palatine.cli.commanding import made

    return made(COMMANDS if only is None else (only,))


def _run(invocation: Invocation, arguments: Sequence[str]) -> int:
    if quick.serve(invocation, arguments):
        return 0
    result = group(_named(arguments)).main(
        args=list(arguments), prog_name="pal", standalone_mode=False, obj=invocation
    )
    if result == INTERRUPTED:
        raise KeyboardInterrupt  # typer made an exit code of it
    return result if isinstance(result, int) else 0


def _named(arguments: Sequence[str]) -> str | None:
    """Return the command that is to be run, if it is clear that it needs no other.

    To make all of them takes 40 ms.
    """
    after_option = False
    for argument in arguments:
        if not (after_option or argument.startswith("-")):
            return argument if argument in COMMANDS and argument != "help" else None
        after_option = argument == "--repo"
    return None


def _fail(invocation: Invocation, error: BaseException) -> int:
    failure = describe(error)
    if invocation.environment.debug:
        import traceback

        traceback.print_exception(error)
    output = invocation.output_for_failure()
    output.fail(failure, told=isinstance(error, Reported))
    with suppress(OutputFailed):  # one failure has been told already
        output.flush()
    return failure.exit_code


def _end_on_sigterm() -> None:
    """Let SIGTERM end us as Ctrl-C does: sessions closed, nothing half-written left."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
