"""pal forget: let go of snapshots."""

from __future__ import annotations

from typing import Annotated

import typer

from palatine.cli import keeping, verdicts
from palatine.cli.invocation import invocation
from palatine.errors import UsageError

EXAMPLES = (
    "pal forget --keep-hourly 24 --keep-daily 14 --keep-weekly 8 --dry-run",
    "pal forget --palace alpha --keep-within 30d",
    "pal forget 1f0c9a2e",
)
EXIT_CODES = {
    4: "a snapshot file is damaged, so nothing is forgotten by rules",
    5: "refused: a tag protects it, or a palace would lose its last snapshot",
    10: "",
}


def forget(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    revisions: Annotated[
        list[str] | None, typer.Argument(metavar="[REV]...", help="See: pal help revisions")
    ] = None,
    keep_last: keeping.Last = None,
    keep_hourly: keeping.Hourly = None,
    keep_daily: keeping.Daily = None,
    keep_weekly: keeping.Weekly = None,
    keep_monthly: keeping.Monthly = None,
    keep_yearly: keeping.Yearly = None,
    keep_within: keeping.Within = None,
    keep_tag: keeping.Tags = None,
    palace: Annotated[
        str | None, typer.Option("--palace", metavar="NAME", help="This palace only; else all.")
    ] = None,
    group_by: keeping.GroupBy = "place",
    zone: keeping.Zone = None,
    even_last: Annotated[
        bool,
        typer.Option("--even-last", help="Let go of a palace's last snapshot, too."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Forget snapshots, by name or by rules for what stays.

    Rules add up: what one of them keeps, stays. So do tagged snapshots, and the newest of each
    place. What was forgotten can be brought back (pal log --forgotten, pal tag) until pal gc has
    run, which frees its space.
    """
    run = invocation(context)
    counts = {
        "last": keep_last, "hourly": keep_hourly, "daily": keep_daily, "weekly": keep_weekly,
        "monthly": keep_monthly, "yearly": keep_yearly,
    }  # fmt: skip
    rules = keeping.rules(counts, keep_within, keep_tag, group_by)
    if revisions and (not rules.empty or palace is not None):
        raise UsageError(
            "snapshots are either named or chosen by rules", "leave out REV, or the options"
        )
    if not revisions and rules.empty:
        raise UsageError(
            "there is no rule that says what stays",
            "name snapshots, or give --keep-… options: pal policy suggest has some",
        )
    with run.open() as repository:
        plan = repository.forget(
            *(revisions or ()), rules=None if revisions else rules, palace=palace, zone=zone or "",
            even_last=even_last, dry_run=dry_run,
        )  # fmt: skip
        if run.output.json:
            for line in verdicts.remarks(plan.judged):
                run.output.notice(line)
            run.output.result(verdicts.shape(plan, dry_run))
        else:
            verdicts.tell(run, plan, dry_run)
