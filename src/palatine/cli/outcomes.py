"""What came of the palaces of one `pal snapshot`: for people, for programs, as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.failures import DAMAGE, ERROR, PARTLY, Incomplete, Reported, describe, worst
from palatine.cli.invocation import Invocation
from palatine.errors import PalatineError, RepositoryError

if TYPE_CHECKING:
    from pathlib import Path

    from palatine.ops.snapshot import Done

_FEW = 5
"""How many of many paths are named without --verbose."""


@dataclass
class Outcome:
    """What came of one palace: done, an error, or neither when it was not begun."""

    source: str | Path
    palace: str | None
    done: Done | None = None
    error: PalatineError | None = None


def tell(run: Invocation, outcome: Outcome, alone: bool) -> None:
    """Tell people what came of one palace; `alone` when there is no other."""
    out = run.output
    if outcome.error is not None:
        if not alone and not out.json:
            out.fail(describe(outcome.error), told=False)
        return
    done = outcome.done
    assert done is not None
    stored = done.stored
    stats, short = stored.snapshot.stats, stored.id.hex()[:16]
    if done.fresh:
        out.say(
            f"{stored.palace} {short}: {text.count(stats.files, 'file')}, {text.size(stats.size)},"
            f" {text.size(stats.added)} added"
        )
    else:
        out.say(f"{stored.palace} {short}: nothing changed, no new snapshot")
    missing = stored.snapshot.missing
    gaps = [f"{text.name(gap.path)}: {gap.reason}" for gap in missing]
    _list(run, f"{stored.palace} is incomplete: {text.count(len(gaps), 'path')} missing", gaps)
    if done.left_out:
        left = [text.sentence(one) for one in done.left_out]
        run.output.explain(f"{stored.palace}: left out: {', '.join(left)}")


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
    if run.output.json:
        run.output.result(
            {
                "repository": shapes.name(str(run.where())),
                "made_repository": made,
                "palaces": [_shape(one) for one in outcomes],
            }
        )
    undone = sum(one.done is None for one in outcomes)
    if undone:
        what = f"{undone} of {len(outcomes)} palaces were not snapshotted"
        raise Reported(Incomplete(what), _exit_code(failed, any(one.done for one in outcomes)))
    if any(one.done and not one.done.stored.snapshot.complete for one in outcomes):
        raise Reported(Incomplete("some of it could not be read and is not in the snapshot"))


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
        "error": None,
    }
    if outcome.done is not None:
        stored = outcome.done.stored
        shape["palace"] = stored.palace
        shape["status"] = "created" if outcome.done.fresh else "unchanged"
        shape["snapshot"] = shapes.snapshot(stored)
        shape["left_out"] = [text.sentence(one) for one in outcome.done.left_out]
    if outcome.error is not None:
        failure = describe(outcome.error)
        shape |= shapes.error(failure.code, failure.message, failure.hint)
    return shape
