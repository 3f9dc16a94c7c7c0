"""pal policy: the rules that the repository keeps, and gc applies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import keeping, text
from palatine.cli.invocation import Invocation, check_whole, invocation
from palatine.errors import UsageError
from palatine.model.names import split_palace

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.model.policy import PalaceRules, Policy

EXAMPLES = (
    "pal policy",
    "pal policy suggest",
    "pal policy set --keep-hourly 24 --keep-daily 14 --keep-weekly 8",
    "pal policy set --palace archive --keep-last all",
    "pal policy unset --palace archive",
)
EXIT_CODES = {4: "the stored policy, or a snapshot file, is damaged", 10: ""}
_ACTIONS = ("show", "set", "unset", "suggest")


def policy(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    action: Annotated[
        str, typer.Argument(metavar="[show|set|unset|suggest]", help="What to do.")
    ] = "show",
    keep_last: keeping.Last = None,
    keep_hourly: keeping.Hourly = None,
    keep_daily: keeping.Daily = None,
    keep_weekly: keeping.Weekly = None,
    keep_monthly: keeping.Monthly = None,
    keep_yearly: keeping.Yearly = None,
    keep_within: keeping.Within = None,
    keep_tag: keeping.Tags = None,
    palace: Annotated[
        str | None,
        typer.Option("--palace", metavar="NAME", help="For this palace; else all others."),
    ] = None,
    group_by: keeping.GroupBy = "place",
    zone: keeping.Zone = None,
) -> None:
    """Show, set or suggest the rules that gc applies.

    A palace's own rules hold in the stead of the general ones. Without any, nothing is forgotten.
    """
    run = invocation(context)
    counts = {
        "last": keep_last, "hourly": keep_hourly, "daily": keep_daily, "weekly": keep_weekly,
        "monthly": keep_monthly, "yearly": keep_yearly,
    }  # fmt: skip
    rules = keeping.rules(counts, keep_within, keep_tag, group_by)
    if action not in _ACTIONS:
        raise UsageError(f"{action!r} is none of {', '.join(_ACTIONS)}", "choose one")
    if action == "set" and rules.empty:
        raise UsageError(
            "there is no rule that says what stays",
            "give --keep-… options: pal policy suggest has some",
        )
    if action != "set" and not (rules.empty and zone is None):
        raise UsageError(f"pal policy {action} takes no rules", "pal policy set does")
    with run.open() as repository:
        if action == "suggest":
            _suggest(run, repository, palace)
            return
        if action == "set":
            stored = keeping.zone_to_store(run, zone)
            found = repository.set_policy(rules, palace=palace, zone=stored)
        elif action == "unset":
            found = repository.set_policy(None, palace=palace)
        else:
            found = repository.policy()
        _show(run, found.palaces if palace is None else _in_force(found, palace))


def _in_force(found: Policy, palace: str) -> tuple[PalaceRules, ...]:
    """Return the rules that hold for a palace: its own, or the general ones."""
    own = found.of(*split_palace(palace))
    return () if own is None else (own,)


def _show(run: Invocation, found: Sequence[PalaceRules]) -> None:
    if run.output.json:
        shape = [
            {
                "palace": one.name or None,
                "zone": one.zone or None,
                "keep": keeping.shape(one.rules),
                "command": keeping.command(one),
            }
            for one in found
        ]
        run.output.result({"rules": shape})
        return
    rows = [
        (one.name or "(all others)", " ".join(keeping.options(one.rules)), one.zone or "(local)")
        for one in found
    ]
    run.output.table(("PALACE", "RULES", "ZONE"), [tuple(map(text.sentence, row)) for row in rows])
    if not rows:
        run.output.say("no rules are set: gc forgets nothing (pal policy suggest has some)")


def _suggest(run: Invocation, repository: Repository, palace: str | None) -> None:
    """Print a command that sets sensible rules, and what they would leave of what is there."""
    from palatine.model.policy import PalaceRules
    from palatine.ops.policy import SUGGESTED

    names = [palace] if palace is not None else [one.name for one in repository.palaces()]
    effect = []
    for name in names:
        plan = repository.forget(rules=SUGGESTED, palace=name, dry_run=True)
        effect.append((name, len(plan.judged), len(plan.judged) - len(plan.going)))
    tenant, own = split_palace(palace) if palace is not None else ("", "")
    line = keeping.command(PalaceRules(tenant, own, "", SUGGESTED))
    if run.output.json:
        shape = [
            {"palace": name, "snapshots": there, "would_stay": stay} for name, there, stay in effect
        ]
        run.output.result({"command": line, "keep": keeping.shape(SUGGESTED), "effect": shape})
    else:
        run.output.line(line)
        for name, there, stay in effect:
            would = f"{stay} of {text.count(there, 'snapshot')} would stay"
            run.output.say(f"{name}: {would}")
    check_whole(repository)
