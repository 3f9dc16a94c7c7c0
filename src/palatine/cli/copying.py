"""What push, pull, sync and clone share: options, and what they tell people and programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.failures import Incomplete, Reported
from palatine.cli.invocation import Invocation
from palatine.errors import Damaged, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palatine.ops.exchange import Copied, Moved, Options
    from palatine.ops.synchronise import Result

EXIT_CODES = {
    3: "some snapshots could not be copied",
    4: "damage was found",
    5: "refused: another digest, or another repository than the remote was",
    10: "",
}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

Where = Annotated[
    str | None,
    typer.Argument(metavar="[REMOTE]", help="A remote's name or a URL; else the only remote."),
]
What = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PALACE|REV]...", help="Of these palaces, or these snapshots, only."),
]
All = Annotated[bool, typer.Option("--all", help="All snapshots, as without any choice.")]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", metavar="NAME", help="Palaces of this tenant only; repeatable."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Snapshots with this tag only; repeatable."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="None older than this: 30d, 2026-05-01."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be copied.")]
Bandwidth = Annotated[
    str | None,
    typer.Option("--bandwidth", metavar="SIZE", help="Bytes a second at most: 500k, 2M."),
]


def options(  # noqa: PLR0913 - one for each option
    run: Invocation,
    what: Sequence[str] | None,
    tenants: Sequence[str] | None,
    tags: Sequence[str] | None,
    since: str | None,
    dry_run: bool,
    bandwidth: str | None,
    everything: bool = False,
) -> Options:
    """Return what the options ask for; raises UsageError."""
    from palatine.clock import SYSTEM
    from palatine.ops.exchange import Choice, Options
    from palatine.ops.moments import parse

    if everything and (what or tenants or tags or since is not None):
        raise UsageError("--all and a choice exclude each other", "leave out one")
    since_us = None if since is None else parse(since, SYSTEM.now_us())
    choice = Choice(tuple(what or ()), tuple(tenants or ()), tuple(tags or ()), since_us)
    limit = None if bandwidth is None else _bandwidth(bandwidth)
    return Options(choice, dry_run, limit, run.environment.ssh, run.begun)


def _bandwidth(given: str) -> int:
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)([kmg]?)(?:i?b)?", given.lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise UsageError(f"--bandwidth {given!r} is no number of bytes", "write 500k, 2M")
    return size


def finish(run: Invocation, result: Result, dry_run: bool) -> None:
    """Tell what was copied; raises Incomplete when something could not be."""
    if run.output.json:
        run.output.result(
            {
                "remote": result.remote,
                "dry_run": dry_run,
                "pushed": _shape(result.pushed),
                "pulled": _shape(result.pulled),
            }
        )
    failed, damaged = 0, list[str]()
    for verb, way, copied in (
        ("pull", "from", result.pulled),
        ("push", "to", result.pushed),
    ):
        if copied is not None:
            _tell(run, (verb, way, text.name(result.remote)), copied, dry_run)
            failed += len(copied.failed) + copied.closed
            damaged += copied.damaged
    if damaged:
        names = ", ".join(damaged)
        raise Reported(Damaged(f"damaged snapshot files could not be copied: {names}"))
    if failed:
        raise Reported(Incomplete(f"{text.count(failed, 'snapshot')} could not be copied"))


def _tell(run: Invocation, words: tuple[str, str, str], copied: Copied, dry_run: bool) -> None:
    out = run.output
    verb, way, remote = words
    for object_id, reason in copied.failed:
        out.notice(f"{object_id.hex()[:16]} cannot be copied: {reason}")
    for name in copied.damaged:
        out.notice(f"{name} is damaged: it cannot be copied")
    if copied.closed:
        out.notice(
            f"{text.count(copied.closed, 'snapshot')} of palaces that {remote} does not take"
        )
    if copied.forgotten:
        count = text.count(copied.forgotten, "snapshot")
        there = "here" if verb == "pull" else "there"
        out.explain(f"{count} {there} forgotten: not copied unless named")
    for one in copied.snapshots:
        line = f"  {one.id.hex()[:16]}  {text.local_time(one.snapshot.time_us)}  {one.palace}"
        (out.say if dry_run else out.explain)(line)
    if not copied.snapshots and not copied.tagged:
        out.say(f"nothing to {verb} {way} {remote}")
        return
    done = f"would {verb}" if dry_run else f"{verb}ed"
    count = text.count(len(copied.snapshots), "snapshot")
    tagged = f", tags of {copied.tagged} more" if copied.tagged else ""
    size = "" if dry_run else f": {text.count(copied.objects, 'object')}, {text.size(copied.sent)}"
    out.say(f"{done} {count}{tagged} {way} {remote}{size}")


def _shape(copied: Copied | None) -> shapes.Shape | None:
    if copied is None:
        return None
    return {
        "snapshots": [_reference(one) for one in copied.snapshots],
        "failed": [{"id": one.hex(), "reason": reason} for one, reason in copied.failed],
        "tagged": copied.tagged,
        "damaged": list(copied.damaged),
        "forgotten": copied.forgotten,
        "not_taken": copied.closed,
        "objects": copied.objects,
        "bytes": copied.sent,
    }


def _reference(one: Moved) -> shapes.Shape:
    return {
        "id": one.id.hex(),
        "palace": one.palace,
        "time": shapes.time(one.snapshot.time_us),
    }
