"""pal show: everything about one snapshot but its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import invocation
from palatine.cli.outcomes import artifact as told

if TYPE_CHECKING:
    from palatine.store.snapshots import Stored

EXAMPLES = ("pal show alpha", "pal show alpha~3 --counts", "pal show 'alpha@{2d}'")
EXIT_CODES = {4: "what was asked for is damaged", 10: ""}


def show(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REV", help="See: pal help revisions")],
    counts: Annotated[
        bool,
        typer.Option("--counts", help="Count its entries, as its system does: reads databases."),
    ] = False,
) -> None:
    """Show everything about a snapshot but its files.

    Who took it, when, of what; its parents and tags; its layout, and the parts that it names, those
    outside of the palace included; what is missing in it.
    """
    run = invocation(context)
    with run.open() as repository:
        stored = repository.resolve(revision)
        counted = repository.counts(stored.id.hex()) if counts else {}
        derived = _derived(stored)
        if run.output.json:
            result: shapes.Shape = {
                "snapshot": shapes.snapshot(stored),
                "derived": [shapes.name(path) for path in sorted(derived)],
            }
            run.output.result({**result, "counts": counted} if counts else result)
            return
        facts = [*_facts(stored, derived), *_counts(counted)]
        if counts and not counted:
            run.output.notice(f"the layout {stored.snapshot.layout} counts nothing here")
        for key, value in facts:
            run.output.line(f"{run.output.colour(f'{key:<10}', 'dim')}  {value}")


def _derived(stored: Stored) -> set[bytes]:
    from palatine.ops.counts import derived

    return set(derived(stored))


def _counts(counted: dict[str, int]) -> Iterator[tuple[str, str]]:
    for name, number in counted.items():
        yield "count", f"{text.sentence(name.replace('_', ' '))}: {number:,}"


def _facts(stored: Stored, derived: set[bytes]) -> Iterator[tuple[str, str]]:
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
        again = ", derived (can be made anew)" if artifact.path in derived else ""
        yield "artifact", f"{text.name(artifact.path)}: {told(artifact)}{again}"
    for gap in one.missing:
        yield "missing", f"{text.name(gap.path)}: {text.sentence(gap.reason)}"
