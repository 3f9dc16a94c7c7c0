"""pal init: make an empty repository."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import invocation
from palatine.errors import UsageError

EXAMPLES = ("pal init", "pal init ~/memory-repository", "pal init --hash sha256 /mnt/backup/memory")
EXIT_CODES = {5: "refused: something is there already"}


def init(
    context: typer.Context,
    directory: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="Where; else as --repo says.", show_default=False),
    ] = None,
    hash: Annotated[
        Literal["blake3", "sha256"],
        typer.Option("--hash", help="The digest that names objects; it cannot be changed later."),
    ] = "blake3",
) -> None:
    """Make an empty repository.

    The default repository needs no init: `pal snapshot` makes it.
    """
    from palatine import api

    run = invocation(context)
    if directory is not None and run.options.repo is not None:
        raise UsageError("DIR and --repo name two repositories", "name one")
    run.options.repo = directory or run.options.repo
    place = run.where()
    api.init(place, hash, reporter=run.watcher)
    with run.open() as repository:
        made = repository.store.config
        if run.output.json:
            run.output.result(
                {"location": shapes.name(str(place)), "id": made.id, "hash": made.digest}
            )
        run.output.say(f"made an empty repository at {text.name(str(place))} ({made.digest})")
