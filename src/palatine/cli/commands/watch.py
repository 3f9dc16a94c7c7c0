"""pal watch: snapshots again and again, as a service in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import text
from palatine.cli.invocation import Invocation, invocation
from palatine.cli.outcomes import Outcome, event, finish, result, tell
from palatine.cli.taking import Wishes, configuration, opened, plan, sources, take

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.ops.watch import Schedule

EXAMPLES = (
    "pal watch --every 1h",
    "pal watch ~/.local/share/trusty-memory/palaces/alpha --when-quiet 30s",
    "pal watch --all ~/.local/share/trusty-memory/palaces --every 6h --when-quiet 5min",
)
EXIT_CODES = {
    0: "ended by Ctrl-C or SIGTERM; with --once: done",
    3: "with --once: done, but not all",
    4: "",
    5: "with --once: refused",
    10: "",
    11: "with --once: another process snapshots the palace",
}
_QUIET_SECONDS = 30.0


def watch(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="A palace: a directory or a database; else all that are configured.",
        ),
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="PATH is a data root: take every palace below it.")
    ] = False,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="Take each this often: 15min, 1h.")
    ] = None,
    when_quiet: Annotated[
        str | None,
        typer.Option(
            "--when-quiet",
            metavar="TIME",
            help="Take one that has changed, and then not for this long; 30s if --every is absent.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Have SQLite check the databases that were captured.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Take each once, and end.")] = False,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Configured palaces; else $PALATINE_CONFIG, else the file in your configuration.",
        ),
    ] = None,
) -> None:
    """Snapshot palaces again and again, until Ctrl-C or SIGTERM.

    Each is taken at the start; then as often as --every says, and when it has changed and gone
    quiet. A palace that fails does not stop the others, and is tried again later. Which palaces
    there are is found out at the start.
    """
    from palatine.ops import watch as watch_op

    run = invocation(context)
    schedule = _schedule(every, when_quiet)
    known = configuration(run, config)
    chosen = sources(paths or (), known)
    with opened(run, chosen) as (repository, made):
        outcomes = plan(repository, chosen, known, all=all)
        wishes = Wishes(check=check, command="watch")
        watched = [
            watch_op.Watched(
                _look(repository, run, one), partial(_take, run, repository, one, wishes)
            )
            for one in outcomes
            if one.planned is not None
        ]
        for one in outcomes:
            if one.error is not None:
                tell(run, one, alone=False)
        if once or not watched:
            watch_op.watch(watched, schedule, repository.store.clock, once=True)
            finish(run, outcomes, made)
            return
        run.output.say(f"watching {text.count(len(watched), 'palace')}; Ctrl-C ends it")
        try:
            watch_op.watch(watched, schedule, repository.store.clock)
        except KeyboardInterrupt:
            run.output.say("ended")
            result(run, outcomes, made)


def _schedule(every: str | None, when_quiet: str | None) -> Schedule:
    from palatine.ops.moments import duration
    from palatine.ops.watch import Schedule

    quiet = None if every else _QUIET_SECONDS
    return Schedule(
        duration(every) if every else None, duration(when_quiet) if when_quiet else quiet
    )


def _look(repository: Repository, run: Invocation, outcome: Outcome) -> Callable[[], bytes]:
    from palatine.ops.watch import looking

    assert outcome.planned is not None
    excludes = outcome.settings.excludes if outcome.settings else ()
    return looking(repository.store, outcome.planned, excludes, run.watcher)


def _take(run: Invocation, repository: Repository, outcome: Outcome, wishes: Wishes) -> bool:
    run.output.forget_notices()
    take(run, repository, outcome, wishes)
    when = text.local_time(repository.store.clock.now_us())
    if outcome.done is None or outcome.done.fresh or run.output.verbose:
        tell(run, outcome, alone=False, when=when)
    event(run, outcome)
    return outcome.error is None
