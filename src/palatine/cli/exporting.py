"""What came of an export: for people, for programs, as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.failures import PARTLY, Incomplete, Reported, describe, worst
from palatine.cli.invocation import Invocation
from palatine.errors import PalatineError, RepositoryError

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.ops.export import Exported, Request
    from palatine.redact.report import Report
    from palatine.store.snapshots import Stored


@dataclass
class Outcome:
    """What came of one palace of several."""

    stored: Stored
    done: Exported | None = None
    error: PalatineError | None = None


def all_palaces(run: Invocation, repository: Repository, request: Request) -> None:
    """Export the newest snapshot of each palace; one that fails does not stop the others.

    Palaces that the format is not for are left out. Raises what the exit code shall tell.
    """
    from palatine.ops.export import layouts_of

    assert request.target is not None
    if not request.is_dry:
        request.target.mkdir(parents=True, exist_ok=True)
    layouts, outcomes = layouts_of(request.format), []
    for palace in repository.palaces():
        if layouts is not None and palace.newest.snapshot.layout not in layouts:
            run.output.notice(f"{palace.name} is left out: {request.format} has no use for it")
            continue
        outcome = Outcome(palace.newest)
        outcomes.append(outcome)
        try:
            outcome.done = repository.export(palace.newest.id.hex(), request)
        except RepositoryError:
            raise
        except PalatineError as error:
            outcome.error = error
            if not run.output.json:
                run.output.fail(describe(error), told=False)
        else:
            if not run.output.json:
                tell(run, outcome.done)
    finish(run, outcomes)


def tell(run: Invocation, done: Exported) -> None:
    """Tell people what was written."""
    out, stored = run.output, done.stored
    if done.redaction is not None:
        _tell_redaction(run, done.redaction)
    if done.path is None:
        return
    stats = done.stats
    size = f", {text.size(done.size)} written" if done.size is not None else ""
    kind = "" if done.format == "native" else f" as {done.format}"
    secret = ", encrypted" if done.encrypted else ""
    out.say(
        f"exported {stored.palace} {stored.id.hex()[:16]}"
        f" of {text.local_time(stored.snapshot.time_us)}{kind} to {text.name(str(done.path))}:"
        f" {text.count(stats.files, 'file')}, {text.size(stats.size)}{size}{secret}"
    )
    if done.sha256:
        out.explain(f"sha256: {done.sha256}")


def _tell_redaction(run: Invocation, report: Report) -> None:
    """Tell what was found, or would be replaced: on stdout, for it is what was asked for."""
    rows = [
        (text.name(path), rule, str(count))
        for path, tally in sorted(report.artifacts.items())
        for rule, count in sorted(tally.items())
    ]
    run.output.table(("ARTIFACT", "RULE", "MATCHES"), rows, right="MATCHES")
    verb = "would be replaced" if report.dry_run else "were replaced"
    matches = text.count(report.matches, "match", "matches")
    run.output.say(f"{matches} {verb} in {text.count(report.files, 'file')}")
    for history in report.histories:
        said = f" ({text.sentence(history.detail)})" if history.detail else ""
        run.output.say(f"git history {text.name(history.path)}: {history.verdict}{said}")
    for one in (*report.left_out, *report.unprocessed):
        run.output.explain(f"{text.name(one.path)} {text.sentence(one.reason)}")


def shape(done: Exported) -> shapes.Shape:
    """Return the result for programs."""
    report = done.redaction
    return {
        "snapshot": shapes.reference(done.stored),
        "format": done.format,
        "file": None if done.path is None else shapes.name(str(done.path)),
        "files": done.stats.files,
        "content_bytes": done.stats.size,
        "bytes": done.size,
        "sha256": done.sha256,
        "encrypted": done.encrypted,
        "complete": done.stored.snapshot.complete,
        "redaction": None if report is None else {"dry_run": report.dry_run, **report.to_plain()},
    }


def check(done: Exported) -> None:
    """Raise what the exit code shall tell of an export that was done."""
    report = done.redaction
    if report is not None and not report.complete and not report.dry_run:
        raise Reported(Incomplete("it was exported, but does not count as redacted"))


def finish(run: Invocation, outcomes: Sequence[Outcome]) -> None:
    """Write the result of --all, and raise what the exit code shall tell."""
    if run.output.json:
        run.output.result({"exports": [_shape(one) for one in outcomes]})
    elif not outcomes:
        run.output.say("no palaces yet: pal snapshot keeps one")
    failed = [one.error for one in outcomes if one.error is not None]
    if failed:
        what = f"{len(failed)} of {len(outcomes)} palaces were not exported"
        codes = [describe(one).exit_code for one in failed]
        code = worst(codes) if len(failed) == len(outcomes) else worst([PARTLY, *codes])
        raise Reported(Incomplete(what), code)
    for one in outcomes:
        if one.done is not None:
            check(one.done)


def _shape(outcome: Outcome) -> shapes.Shape:
    base: shapes.Shape = {"palace": outcome.stored.palace, "export": None, "error": None}
    if outcome.done is not None:
        base["export"] = shape(outcome.done)
    if outcome.error is not None:
        failure = describe(outcome.error)
        base |= shapes.error(failure.code, failure.message, failure.hint)
    return base
