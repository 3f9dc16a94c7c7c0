"""pal snapshot: keep palaces as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from palatine.cli import options
from palatine.cli.invocation import invocation
from palatine.cli.outcomes import finish, tell
from palatine.cli.taking import Wishes, configuration, opened, plan, sources, take
from palatine.errors import RepositoryError, UsageError

EXAMPLES = (
    "pal snapshot ~/.local/share/trusty-memory/palaces/alpha",
    'pal snapshot ~/memory.db --palace notes -m "before the upgrade" --tag keep',
    "pal snapshot --all ~/.local/share/trusty-memory/palaces",
    "pal snapshot ./palace --exclude '*.log' --exclude cache/",
    "pal snapshot --check",
)
EXIT_CODES = {
    3: "done, but not all: a palace failed, something could not be read, a database is damaged",
    4: "",
    5: "refused: a database in use, a name that another path holds",
    10: "",
    11: "another process snapshots the palace, and did not end in time",
}


def snapshot(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    paths: options.Paths = None,
    palace: Annotated[
        str | None,
        typer.Option("--palace", metavar="NAME", help="The palace's name; else PATH's last part."),
    ] = None,
    all: options.All = False,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why.", show_default=False)
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A label; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="GLOB", help="Leave out, as in a .gitignore; repeatable."
        ),
    ] = None,
    unsafe_files: Annotated[
        bool,
        typer.Option("--unsafe-files", help="Take databases in use as plain files: may be torn."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write a snapshot although nothing changed.")
    ] = False,
    check: options.Check = False,
    lock_timeout: Annotated[
        float,
        typer.Option(
            "--lock-timeout",
            metavar="SECONDS",
            min=0,
            help="How long another snapshot of the same palace is waited for.",
        ),
    ] = 60.0,
    config: options.Config = None,
) -> None:
    """Keep palaces as they are now, one snapshot each.

    Nothing changed since the last one: no snapshot is written. Of several palaces, one that fails
    does not stop the others. The default repository is made when it is first used. What the
    configuration file says of a palace holds unless an option says otherwise.
    """
    run = invocation(context)
    _check(message, tag or ())
    known = configuration(run, config)
    chosen = sources(paths or (), known)
    if palace is not None and len(chosen) > 1:
        raise UsageError("one name cannot stand for several palaces", "leave out --palace")
    wishes = Wishes(
        message, tuple(tag or ()), tuple(exclude or ()), unsafe_files, force, check, lock_timeout
    )
    with opened(run, chosen) as (repository, made):
        outcomes = plan(repository, chosen, known, palace, all)
        for outcome in outcomes:
            if outcome.error is None:
                take(run, repository, outcome, wishes)
            tell(run, outcome, alone=len(outcomes) == 1)
            if isinstance(outcome.error, RepositoryError):
                break  # a source's failure is its own, the repository's is everybody's
    finish(run, outcomes, made)


def _check(message: str, tags: Sequence[str]) -> None:
    """Raise UsageError once, and not for each palace."""
    from palatine.model.names import check_label, check_message

    for one in tags:
        check_label(one)
    check_message(message)
