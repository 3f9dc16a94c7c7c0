"""pal stats: what a repository holds and what it costs."""

from __future__ import annotations

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import check_whole, invocation

EXAMPLES = ("pal stats", "pal stats --json")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}


def stats(context: typer.Context) -> None:
    """Show what the repository holds and what it costs."""
    run = invocation(context)
    with run.open() as repository:
        one = repository.stats()
        if run.output.json:
            objects = [
                {
                    "frame": total.frame.name.lower(),
                    "kind": total.kind.name.lower(),
                    "count": total.count,
                    "bytes": total.size,
                }
                for total in one.objects
            ]
            run.output.result(
                {
                    "id": one.id,
                    "location": shapes.name(one.location),
                    "hash": one.digest,
                    "palaces": one.palaces,
                    "snapshots": one.snapshots,
                    "packs": one.packs,
                    "stored_bytes": one.stored,
                    "index_bytes": one.index,
                    "logical_bytes": one.logical,
                    "objects": objects,
                }
            )
        else:
            for key, value in (
                ("repository", f"{text.name(one.location)} ({one.id}, {one.digest})"),
                ("palaces", f"{one.palaces:,}"),
                ("snapshots", f"{one.snapshots:,}, {text.size(one.logical)} as full copies"),
                ("packs", f"{one.packs:,}, {text.size(one.stored)}"),
                ("index", text.size(one.index)),
            ):
                run.output.line(f"{run.output.colour(f'{key:<10}', 'dim')}  {value}")
            rows = [
                (
                    total.kind.name.lower(),
                    total.frame.name.lower(),
                    f"{total.count:,}",
                    text.size(total.size),
                )
                for total in one.objects
            ]
            if rows:
                run.output.line()
            run.output.table(("OBJECTS", "FRAMES", "COUNT", "PLAIN"), rows, right="COUNT PLAIN")
        check_whole(repository)
