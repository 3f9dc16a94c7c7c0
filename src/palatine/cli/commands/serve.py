"""pal serve: let another host push to this repository, and pull from it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from palatine.cli.invocation import invocation
from palatine.errors import PalatineError, UsageError

EXAMPLES = (
    "pal serve --stdio --repo /srv/memory",
    "pal serve --stdio --repo /srv/memory --append-only --palace alpha",
)
EXIT_CODES = {10: ""}


def serve(
    context: typer.Context,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Speak over stdin and stdout: what ssh:// runs.")
    ] = False,
    append_only: Annotated[
        bool, typer.Option("--append-only", help="Take snapshots, and give nothing back.")
    ] = False,
    palace: Annotated[
        list[str] | None,
        typer.Option(
            "--palace",
            metavar="NAME",
            help="Of this palace only; all else is not there. Repeatable.",
        ),
    ] = None,
) -> None:
    """Serve this repository to one other host, until that hangs up.

    pal push, pull, clone and sync run it by themselves, through ssh. Nobody can delete anything by
    it.
    """
    from palatine.model.names import join_palace, split_palace
    from palatine.sync.far import failure
    from palatine.sync.serving import Terms
    from palatine.sync.wire import Channel
    from palatine.workers import keep_freed_memory

    if not stdio:
        raise UsageError("there is nothing but --stdio to serve on", "pal serve --stdio")
    run = invocation(context)
    names = [join_palace(*split_palace(one)) for one in palace or ()]
    terms = Terms(append_only, frozenset(names) if names else None)
    keep_freed_memory()
    channel = Channel(sys.stdin.buffer, sys.stdout.buffer, "the other side")
    channel.greet()
    try:
        with run.open() as repository:
            repository.serve(channel, terms)
    except PalatineError as error:
        channel.fail(failure(error))
        raise
