"""pal find: where and when a path was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import check_whole, invocation
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.ops.browse import Found

EXAMPLES = ("pal find '*.md'", "pal find 'notes/*/plan.md' --palace alpha")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}


def find(
    context: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="GLOB", help="Of a name, or with a slash of a whole path.")
    ],
    palace: Annotated[
        str | None, typer.Option("--palace", metavar="NAME", help="In this palace; else in all.")
    ] = None,
) -> None:
    """Find paths in all snapshots, oldest first.

    A path is listed each time it is new or differs from what it was in the snapshot before.
    """
    run = invocation(context)
    if not pattern:
        raise UsageError("an empty pattern matches nothing", "quote it: pal find '*.md'")
    with run.open() as repository:
        found = repository.find(pattern, palace)
        if run.output.json:
            run.output.stream("found", (_shape(one) for one in found), {"pattern": pattern})
        else:
            for one in run.output.while_open(found):
                when = text.local_time(one.stored.snapshot.time_us)
                short = run.output.colour(one.stored.id.hex()[:16], "yellow")
                run.output.line(
                    f"{when}  {one.stored.palace}  {text.size(one.entry.size):>10}  "
                    f"{short}:{text.name(one.path)}"
                )
        check_whole(repository)


def _shape(one: Found) -> shapes.Shape:
    return {"snapshot": shapes.reference(one.stored), **shapes.entry(one.path, one.entry)}
