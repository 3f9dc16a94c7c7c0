"""One run of the command line: its global options, its output, and the repository it works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palatine.cli.environment import Environment
from palatine.cli.output import Mode, Output
from palatine.cli.progress import Watcher, reporter
from palatine.errors import Damaged, NoRepository, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from palatine.api import Repository
    from palatine.sync.ssh import Begun


@dataclass
class Options:
    """The global options, wherever on the command line they stood."""

    repo: str | None = None
    json: bool = False
    json_lines: bool = False
    quiet: bool = False
    verbose: bool = False


class Invocation:
    """What every command is handed, through typer's context."""

    def __init__(
        self,
        environment: Environment,
        arguments: Sequence[str],
        begun: Begun | None = None,
    ) -> None:
        """`begun` is a connection that was begun before the command was read."""
        self.environment = environment
        self.options = Options()
        self.command = ""
        self.begun = begun
        self._arguments = arguments
        self._output: Output | None = None
        self._watcher: Watcher | None = None

    @property
    def output(self) -> Output:
        """The output; the options must have been read."""
        if self._output is None:
            options = self.options
            self._output = Output(
                self._mode(), options.quiet, options.verbose, self.environment.plain
            )
        self._output.command = self.command
        return self._output

    @property
    def watcher(self) -> Watcher:
        """The reporter to hand to the engine."""
        if self._watcher is None:
            self._watcher = reporter(self.output)
        return self._watcher

    @property
    def location(self) -> str | None:
        """The repository that the user named, or None for the default one."""
        return self.options.repo or self.environment.repository

    def output_for_failure(self) -> Output:
        """Return the output; if no argument could be used, it must be guessed which was wanted."""
        if self._output is None:
            self.options.json |= "--json" in self._arguments
            self.options.json_lines |= "--json-lines" in self._arguments
        return self.output

    def where(self) -> Path | str:
        """Return the directory of the repository to use, or its URL."""
        from palatine.api import default_repository, locate

        return default_repository() if self.location is None else locate(self.location)

    @contextmanager
    def open(self) -> Iterator[Repository]:
        """Open the repository to use; raises NoRepository with what to do about it."""
        from palatine.api import open_repository
        from palatine.workers import keep_freed_memory

        keep_freed_memory()
        if self.options.quiet and self.options.verbose:
            raise UsageError("--quiet and --verbose exclude each other", "choose one")
        place = self.where()
        try:
            repository = open_repository(place, reporter=self.watcher)
        except NoRepository as error:
            raise NoRepository(error.message, self._way_out(place)) from error
        with repository:
            self.output.explain(f"repository: {repository.location}")
            yield repository

    def _way_out(self, place: Path | str) -> str:
        if self.location is None:
            return "pal snapshot and pal init make it; --repo or PALATINE_REPO name another one"
        if not isinstance(place, str) and place.exists() and not _is_empty(place):
            return "--repo names another one"  # nothing can be made here
        return f"pal init {place} makes one there; --repo names another one"

    def close(self) -> None:
        """End what is being drawn, and a connection that nobody wanted."""
        if self.begun is not None:
            self.begun.close()
        if self._watcher is not None:
            self._watcher.end()

    def _mode(self) -> Mode:
        if self.options.json_lines:
            return Mode.LINES
        return Mode.JSON if self.options.json else Mode.PEOPLE


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def invocation(context: typer.Context) -> Invocation:
    """Return the invocation a command runs in."""
    found = context.find_object(Invocation)
    assert found is not None
    return found


def check_whole(repository: Repository) -> None:
    """Raise Damaged when a list of snapshots lacks some because their files are damaged."""
    damaged = repository.store.snapshots.damaged
    if damaged:
        raise Damaged(
            f"damaged snapshot files are not in this list: {', '.join(sorted(damaged))}",
            "pal verify --data says what is hit",
        )
