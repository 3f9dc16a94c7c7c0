"""What came of the palaces of one `pal snapshot`: for people, for programs, as an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.failures import DAMAGE, ERROR, PARTLY, Incomplete, Reported, describe, worst
from palatine.cli.invocation import Invocation
from palatine.cli.output import Mode
from palatine.errors import PalatineError, RepositoryError

if TYPE_CHECKING:
    from pathlib import Path

    from palatine.model.snapshot import Artifact
    from palatine.ops.configuration import Configured
    from palatine.ops.planning import Planned
    from palatine.ops.snapshot import Done

_FEW = 5
"""How many of many paths are named without --verbose."""


@dataclass
class Outcome:
    """What came of one palace: done, an error, or neither when it was not begun.

    `settings` is what the configuration file says of it.
    """

    source: str | Path
    palace: str | None
    done: Done | None = None
    error: PalatineError | None = None
    planned: Planned | None = None
    settings: Configured | None = None


def tell(run: Invocation, outcome: Outcome, alone: bool, when: str = "") -> None:
    """Tell people what came of one palace; `alone` when there is no other, `when` in a log."""
    out = run.output
    if outcome.error is not None:
        if not alone and not out.json:
            out.fail(describe(outcome.error), told=False)
        return
    done = outcome.done
    assert done is not None
    stored = done.stored
    stats, short = stored.snapshot.stats, f"{stored.palace} {stored.id.hex()[:16]}"
    short = f"{when} {short}".lstrip()
    if done.fresh:
        out.say(
            f"{short}: {text.count(stats.files, 'file')}, {text.size(stats.size)},"
            f" {text.size(stats.added)} added"
        )
    else:
        out.say(f"{short}: nothing changed, no new snapshot")
    missing = stored.snapshot.missing
    gaps = [f"{text.name(gap.path)}: {gap.reason}" for gap in missing]
    _list(run, f"{stored.palace} is incomplete: {text.count(len(gaps), 'path')} missing", gaps)
    for path in done.damaged:
        out.notice(
            f"{stored.palace}: the database {text.name(path)} is damaged, and kept as it is (pal"
            f" log {stored.palace} --healthy lists the snapshots before)"
        )
    _explain(run, done)
    if done.left_out:
        left = [text.sentence(one) for one in done.left_out]
        run.output.explain(f"{stored.palace}: left out: {', '.join(left)}")


def _explain(run: Invocation, done: Done) -> None:
    """Tell who wants to know more how each part was captured."""
    stored = done.stored
    notes = dict(done.notes)
    for part in stored.snapshot.artifacts:
        note = f" ({notes[part.path]})" if part.path in notes else ""
        run.output.explain(f"  {text.name(part.path)}: {artifact(part)}{note}")
    if done.longest_pin:
        lasted = f"{done.longest_pin * 1000:.1f} ms"
        run.output.explain(f"{stored.palace}: the longest pin on its databases lasted {lasted}")


def artifact(part: Artifact) -> str:
    """Return what an artifact is, how it was captured, and its health where that is known."""
    words = [text.sentence(part.kind), part.captured.name.lower()]
    return ", ".join([*words, part.health.name.lower()] if part.health else words)


def _list(run: Invocation, what: str, items: Sequence[str]) -> None:
    """Tell a list on stderr, shortened unless --verbose."""
    if not items or run.output.json:
        return
    shown = items if run.output.verbose else items[:_FEW]
    run.output.notice(what)
    for item in shown:
        run.output.aside(f"  {item}")
    if len(shown) < len(items):
        run.output.aside(f"  … and {len(items) - len(shown)} more (--verbose names them)")


def finish(run: Invocation, outcomes: Sequence[Outcome], made: bool) -> None:
    """Write the result and raise what the exit code shall tell."""
    failed = [one for one in outcomes if one.error is not None]
    if len(outcomes) == 1 and failed:
        assert failed[0].error is not None
        raise failed[0].error
    result(run, outcomes, made)
    undone = sum(one.done is None for one in outcomes)
    if undone:
        what = f"{undone} of {len(outcomes)} palaces were not snapshotted"
        raise Reported(Incomplete(what), _exit_code(failed, any(one.done for one in outcomes)))
    if any(one.done and not one.done.stored.snapshot.complete for one in outcomes):
        raise Reported(Incomplete("some of it could not be read and is not in the snapshot"))
    damaged = [
        f"{one.done.stored.palace}: {os.fsdecode(path)}"
        for one in outcomes
        if one.done is not None
        for path in one.done.damaged
    ]
    if damaged:
        what = f"damaged databases were found, and kept as they are: {', '.join(damaged)}"
        raise Reported(Incomplete(what, "pal log --healthy lists snapshots from before"))
    if any(one.done and one.done.hook_failures for one in outcomes):
        raise Reported(Incomplete("the snapshot is there, but a hook failed"))


def result(run: Invocation, outcomes: Sequence[Outcome], made: bool) -> None:
    """Write the result for programs."""
    if run.output.json:
        run.output.result(
            {
                "repository": shapes.name(str(run.where())),
                "made_repository": made,
                "palaces": [_shape(one) for one in outcomes],
            }
        )


def event(run: Invocation, outcome: Outcome) -> None:
    """Tell a program that follows what came of one palace."""
    if run.output.mode is Mode.LINES:
        run.output.event({"event": "snapshot", **_shape(outcome)})


def _exit_code(failed: Sequence[Outcome], some_done: bool) -> int:
    codes = [describe(one.error).exit_code for one in failed if one.error is not None]
    if not some_done:
        return worst(codes)
    grave = [DAMAGE if code == DAMAGE else PARTLY for code in codes]
    if any(isinstance(one.error, RepositoryError) for one in failed):
        grave.append(ERROR)
    return worst(grave)


def _shape(outcome: Outcome) -> shapes.Shape:
    status = "skipped" if outcome.error is None else "failed"
    shape: shapes.Shape = {
        "palace": outcome.palace,
        "source": shapes.name(str(outcome.source)),
        "status": status,
        "snapshot": None,
        "left_out": [],
        "damaged": [],
        "longest_pin_us": None,
        "error": None,
    }
    if outcome.done is not None:
        stored = outcome.done.stored
        shape["palace"] = stored.palace
        shape["status"] = "created" if outcome.done.fresh else "unchanged"
        shape["snapshot"] = shapes.snapshot(stored)
        shape["damaged"] = [shapes.name(path) for path in outcome.done.damaged]
        shape["longest_pin_us"] = int(outcome.done.longest_pin * 1_000_000)
        shape["left_out"] = [text.sentence(one) for one in outcome.done.left_out]
    if outcome.error is not None:
        failure = describe(outcome.error)
        shape |= shapes.error(failure.code, failure.message, failure.hint)
    return shape
