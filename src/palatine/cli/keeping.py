"""The options that say which snapshots stay, and rules as text and for programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes
from palatine.cli.invocation import Invocation
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.model.policy import PalaceRules, Rules

_OF_PERIODS = "The newest of each of the last N {} that have one."


def _count(name: str, help: str) -> typer.models.OptionInfo:
    made = typer.Option(f"--keep-{name}", metavar="N", help=f"{help} N or: all.")
    assert isinstance(made, typer.models.OptionInfo)
    return made


Last = Annotated[str | None, _count("last", "The newest N.")]
Hourly = Annotated[str | None, _count("hourly", _OF_PERIODS.format("hours"))]
Daily = Annotated[str | None, _count("daily", _OF_PERIODS.format("days"))]
Weekly = Annotated[str | None, _count("weekly", _OF_PERIODS.format("weeks"))]
Monthly = Annotated[str | None, _count("monthly", _OF_PERIODS.format("months"))]
Yearly = Annotated[str | None, _count("yearly", _OF_PERIODS.format("years"))]
Within = Annotated[
    str | None,
    typer.Option(
        "--keep-within",
        metavar="TIME",
        help="All from this long before the newest on: 12h, 30d, 8w, 1y.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--keep-tag", metavar="TAG", help="All that bear this tag; repeatable."),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--zone", metavar="NAME", help="Whose days count: Europe/Berlin, UTC; else yours."
    ),
]
GroupBy = Annotated[
    str,
    typer.Option(
        "--group-by",
        metavar="place|palace",
        help="Count per place (host and path) a palace was kept from, or per palace.",
    ),
]


def rules(
    counts: dict[str, str | None],
    within: str | None,
    tags: list[str] | None,
    group_by: str,
) -> Rules:
    """Return the rules that the options ask for; `counts` by name. Raises UsageError."""
    from palatine.model.policy import Rules
    from palatine.ops.moments import span

    if group_by not in ("place", "palace"):
        raise UsageError(f"--group-by {group_by!r} is neither place nor palace", "choose one")
    given = {name: _number(name, count) for name, count in counts.items() if count is not None}
    return Rules(
        **given,
        within_us=0 if within is None else span(within),
        tags=tuple(sorted(set(tags or ()))),
        group="palace" if group_by == "palace" else "place",
    )


def _number(name: str, given: str) -> int:
    from palatine.model.policy import ALL

    if given == "all":
        return ALL
    if not re.fullmatch(r"[0-9]{1,9}", given):
        raise UsageError(
            f"--keep-{name} {given!r} is no number", "write how many are to stay, or: all"
        )
    return int(given)


def zone_to_store(run: Invocation, zone: str | None) -> str:
    """Return the zone that was named, else the name of this system's, which is said if unknown."""
    from palatine.ops.periods import system_zone, zone_named

    if zone is not None:
        zone_named(zone)
        return zone
    found = system_zone(run.environment.zone)
    if not found:
        run.output.notice(
            "this system's time zone has no name: the days that count will be those of the host on"
            " which gc runs (--zone names one)"
        )
    return found


def options(one: Rules) -> list[str]:
    """Return the options that ask for rules."""
    from palatine.model.policy import ALL
    from palatine.ops.moments import span_text

    words: list[str] = []
    for name, count in one.counts.items():
        if count:
            words += [f"--keep-{name}", "all" if count == ALL else str(count)]
    if one.within_us:
        words += ["--keep-within", span_text(one.within_us)]
    for tag in one.tags:
        words += ["--keep-tag", tag]
    return words + (["--group-by", one.group] if one.group != "place" else [])


def command(one: PalaceRules) -> str:
    """Return the command that stores the rules of a palace."""
    import shlex

    palace = ["--palace", one.name] if one.name else []
    zone = ["--zone", one.zone] if one.zone else []
    return shlex.join(["pal", "policy", "set", *palace, *options(one.rules), *zone])


def shape(one: Rules) -> shapes.Shape:
    """Return rules for programs: a count is a number, null for no limit."""
    from palatine.model.policy import ALL

    return {
        **{name: None if count == ALL else count for name, count in one.counts.items()},
        "within_seconds": one.within_us // 1_000_000,
        "tags": list(one.tags),
        "group_by": one.group,
    }
