"""Which palaces a command is to snapshot, by its arguments and the configuration, and doing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from palatine.cli import text
from palatine.cli.invocation import Invocation
from palatine.cli.outcomes import Outcome
from palatine.errors import Exists, NoRepository, PalatineError, PathNotFound, UsageError

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.ops.configuration import Configuration, Configured
    from palatine.ops.planning import Planned


@dataclass(frozen=True)
class Wishes:
    """What the command line says of every palace it takes; `command` is told to who has to wait."""

    message: str = ""
    tags: Sequence[str] = ()
    excludes: Sequence[str] = ()
    unsafe_files: bool = False
    force: bool = False
    check: bool = False
    lock_timeout: float = 60.0
    command: str = "snapshot"


def configuration(run: Invocation, file: str | None) -> Configuration:
    """Return what the configuration file says; the default one need not be there."""
    from pathlib import Path

    from palatine.api import default_configuration
    from palatine.ops.configuration import load

    named = file or run.environment.config
    if named is None:
        return load(default_configuration(), required=False)
    try:
        return load(Path(named).expanduser(), required=True)
    except RuntimeError:
        raise UsageError(f"{named!r} begins with a user nobody here has") from None


def sources(paths: Sequence[str], known: Configuration) -> list[str]:
    """Return the paths to take: all that are configured where none is given."""
    found = list(paths) or [str(one.path) for one in known.palaces]
    if not found:
        raise UsageError(
            "no PATH is given, and no palace is configured",
            "name a palace's directory or database, or configure palaces (docs/configuration.md)",
        )
    return found


def is_there(path: str) -> bool:
    """Whether a path that the user gave leads anywhere."""
    from pathlib import Path

    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # nobody may look, or ~ and a user nobody here has
        return False


def awaited(paths: Sequence[str], known: Configuration) -> list[str]:
    """Return the configured ones of these paths that lead nowhere yet: no typing errors."""
    from pathlib import Path

    missing = [path for path in paths if not is_there(path)]
    return [path for path in missing if known.of(Path(path)) is not None]


@contextmanager
def opened(run: Invocation, paths: Sequence[str]) -> Iterator[tuple[Repository, bool]]:
    """Open the repository, and make it first if it is the default one and not there yet."""
    from palatine import api

    made = False
    if run.location is None:
        try:
            api.open_repository(run.where()).close()
        except NoRepository:
            if paths:
                _check_some(paths)
            try:
                api.init(run.where())
                made = True
                run.output.say(f"made the repository {text.name(str(run.where()))}")
            except Exists:
                if not (api.default_repository() / "config").exists():
                    raise  # something else is there; otherwise somebody was quicker
    with run.open() as repository:
        yield repository, made


def plan(
    repository: Repository,
    paths: Sequence[str],
    known: Configuration,
    palace: str | None = None,
    all: bool = False,
) -> list[Outcome]:
    """Return the palaces to take, and an error for each path that leads to none."""
    from palatine.ops.planning import check_distinct

    outcomes: list[Outcome] = []
    for path in paths:
        try:
            found = repository.plan([path], palace=palace, all=all)
            if not found:
                raise UsageError(f"there is no palace below {path}", "--all takes a data root")
            outcomes += [_configured(one, known, named=palace is not None) for one in found]
        except UsageError as error:
            if len(paths) == 1:
                raise
            outcomes.append(Outcome(path, palace, error=error))
    check_distinct(one.planned for one in outcomes if one.planned is not None)
    return outcomes


def take(run: Invocation, repository: Repository, outcome: Outcome, wishes: Wishes) -> None:
    """Snapshot a palace that was planned, and note in the outcome what came of it."""
    from palatine.capture.palace import Options
    from palatine.ops.configuration import Configured
    from palatine.ops.keep import Terms
    from palatine.ops.palacelock import Patience
    from palatine.ops.snapshot import Request

    planned = outcome.planned
    assert planned is not None
    settings = outcome.settings or Configured(planned.source)
    excludes = (*settings.excludes, *wishes.excludes)
    request = Request(
        planned.source, planned.tenant, planned.palace, planned.derived, wishes.message,
        tuple(wishes.tags), wishes.force, Options(excludes, wishes.unsafe_files),
        wishes.check or settings.check, settings.layout or planned.layout,
    )  # fmt: skip
    terms = Terms(Patience(wishes.lock_timeout, command=wishes.command), settings.hooks)
    outcome.done = outcome.error = None
    run.watcher.begin(f"snapshotting {outcome.palace}")
    try:
        outcome.done = repository.snapshot_planned(planned, request, terms)
    except PalatineError as error:
        outcome.error = error
    finally:
        run.watcher.end()


def _configured(planned: Planned, known: Configuration, named: bool) -> Outcome:
    """Return a palace under the name that the command line gives it, or the configuration."""
    settings = known.of(planned.source)
    if settings is not None and not named:
        planned = _renamed(planned, settings)
    return Outcome(planned.source, planned.palace, planned=planned, settings=settings)


def _renamed(planned: Planned, settings: Configured) -> Planned:
    if not settings.name:
        return replace(planned, tenant=settings.tenant)
    return replace(planned, tenant=settings.tenant, palace=settings.name, derived=False)


def _check_some(paths: Sequence[str]) -> None:
    """Raise PathNotFound when no path leads anywhere: no repository is made for a typing error."""
    if not any(is_there(path) for path in paths):
        raise PathNotFound(f"there is nothing at {paths[0]}", "check the path")
