"""pal watch: snapshots again and again, as a service in the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import options, text
from palatine.cli.invocation import Invocation, invocation
from palatine.cli.outcomes import Outcome, event, finish, result, tell
from palatine.cli.taking import (
    Wishes,
    awaited,
    configuration,
    is_there,
    opened,
    plan,
    sources,
    take,
)
from palatine.errors import PalatineError, PathNotFound

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.ops.configuration import Configuration
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
    paths: options.Paths = None,
    all: options.All = False,
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
    check: options.Check = False,
    once: Annotated[bool, typer.Option("--once", help="Take each once, and end.")] = False,
    config: options.Config = None,
) -> None:
    """Snapshot palaces again and again, until Ctrl-C or SIGTERM.

    Each is taken at the start; then as often as --every says, and when it has changed and gone
    quiet. A palace that fails does not stop the others, and is tried again later. A configured one
    that is not there yet is taken when it appears. Which palaces there are below a data root is
    found out at the start.
    """
    from palatine.ops import watch as watch_op

    run = invocation(context)
    schedule = _schedule(every, when_quiet)
    known = configuration(run, config)
    chosen = sources(paths or (), known)
    later = [] if once or all else awaited(chosen, known)
    now = [path for path in chosen if path not in later]
    with opened(run, now) as (repository, made):
        outcomes = plan(repository, now, known, all=all)
        outcomes += [Outcome(path, None) for path in later]
        wishes = Wishes(check=check, command="watch")
        find = partial(_find, run, repository, known, outcomes)
        watched = [
            watch_op.Watched(
                _look(repository, run, one),
                partial(_take, run, repository, one, wishes, find),
                partial(is_there, str(one.source)),
            )
            for one in outcomes
            if one.error is None
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

    looks: list[Callable[[], bytes]] = []

    def look() -> bytes:
        if outcome.planned is None:
            return b""  # it is not there yet
        if not looks:
            excludes = outcome.settings.excludes if outcome.settings else ()
            looks.append(looking(repository.store, outcome.planned, excludes, run.watcher))
        return looks[0]()

    return look


def _find(
    run: Invocation,
    repository: Repository,
    known: Configuration,
    outcomes: Sequence[Outcome],
    wanted: Outcome,
) -> None:
    """Plan a configured palace that may be there now; note what stands against it."""
    from palatine.ops.planning import check_distinct

    try:
        (found,) = plan(repository, [str(wanted.source)], known)
        assert found.planned is not None
        check_distinct([*(one.planned for one in outcomes if one.planned), found.planned])
    except PalatineError as error:
        wanted.error = error
        return
    wanted.palace, wanted.planned, wanted.settings = found.palace, found.planned, found.settings
    run.output.say(f"{wanted.palace}: {text.name(str(wanted.source))} is there now")


def _take(
    run: Invocation,
    repository: Repository,
    outcome: Outcome,
    wishes: Wishes,
    find: Callable[[Outcome], None],
) -> bool:
    run.output.forget_notices()
    if outcome.planned is None:
        find(outcome)
    if outcome.planned is not None:
        take(run, repository, outcome, wishes)
    when = text.local_time(repository.store.clock.now_us())
    if outcome.done is None or outcome.done.fresh or run.output.verbose:
        tell(run, outcome, alone=False, when=when)
    if isinstance(outcome.error, PathNotFound):
        run.output.say(f"{text.name(str(outcome.source))} is taken when it is there")
    event(run, outcome)
    return outcome.error is None
