"""pal serve: let another host push to this repository, and pull from it."""

from __future__ import annotations

from typing import Annotated

import typer

from palatine.cli import serving
from palatine.cli.invocation import invocation
from palatine.errors import UsageError

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
    if not stdio:
        raise UsageError("there is nothing but --stdio to serve on", "pal serve --stdio")
    serving.serve(invocation(context), append_only, palace or ())
