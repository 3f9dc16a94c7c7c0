"""pal palaces: which palaces a repository keeps."""

from __future__ import annotations

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import check_whole, invocation

EXAMPLES = ("pal palaces", "pal palaces --json")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}


def palaces(context: typer.Context) -> None:
    """List the palaces, each with its newest snapshot."""
    run = invocation(context)
    with run.open() as repository:
        found = repository.palaces()
        if run.output.json:
            run.output.result(
                {
                    "palaces": [
                        {
                            "palace": one.name,
                            "tenant": one.newest.snapshot.tenant,
                            "snapshots": one.snapshots,
                            "newest": shapes.snapshot(one.newest),
                            "heads": [head.id.hex() for head in one.heads],
                        }
                        for one in found
                    ]
                }
            )
        else:
            rows = []
            for one in found:
                last = one.newest.snapshot
                rows.append(
                    (
                        one.name,
                        str(one.snapshots),
                        one.newest.id.hex()[:16],
                        text.local_time(last.time_us),
                        text.size(last.stats.size),
                        text.sentence(f"{last.host}:") + text.name(last.path),
                    )
                )
            head = ("PALACE", "SNAPSHOTS", "ID", "NEWEST", "SIZE", "PLACE")
            run.output.table(head, rows, right="SNAPSHOTS SIZE")
            if not found:
                run.output.say("no palaces yet: pal snapshot keeps one")
        for one in found:
            if len(one.heads) > 1:
                run.output.notice(
                    f"{one.name} has {len(one.heads)} heads: it was kept from "
                    "several places, and each goes on by itself"
                )
        check_whole(repository)
