"""pal snapshot: keep palaces as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import text
from palatine.cli.invocation import Invocation, invocation
from palatine.cli.outcomes import Outcome, finish, tell
from palatine.errors import (
    Exists,
    NoRepository,
    PalatineError,
    PathNotFound,
    RepositoryError,
    UsageError,
)

if TYPE_CHECKING:
    from palatine.api import Repository

EXAMPLES = (
    "pal snapshot ~/.local/share/trusty-memory/palaces/alpha",
    'pal snapshot ~/memory.db --palace notes -m "before the upgrade" --tag keep',
    "pal snapshot --all ~/.local/share/trusty-memory/palaces",
    "pal snapshot ./palace --exclude '*.log' --exclude cache/",
)
EXIT_CODES = {
    3: "done, but not all: a palace failed, or something in one could not be read",
    4: "",
    5: "refused: a database in use, a name that another path holds",
    10: "",
    11: "",
}


def snapshot(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="A palace: a directory or a database.")
    ],
    palace: Annotated[
        str | None,
        typer.Option("--palace", metavar="NAME", help="The palace's name; else PATH's last part."),
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="PATH is a data root: take each directory below it.")
    ] = False,
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
) -> None:
    """Keep palaces as they are now, one snapshot each.

    Nothing changed since the last one: no snapshot is written. Of several palaces, one that fails
    does not stop the others. The default repository is made when it is first used.
    """
    run = invocation(context)
    _check(message, tag or ())
    if palace is not None and len(paths) > 1:
        raise UsageError("one name cannot stand for several palaces", "leave out --palace")
    with _opened(run, paths) as (repository, made):
        take = partial(
            repository.snapshot, palace=palace, message=message, tags=tuple(tag or ()),
            excludes=tuple(exclude or ()), unsafe_files=unsafe_files, force=force,
        )  # fmt: skip
        outcomes = _plan(repository, paths, palace, all)
        for outcome in outcomes:
            if outcome.error is None:
                run.watcher.begin(f"snapshotting {outcome.palace}")
                try:
                    outcome.done = take(outcome.source)
                except PalatineError as error:
                    outcome.error = error
                finally:
                    run.watcher.end()
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


@contextmanager
def _opened(run: Invocation, paths: Sequence[str]) -> Iterator[tuple[Repository, bool]]:
    """Open the repository, and make it first if it is the default one and not there yet."""
    from palatine import api

    made = False
    if run.location is None:
        try:
            api.open_repository(run.where()).close()
        except NoRepository:
            _check_some(paths)
            try:
                api.init(run.where())
                made = True
                run.output.say(f"made the repository {text.name(str(run.where()))}")
            except Exists:
                if not (run.where() / "config").exists():
                    raise  # something else is there; otherwise somebody was quicker
    with run.open() as repository:
        yield repository, made


def _check_some(paths: Sequence[str]) -> None:
    """Raise PathNotFound when no path leads anywhere: no repository is made for a typing error."""
    from pathlib import Path

    for path in paths:
        with suppress(RuntimeError):  # ~ and a user nobody here has
            if Path(path).expanduser().exists():
                return
    raise PathNotFound(f"there is nothing at {paths[0]}", "check the path")


def _plan(
    repository: Repository, paths: Sequence[str], palace: str | None, all: bool
) -> list[Outcome]:
    """Return the palaces to take, and an error for each path that leads to none."""
    good: list[str] = []
    outcomes: list[Outcome] = []
    for path in paths:
        try:
            found = repository.plan([path], palace=palace, all=all)
            if not found:
                raise UsageError(f"there is no directory below {path}", "--all takes a data root")
            good.append(path)
            outcomes += [Outcome(one.source, one.palace) for one in found]
        except UsageError as error:
            if len(paths) == 1:
                raise
            outcomes.append(Outcome(path, palace, error=error))
    if len(good) > 1:
        repository.plan(good, all=all)  # raises when two would have one name
    return outcomes
