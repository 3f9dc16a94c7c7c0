"""What is done without typer: beginning a connection, which takes longest, and `pal serve`.

Both read command lines of the plainest form only; what has another form loses time, nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from palatine.cli import environment
from palatine.cli.scan import scan

if TYPE_CHECKING:
    from palatine.cli.invocation import Invocation
    from palatine.sync.ssh import Begun

COPYING = ("push", "pull", "sync")
"""Commands whose first word is a remote."""

COPYING_FLAGS = frozenset(
    ("--all", "--dry-run", "--json", "--json-lines", "--quiet", "-q", "--verbose", "-v")
)
COPYING_OPTIONS = frozenset(("--repo", "--tenant", "--tag", "--since", "--bandwidth"))
SERVING_FLAGS = frozenset(("--stdio", "--append-only"))
SERVING_OPTIONS = frozenset(("--repo", "--palace"))


def begin(arguments: Sequence[str]) -> Begun | None:
    """Begin the connection that a command will need; None where that cannot be told at once."""
    found = scan(arguments, COPYING_FLAGS, COPYING_OPTIONS)
    if found is None or not found.words or found.words[0] not in COPYING:
        return None
    with suppress(Exception):  # the command meets it again, and tells it
        from palatine.ops.ahead import begun

        says = environment.read()
        remote = found.words[1] if len(found.words) > 1 else None
        return begun(found.last("--repo") or says.repository, remote, says.ssh)
    return None


def serve(run: Invocation, arguments: Sequence[str]) -> bool:
    """Serve, if that is what is asked for as another `pal` asks for it."""
    found = scan(arguments, SERVING_FLAGS, SERVING_OPTIONS)
    if found is None or found.words != ["serve"] or "--stdio" not in found.flags:
        return False
    from palatine.cli.serving import serve

    run.command = "serve"
    run.options.repo = found.last("--repo")
    serve(run, "--append-only" in found.flags, found.values.get("--palace", []))
    return True


def is_awaited(arguments: Sequence[str]) -> bool:
    """Whether another host, or whoever copies, waits for this process to end."""
    return bool(arguments) and arguments[0] in (*COPYING, "serve")


def leave(code: int) -> NoReturn:
    """End the process at once: the interpreter takes a tenth of a short run to take itself down.

    Nothing is open any more but the standard streams.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
