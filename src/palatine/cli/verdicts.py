"""Which snapshots stay and which go, and why: for people, for programs, and what is to be noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation

if TYPE_CHECKING:
    from palatine.ops.forget import Plan
    from palatine.ops.reasons import Judged, Reason
    from palatine.store.snapshots import Stored

_HEAD = ("", "ID", "TIME", "PALACE", "SIZE", "TAGS", "REASON")
_PLAIN: dict[str, Callable[[Reason], str]] = {
    "last": lambda why: "last",
    "oldest": lambda why: f"oldest ({why.detail})",
    "within": lambda why: f"within {why.detail}",
    "keep-tag": lambda why: f"tag {text.sentence(why.detail)}",
    "tag": lambda why: f"tag {text.sentence(why.detail)}",
    "pre-restore": lambda why: f"tag pre-restore, {_until(why)}",
    "newest": lambda why: "newest",
    "newest-healthy": lambda why: "newest healthy one",
    "future": lambda why: f"from the future, {_until(why)}",
    "shrunk": lambda why: f"much smaller than {_short(why)}, {_until(why)}",
    "before-shrink": lambda why: f"{_short(why)} after it is much smaller, {_until(why)}",
    "replaced": lambda why: f"{why.detail} is {_short(why)}",
    "beyond": lambda why: "older than the rules reach",
    "named": lambda why: "named",
}


def _words(why: Reason) -> str:
    return _PLAIN[why.why](why) if why.why in _PLAIN else f"{why.why} {why.detail}"


def _until(why: Reason) -> str:
    return f"until {text.local_time(why.until_us or 0)}"


def _short(why: Reason) -> str:
    return (why.other or b"").hex()[:16]


def reasons(one: Judged) -> str:
    """Return why a snapshot stays or goes, in words; of a period, its name."""
    usual = [_words(why) for why in one.reasons]
    if not one.counts and not one.stored.snapshot.healthy:
        state = "damaged" if one.stored.snapshot.complete else "incomplete"
        usual.append(f"{state}, takes nobody's place")
    return "; ".join(usual)


def rows(judged: Sequence[Judged]) -> list[tuple[str, ...]]:
    """Return a line for each snapshot."""
    return [
        (
            "stays" if one.stays else "goes",
            one.stored.id.hex()[:16],
            text.local_time(one.stored.snapshot.wall_us),
            one.stored.palace,
            text.size(one.stored.snapshot.stats.size),
            text.sentence(", ".join(one.stored.tags)),
            reasons(one),
        )
        for one in judged
    ]


def tell(run: Invocation, plan: Plan, dry_run: bool) -> None:
    """Tell people what stays, what goes, and what somebody should look at."""
    run.output.table(_HEAD, rows(plan.judged), right="SIZE")
    for line in remarks(plan.judged):
        run.output.notice(line)
    gone = len(plan.going if dry_run else plan.forgotten)
    undone = ": pal gc frees what they hold, until then pal tag brings them back"
    run.output.say(
        f"{'would forget' if dry_run else 'forgot'} {text.count(gone, 'snapshot')}"
        f" of {len(plan.judged)}" + (undone if gone and run.command != "gc" else "")
    )


def shape(plan: Plan, dry_run: bool) -> shapes.Shape:
    """Return a plan for programs."""
    return {
        "dry_run": dry_run,
        "forgotten": len(plan.going if dry_run else plan.forgotten),
        "snapshots": [
            {
                "snapshot": shapes.reference(one.stored),
                "stays": one.stays,
                "counts": one.counts,
                "reasons": [_reason(why) for why in one.reasons],
                "shrunk_from": one.shrunk_from and shapes.reference(one.shrunk_from),
                "bytes": one.stored.snapshot.stats.size,
            }
            for one in plan.judged
        ],
    }


def _reason(why: Reason) -> shapes.Shape:
    return {
        "rule": why.why.value,
        "detail": why.detail,
        "other": why.other.hex() if why.other else None,
        "until": None if why.until_us is None else shapes.time(why.until_us),
    }


def remarks(judged: Sequence[Judged]) -> list[str]:
    """Return what somebody should know of what stays and goes, a sentence each."""
    said: list[str] = []
    for palace in dict.fromkeys(one.stored.palace for one in judged):
        of = [one for one in judged if one.stored.palace == palace]
        said += [*_of_clocks(palace, [one.stored for one in of], of), *_of_shrinking(of)]
    return said


def _of_clocks(palace: str, stored: Sequence[Stored], judged: Sequence[Judged]) -> list[str]:
    from palatine.ops.protection import FUTURE_US
    from palatine.ops.reasons import Why

    said = []
    future = [one for one in judged if any(why.why == Why.FUTURE for why in one.reasons)]
    if future:
        said.append(
            f"{text.count(len(future), 'snapshot')} of {palace} bear times to come, up to "
            f"{text.local_time(max(one.stored.snapshot.wall_us for one in future))}: they stay and"
            " take nobody's place (pal forget ID lets one go)"
        )
    behind = [one for one in stored if one.snapshot.time_us > one.snapshot.wall_us + FUTURE_US]
    if behind:
        said.append(
            f"{text.count(len(behind), 'snapshot')} of {palace} were taken by a clock that was"
            " behind an earlier snapshot's: they are ordered after it, and counted by the clock"
        )
    return said


def _of_shrinking(judged: Sequence[Judged]) -> list[str]:
    """Return what is to be said where a palace suddenly was much smaller than before."""
    from palatine.ops.reasons import Why

    said = []
    stays = {one.stored.id: one.stays for one in judged}
    for one in judged:
        larger = one.shrunk_from
        pointed_out = any(why.why == Why.SHRUNK for why in one.reasons)
        if larger is None or not one.stays or (stays.get(larger.id) and not pointed_out):
            continue
        short, before = one.stored.id.hex()[:16], larger.id.hex()[:16]
        said.append(
            f"{short} of {one.stored.palace} is much smaller than {before} before it"
            f" ({text.size(one.stored.snapshot.stats.size)} after"
            f" {text.size(larger.snapshot.stats.size)}), which"
            f" {'stays for now' if stays.get(larger.id) else 'goes'}:"
            f" pal diff {before} {short} shows what went"
        )
    return said
