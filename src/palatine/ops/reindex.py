"""reindex: make the index and the catalog anew, from the packs alone."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass

from palatine.errors import Damaged, FormatTooNew, NotFound, PalatineError
from palatine.model.pack import Listing
from palatine.store.index import INDEX
from palatine.store.repository import Repository


@dataclass(frozen=True)
class Reindexed:
    """What was done: packs read, packs whose footer could not be read, segments replaced.

    `kept` are damaged packs of which an old segment still told what they hold.
    """

    packs: int
    damaged: tuple[str, ...]
    kept: int
    segments: int


def reindex(repository: Repository) -> Reindexed:
    """Read every footer, write new index segments, remove the others, and rebuild the catalog.

    What an old segment knows of a pack whose own footer is damaged is kept: it may still be read.
    Raises FormatTooNew, before anything is removed.
    """
    damaged: dict[bytes, str] = {}
    listed = repository.index.listed()
    old = [stat.name for stat in repository.backend.list(INDEX)]
    _refuse_newer(repository, old)
    repository.catalog.clear()
    repository.reporter.begin("reading footers", sum(listed.values()))
    fresh = repository.index.write_segments(_footers(repository, listed, damaged))
    repository.reporter.end()
    kept = _remembered(repository, old, damaged.keys())
    fresh += repository.index.write_segments(kept)
    for segment in old:
        if segment not in fresh:
            repository.backend.delete(segment)
    repository.refresh()
    return Reindexed(len(listed) - len(damaged), tuple(damaged.values()), len(kept), len(old))


def _refuse_newer(repository: Repository, segments: list[str]) -> None:
    """Raise FormatTooNew for a segment that a newer palatine wrote: it is not ours to replace."""
    for name in segments:
        with suppress(Damaged, NotFound):
            repository.index.read_segment(name)


def _footers(
    repository: Repository, listed: dict[bytes, int], damaged: dict[bytes, str]
) -> Iterator[Listing]:
    for name, size in sorted(listed.items()):
        try:
            yield repository.index.read_footer(name, size)
        except NotFound:
            continue  # collected since the listing
        except FormatTooNew:
            raise
        except PalatineError as error:
            damaged[name] = str(error)
        repository.reporter.advance(size)


def _remembered(repository: Repository, segments: list[str], wanted: Set[bytes]) -> list[Listing]:
    found: dict[bytes, Listing] = {}
    for name in segments:
        if not wanted - found.keys():
            break
        try:
            for listing in repository.index.read_segment(name):
                if listing.pack in wanted:
                    found[listing.pack] = listing
        except (Damaged, NotFound):
            continue
    return list(found.values())
