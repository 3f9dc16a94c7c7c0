"""pal remote: names for other repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import text
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.ops.remotes import Remotes

EXAMPLES = (
    "pal remote",
    "pal remote add disk /mnt/disk/memory",
    "pal remote add offsite ssh://backup@example.org/srv/memory",
    "pal remote remove offsite",
)
EXIT_CODES = {5: "refused: there is a remote of that name", 10: ""}


def remote(
    context: typer.Context,
    action: Annotated[
        str, typer.Argument(metavar="[list|add|remove]", help="What to do.")
    ] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The remote's name.")] = None,
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="Where its repository is.")
    ] = None,
    pal: Annotated[
        str,
        typer.Option(
            "--pal", metavar="COMMAND", help="What runs pal on the other host; pal unless said."
        ),
    ] = "",
) -> None:
    """List, add or remove names for other repositories.

    They belong to the repository, and are kept in your configuration directory.
    """
    run = invocation(context)
    given = sum(one is not None for one in (name, url))
    wanted = {"list": 0, "add": 2, "remove": 1}.get(action)
    if wanted is None:
        raise UsageError(f"{action!r} is none of list, add, remove", "choose one")
    if given != wanted:
        raise UsageError(
            f"pal remote {action} takes {text.count(wanted, 'argument')}",
            "pal remote add NAME URL; pal remote remove NAME",
        )
    with run.open() as repository:
        remotes = repository.remotes()
        if name is not None and url is not None:
            from palatine.ops.remotes import Remote

            remotes.add(name, Remote(url, pal=pal))
        elif name is not None:
            remotes.remove(name)
        _show(run, remotes)


def _show(run: Invocation, remotes: Remotes) -> None:
    known = remotes.all()
    if run.output.json:
        shape = [
            {"name": name, "url": one.url, "id": one.id or None} for name, one in known.items()
        ]
        run.output.result({"remotes": shape})
        return
    run.output.table(("NAME", "URL"), [(name, text.name(one.url)) for name, one in known.items()])
