"""pal reindex: make the index anew."""

from __future__ import annotations

import typer

from palatine.cli import text
from palatine.cli.failures import Reported
from palatine.cli.invocation import invocation
from palatine.errors import Damaged

EXAMPLES = ("pal reindex",)
EXIT_CODES = {4: "packs were found whose contents cannot be told", 10: "", 11: ""}


def reindex(context: typer.Context) -> None:
    """Make the index and the catalog anew, from the packs alone.

    Never needed in good times. It helps when index files are lost or damaged, or when packs were
    removed by hand.
    """
    run = invocation(context)
    with run.open() as repository:
        done = repository.reindex()
        damaged = [text.sentence(one) for one in done.damaged]
        if run.output.json:
            run.output.result(
                {
                    "packs": done.packs,
                    "damaged": damaged,
                    "kept": done.kept,
                    "segments_replaced": done.segments,
                }
            )
        run.output.say(f"indexed {text.count(done.packs, 'pack')}")
        for sentence in [] if run.output.json else damaged:
            run.output.line(f"damaged  {sentence}")
        if damaged:
            raise Reported(
                Damaged(
                    f"{text.count(len(damaged), 'pack')} could not be read",
                    "pal verify --data says what is hit",
                )
            )
