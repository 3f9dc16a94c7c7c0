"""pal palaces: which palaces a repository keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation, check_whole, invocation

EXAMPLES = ("pal palaces", "pal palaces --json", "pal palaces --discover ~/.local/share")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}


def palaces(
    context: typer.Context,
    discover: Annotated[
        str | None,
        typer.Option(
            "--discover",
            metavar="ROOT",
            help="List instead what pal snapshot --all ROOT would take; no repository is needed.",
        ),
    ] = None,
) -> None:
    """List the palaces, each with its newest snapshot."""
    run = invocation(context)
    if discover is not None:
        _discover(run, discover)
        return
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


def _discover(run: Invocation, root: str) -> None:
    """List the palaces below a data root, with the parts of each that live elsewhere."""
    from palatine import api
    from palatine.ops.parts import outside_of

    found = [(one, outside_of(one.layout, one.source)) for one in api.discover(root)]
    if run.output.json:
        run.output.result(
            {
                "discovered": [
                    {
                        "palace": one.palace,
                        "layout": one.layout,
                        "source": shapes.name(str(one.source)),
                        "outside": [
                            {"name": part.name, "place": shapes.name(str(part.place))}
                            for part in parts
                        ],
                    }
                    for one, parts in found
                ]
            }
        )
        return
    rows = []
    for one, parts in found:
        rows.append((one.palace, one.layout, text.name(str(one.source))))
        rows += [("", f"@{part.name}", text.name(str(part.place))) for part in parts]
    run.output.table(("PALACE", "LAYOUT", "PLACE"), rows)
    if not found:
        run.output.say("there is no palace below it")
