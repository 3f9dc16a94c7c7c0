"""palaces and log: which palaces there are, and what happened to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from palatine.errors import UnknownRevision, UsageError
from palatine.model.names import check_palace
from palatine.ops.revisions import of_palace
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored, newest

_DATABASE_SUFFIXES = {".db", ".sqlite", ".sqlite3", ".redb"}


@dataclass(frozen=True)
class Palace:
    """A palace: its name, how many snapshots it has, the newest, and its heads.

    More than one head means that it was kept from several places.
    """

    name: str
    snapshots: int
    newest: Stored
    heads: tuple[Stored, ...]


def palaces(repository: Repository) -> list[Palace]:
    """Return every palace, sorted by name."""
    by_name: dict[str, list[Stored]] = {}
    for stored in repository.list_snapshots():
        by_name.setdefault(stored.palace, []).append(stored)
    return [_palace(name, history) for name, history in sorted(by_name.items())]


def log(repository: Repository, palace: str | None = None) -> list[Stored]:
    """Return snapshots, newest first; raises UnknownRevision for a palace that has none."""
    snapshots = repository.list_snapshots()
    if palace is not None:
        snapshots = of_palace(snapshots, palace)
        if not snapshots:
            raise UnknownRevision(
                f"there is no palace {palace!r} in this repository", "pal palaces lists them"
            )
    return snapshots[::-1]


def heads(history: Iterable[Stored]) -> tuple[Stored, ...]:
    """Return a palace's heads, oldest first: of each place the newest, if it is nobody's parent.

    Others that are nobody's parent had children that were forgotten.
    """
    ordered = sorted(history, key=lambda one: (one.snapshot.time_us, one.key))
    parents = {parent for one in ordered for parent in one.snapshot.parents}
    last = {(one.snapshot.host, one.snapshot.path): one.id for one in ordered}
    return tuple(one for one in ordered if one.id in {*last.values()} - parents)


def derived_name(source: Path, given: str | None = None) -> str:
    """Return the name a palace gets: `given` by its layout, or from its place.

    Raises UsageError when none can be made.
    """
    resolved = source.resolve()
    name = resolved.name
    if resolved.suffix in _DATABASE_SUFFIXES and not resolved.is_dir():
        name = resolved.stem
    for candidate in (given or "", name):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", candidate).strip(".-")[:128]
        if name:
            return check_palace(name)
    raise UsageError(f"no palace name can be made of {source}", "give it one with --palace")


def _palace(name: str, history: list[Stored]) -> Palace:
    last = newest(history)
    assert last is not None
    return Palace(name, len(history), last, heads(history))
