"""pal gc: apply the stored policy, and remove what no snapshot needs any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text, verdicts
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.ops.gc import Collected, Options, Plan

EXAMPLES = ("pal gc --dry-run", "pal gc", "pal gc --max-unused 0", "pal gc --erase")
EXIT_CODES = {
    4: "the repository is damaged: nothing was deleted",
    5: "refused: a palace would lose all snapshots, or the store does not heed put-if-absent",
    10: "",
    11: "other collectors left no time to look",
}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def gc(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    max_unused: Annotated[
        str,
        typer.Option(
            "--max-unused",
            metavar="SHARE|SIZE",
            help="How much may stay unused: 5%, 200M, or: unlimited.",
        ),
    ] = "5%",
    erase: Annotated[
        bool,
        typer.Option("--erase", help="Leave nothing that no snapshot needs, bases included."),
    ] = False,
    exclusive: Annotated[
        bool,
        typer.Option("--exclusive", help="Nobody else uses the repository: I saw to it."),
    ] = False,
) -> None:
    """Free what no snapshot needs any more.

    The stored policy is applied first, if there is one. Snapshots and restores may go on meanwhile.
    Packs of which little is used are rewritten until no more than --max-unused is wasted. What was
    forgotten can be brought back no more afterwards. With --erase, nothing that only forgotten
    snapshots held stays readable.
    """
    run = invocation(context)
    options = _options(max_unused, erase, exclusive)
    with run.open() as repository:
        if dry_run:
            plan = repository.plan_gc(options)
            if run.output.json:
                run.output.result({"dry_run": True, **_plan(plan), "done": None})
            else:
                _tell_plan(run, plan)
            return
        done = repository.gc(options)
        if run.output.json:
            run.output.result({"dry_run": False, **_plan(done.plan), "done": _done(done)})
        else:
            _tell(run, done)


def _options(max_unused: str, erase: bool, exclusive: bool) -> Options:
    from palatine.ops.gc import Options

    share, size = _limit(max_unused)
    return Options(share, size, erase, exclusive)


def _limit(given: str) -> tuple[float, int | None]:
    """Return a share, and bytes if those were given instead."""
    if given == "unlimited":
        return 1.0, None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:(%)|([kmgt]?)(?:i?b)?)", given.lower())
    if match is None or (match[2] and float(match[1]) > 100):
        raise UsageError(
            f"--max-unused {given!r} is neither a share nor a size",
            "write 5%, 200M, 0, or: unlimited",
        )
    if match[2]:
        return float(match[1]) / 100, None
    return 0.0, int(float(match[1]) * _UNITS[match[3]])


def _tell_plan(run: Invocation, plan: Plan) -> None:
    out = run.output
    if plan.forgetting is not None:
        verdicts.tell(run, plan.forgetting, True)
    out.line(
        f"{text.count(plan.snapshots, 'snapshot')} need {text.count(plan.objects, 'object')};"
        f" {text.size(plan.stored)} in {text.count(plan.packs, 'pack')}"
    )
    out.line(
        f"would remove  {text.count(len(plan.removed), 'pack')},"
        f" {text.size(sum(one.row.size for one in plan.removed))}"
    )
    out.line(
        f"would rewrite {text.count(len(plan.rewritten), 'pack')},"
        f" {text.size(sum(one.row.size for one in plan.rewritten))}"
        f" to about {text.size(plan.written)}"
    )
    out.line(f"would free    about {text.size(plan.freed)}; {text.size(plan.unused)} stay unused")
    if plan.left:
        out.line(f"would finish  {text.count(plan.left, 'pack')} that an earlier gc condemned")
    if plan.forgotten:
        count = text.count(plan.forgotten, "forgotten snapshot")
        out.line(f"{count} could not be brought back any more")


def _tell(run: Invocation, done: Collected) -> None:
    out = run.output
    if done.plan.forgetting is not None:
        verdicts.tell(run, done.plan.forgetting, False)
    rewritten = f", {text.size(done.written)} written anew" if done.written else ""
    change = text.size(abs(done.freed))
    out.say(
        f"{'freed' if done.freed >= 0 else 'took'} {change}:"
        f" {text.count(done.packs, 'pack')} removed{rewritten}"
    )
    if done.forgotten:
        count = text.count(done.forgotten, "forgotten snapshot")
        out.say(f"{count} cannot be brought back any more")
    for key in done.fenced:
        out.notice(f"a snapshot that had stopped in the middle was given up: {text.name(key)}")


def _plan(plan: Plan) -> shapes.Shape:
    forgetting = plan.forgetting
    return {
        "policy": None if forgetting is None else verdicts.shape(forgetting, True),
        "snapshots": plan.snapshots,
        "objects": plan.objects,
        "packs": plan.packs,
        "bytes": plan.stored,
        "packs_to_remove": len(plan.removed),
        "packs_to_rewrite": len(plan.rewritten),
        "packs_left_condemned": plan.left,
        "bytes_to_free": plan.freed,
        "bytes_to_write": plan.written,
        "bytes_unused": plan.unused,
        "forgotten_to_collect": plan.forgotten,
        "max_unused": plan.options.max_unused_bytes
        if plan.options.max_unused_bytes is not None
        else plan.options.max_unused,
        "erase": plan.options.erase,
    }


def _done(done: Collected) -> shapes.Shape:
    return {
        "packs_removed": done.packs,
        "bytes_deleted": done.deleted,
        "bytes_written": done.written,
        "bytes_freed": done.freed,
        "objects_copied": done.copied,
        "objects_stored_anew": done.renewed,
        "forgotten_collected": done.forgotten,
        "fenced": list(done.fenced),
    }
