"""pal log: what happened to palaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import check_whole, invocation

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.store.snapshots import Stored

EXAMPLES = ("pal log", "pal log alpha -n 5", "pal log alpha --healthy", "pal log alpha --graph")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}
_HEAD = ("ID", "TIME", "PALACE", "FILES", "SIZE", "ADDED", "HEALTH", "BY", "TAGS", "MESSAGE")


def log(
    context: typer.Context,
    palace: Annotated[
        str | None, typer.Argument(metavar="PALACE", help="Of this palace; else of all.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="The newest N only.")
    ] = None,
    healthy: Annotated[
        bool,
        typer.Option("--healthy", help="Those that are whole, with no database found damaged."),
    ] = False,
    forgotten: Annotated[
        bool,
        typer.Option("--forgotten", help="Those that were forgotten, and can be brought back."),
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw which snapshot came from which.")
    ] = False,
) -> None:
    """List snapshots, newest first.

    ADDED is what a snapshot cost: the bytes that it added to the repository. HEALTH is what
    pal snapshot --check found.
    """
    run = invocation(context)
    with run.open() as repository:
        found = _forgotten(repository, palace) if forgotten else repository.log(palace)
        chosen = [one for one in found if one.snapshot.healthy or not healthy][:limit]
        for name, heads in _several_heads(() if forgotten else found).items():
            run.output.notice(
                f"{name} has {len(heads)} heads, each of which goes on by itself: "
                + ", ".join(one.id.hex()[:16] for one in heads)
            )
        if run.output.json:
            run.output.result({"snapshots": [shapes.snapshot(one) for one in chosen]})
        else:
            rows = _drawn(found, chosen) if graph else [("", *_row(one)) for one in chosen]
            run.output.table(("GRAPH", *_HEAD), rows, right="FILES SIZE ADDED")
            if not found and forgotten:
                run.output.say("nothing was forgotten that gc has not collected")
            elif not found:
                run.output.say("no snapshots yet: pal snapshot makes one")
            elif forgotten:
                run.output.say("pal tag ID TAG brings one back, pal restore ID reads it")
            elif not chosen:
                run.output.say("none of them is healthy")
        check_whole(repository)


def _drawn(found: Sequence[Stored], chosen: Sequence[Stored]) -> list[tuple[str, ...]]:
    """Return the rows of snapshots, newest first, with what joins them."""
    from palatine.cli.graph import draw
    from palatine.ops.revisions import previous

    by_id = {one.id: one for one in chosen}
    parents: dict[bytes, list[bytes]] = {}
    for one in chosen:
        there = [parent for parent in one.snapshot.parents if parent in by_id]
        before = previous(found, one) if one.snapshot.parents and not there else None
        parents[one.id] = there or ([before.id] if before is not None else [])
    nothing = ("",) * len(_HEAD)
    return [
        (marks, *(_row(by_id[one]) if one is not None else nothing))
        for marks, one in draw([*by_id], parents)
    ]


def _forgotten(repository: Repository, palace: str | None) -> list[Stored]:
    """Return what was forgotten and is still whole, newest first."""
    from palatine.ops.revisions import of_palace

    whole = [one.stored for one in repository.forgotten() if one.stored is not None][::-1]
    return whole if palace is None else of_palace(whole, palace)


def _row(stored: Stored) -> tuple[str, ...]:
    one = stored.snapshot
    mark = "" if one.complete else f"[incomplete: {text.count(len(one.missing), 'path')} missing] "
    return (
        stored.id.hex()[:16],
        text.local_time(one.time_us),
        stored.palace,
        f"{one.stats.files:,}",
        text.size(one.stats.size),
        text.size(one.stats.added),
        one.health.name.lower() if one.health else "",
        text.sentence(f"{one.user}@{one.host}" if one.user else one.host),
        text.sentence(", ".join(stored.tags)),
        mark + text.sentence(one.message),
    )


def _several_heads(snapshots: Sequence[Stored]) -> dict[str, tuple[Stored, ...]]:
    """Return the heads of those palaces that have more than one."""
    from palatine.ops.history import heads

    by_palace: dict[str, list[Stored]] = {}
    for one in snapshots:
        by_palace.setdefault(one.palace, []).append(one)
    found = {name: heads(history) for name, history in by_palace.items()}
    return {name: several for name, several in found.items() if len(several) > 1}
