"""Which layouts there are: those that come with palatine, then those of other packages.

Others are loaded (from the entry points of the group `palatine.layouts`) when nothing that comes
with palatine matched, when one is asked for by name, and for a search.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from palatine.errors import UsageError
from palatine.events import SILENT, Reporter
from palatine.layouts.ai_memory import AiMemory
from palatine.layouts.base import DEPTH, Layout, directories
from palatine.layouts.generic import Generic
from palatine.layouts.mempalace import Mempalace
from palatine.layouts.nexo import Nexo
from palatine.layouts.oxios import Oxios
from palatine.layouts.trusty import Trusty

GROUP = "palatine.layouts"
GENERIC = Generic()
BUILT_IN: tuple[Layout, ...] = (Trusty(), Mempalace(), Oxios(), AiMemory(), Nexo())
"""The most specific first: the first that recognises a path has it."""


class Found(NamedTuple):
    """A palace that a search found."""

    path: Path
    layout: Layout


def match(path: Path, reporter: Reporter = SILENT) -> Layout:
    """Return the layout of a path."""
    for layout in BUILT_IN:
        if layout.recognise(path):
            return layout
    for layout in _others(reporter):
        if layout.recognise(path):
            return layout
    return GENERIC


def by_name(name: str, reporter: Reporter = SILENT) -> Layout:
    """Return a layout by its name; raises UsageError."""
    layout = _named(name, reporter)
    if layout is None:
        known = sorted({one.name for one in layouts(reporter)})
        raise UsageError(f"there is no layout {name!r}", f"one of: {', '.join(known)}")
    return layout


def of_name(name: str) -> Layout:
    """Return the layout a snapshot names; one that is not installed here is generic."""
    return _named(name, SILENT) or GENERIC


def _named(name: str, reporter: Reporter) -> Layout | None:
    for layout in (*BUILT_IN, GENERIC):
        if layout.name == name:
            return layout
    return next((layout for layout in _others(reporter) if layout.name == name), None)


def layouts(reporter: Reporter = SILENT) -> list[Layout]:
    """Return all layouts, in the order in which they are asked, the generic one last."""
    return [*BUILT_IN, *_others(reporter), GENERIC]


def discover(root: Path, reporter: Reporter = SILENT) -> list[Found]:
    """Return the palaces at and below a data root, in order of paths.

    A directory directly below it that no layout knows, and that holds files of its own or no
    palace, is one of the generic layout: nothing is lost because it was not recognised. That does
    not hold in a system's home, where what lies beside the palaces is known.
    """
    known = layouts(reporter)[:-1]
    found = _look(root, known)
    if any(one.path == root for one in found):
        return found
    home = _is_home(root, known)
    for below in directories(root):
        inner = list(_search(below, known, DEPTH - 1))
        whole = not home and not any(one.path == below for one in inner)
        if whole and (not inner or (_has_files(below) and not _is_home(below, known))):
            inner = [Found(below, GENERIC)]
        found += inner
    return sorted(found, key=lambda one: one.path)


def _look(directory: Path, known: list[Layout]) -> list[Found]:
    """Return what the first layout that finds anything takes of a directory."""
    for layout in known:
        found = [Found(path, layout) for path in layout.find_in(directory)]
        if found:
            return found
    return []


def _search(directory: Path, known: list[Layout], depth: int) -> Iterator[Found]:
    found = _look(directory, known)
    yield from found
    if depth and not any(one.path == directory for one in found):
        for below in directories(directory):
            yield from _search(below, known, depth - 1)


def _is_home(directory: Path, known: list[Layout]) -> bool:
    return any(layout.is_home(directory) for layout in known)


def _has_files(directory: Path) -> bool:
    try:
        return any(os.path.isfile(path) for path in directory.iterdir())
    except OSError:
        return False


def _others(reporter: Reporter) -> list[Layout]:
    loaded, problems = _load()
    for problem in problems:
        reporter.notice(problem)
    return loaded


@lru_cache(maxsize=1)
def _load() -> tuple[list[Layout], list[str]]:
    from importlib.metadata import entry_points  # 20 ms, and most palaces are known ones

    loaded: list[Layout] = []
    problems: list[str] = []
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            value = point.load()
            layout = value() if isinstance(value, type) else value
        except Exception as error:  # noqa: BLE001 - whatever somebody else's code raises
            problems.append(
                f"the layout {point.name!r} ({point.value}) cannot be loaded: {error!r}"
            )
            continue
        if isinstance(layout, Layout) and isinstance(getattr(layout, "name", None), str):
            loaded.append(layout)
        else:
            problems.append(f"{point.value} is no layout: see palatine.layouts.base.Layout")
    return loaded, problems


def forget() -> None:
    """Look for other packages' layouts again."""
    _load.cache_clear()
