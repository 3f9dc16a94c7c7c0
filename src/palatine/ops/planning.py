"""plan and discover: which palaces there are to be taken, and what they will be called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from palatine.errors import PathNotFound, UsageError
from palatine.events import Reporter
from palatine.model.names import DEFAULT_TENANT, split_palace
from palatine.ops.history import derived_name


@dataclass(frozen=True)
class Planned:
    """A palace about to be snapshotted: where it is, what it will be called, its layout.

    `derived` says that nobody chose the name.
    """

    source: Path
    tenant: str
    palace: str
    derived: bool
    layout: str


def plan(sources: Sequence[Path], palace: str | None, reporter: Reporter) -> list[Planned]:
    """Return the palaces at these paths; raises PathNotFound, UsageError."""
    from palatine.layouts import registry  # other commands need none of it

    check_there(sources)
    if palace is not None and len(sources) != 1:
        raise UsageError("one name cannot stand for several palaces", "leave out --palace")
    tenant, name = split_palace(palace) if palace else (DEFAULT_TENANT, None)
    planned = []
    for source in sources:
        layout = registry.match(source, reporter)
        chosen = name or derived_name(source, layout.palace_name(source))
        planned.append(Planned(source, tenant, chosen, name is None, layout.name))
    check_distinct(planned)
    return planned


def discover(roots: Sequence[Path], avoid: Iterable[Path], reporter: Reporter) -> list[Path]:
    """Return the palaces below data roots, those inside of `avoid` left out.

    Raises PathNotFound, UsageError for what is no directory.
    """
    from palatine.layouts import registry

    check_there(roots)
    never = [path.resolve() for path in avoid]
    found: dict[Path, None] = {}
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root} is not a directory", "--all takes a data root")
        for one in registry.discover(root, reporter):
            if not any(one.path.resolve().is_relative_to(path) for path in never):
                found[one.path] = None
    return list(found)


def check_there(paths: Iterable[Path]) -> None:
    """Raise PathNotFound for a path that leads nowhere."""
    for path in paths:
        if not path.exists():
            raise PathNotFound(f"there is nothing at {path}", "check the path")


def check_distinct(planned: Iterable[Planned]) -> None:
    """Raise UsageError when two palaces would have one name."""
    seen: dict[tuple[str, str], Path] = {}
    for one in planned:
        other = seen.setdefault((one.tenant, one.palace), one.source)
        if other != one.source:
            raise UsageError(
                f"{other} and {one.source} would both be called {one.palace!r}",
                "snapshot them one by one with --palace",
            )
