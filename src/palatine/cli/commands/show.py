"""pal show: everything about one snapshot but its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import invocation

if TYPE_CHECKING:
    from palatine.store.snapshots import Stored

EXAMPLES = ("pal show alpha", "pal show alpha~3", "pal show 'alpha@{2d}'")
EXIT_CODES = {4: "what was asked for is damaged", 10: ""}


def show(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REV", help="See: pal help revisions")],
) -> None:
    """Show everything about a snapshot but its files.

    Who took it, when, of what; its parents and tags; what is missing in it.
    """
    run = invocation(context)
    with run.open() as repository:
        stored = repository.resolve(revision)
        if run.output.json:
            run.output.result({"snapshot": shapes.snapshot(stored)})
            return
        for key, value in _facts(stored):
            run.output.line(f"{run.output.colour(f'{key:<10}', 'dim')}  {value}")


def _facts(stored: Stored) -> Iterator[tuple[str, str]]:
    one, stats = stored.snapshot, stored.snapshot.stats
    yield "snapshot", stored.id.hex()
    yield "palace", stored.palace
    yield "time", text.local_time(one.time_us)
    if one.wall_us != one.time_us:
        yield "clock", f"{text.local_time(one.wall_us)} (behind an earlier snapshot's)"
    yield "by", text.sentence(f"{one.user}@{one.host}" if one.user else one.host)
    yield "place", text.name(one.path)
    for parent in one.parents:
        yield "parent", parent.hex()
    if one.message:
        yield "message", text.sentence(one.message)
    if stored.tags:
        yield "tags", text.sentence(", ".join(stored.tags))
    yield (
        "holds",
        ", ".join(
            (
                text.count(stats.files, "file"),
                text.count(stats.directories, "directory", "directories"),
                text.count(stats.symlinks, "symlink"),
                f"{text.size(stats.size)} ({stats.size:,} bytes)",
            )
        ),
    )
    yield "added", f"{text.size(stats.added)} ({stats.added:,} bytes)"
    yield "layout", text.sentence(one.layout)
    for part in one.outside:
        yield "outside", f"@{text.sentence(part.name)} from {text.name(part.place)}"
    for artifact in one.artifacts:
        captured = artifact.captured.name.lower()
        yield "artifact", f"{text.name(artifact.path)}: {text.sentence(artifact.kind)}, {captured}"
    for gap in one.missing:
        yield "missing", f"{text.name(gap.path)}: {text.sentence(gap.reason)}"
