"""reindex: make the index and the catalog anew, from the packs alone."""

from __future__ import annotations

from dataclasses import dataclass

from palatine.errors import Damaged, NotFound, PalatineError
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
    """Read every footer, write one index segment, remove the others, and rebuild the catalog.

    What an old segment knows of a pack whose own footer is damaged is kept: it may still be read.
    """
    listings: list[Listing] = []
    damaged: list[str] = []
    unread: set[bytes] = set()
    listed = repository.index.listed()
    old = [stat.name for stat in repository.backend.list(INDEX)]
    repository.reporter.begin("reading footers", len(listed))
    for name, size in sorted(listed.items()):
        try:
            listings.append(repository.index.read_footer(name, size))
        except NotFound:
            continue
        except PalatineError as error:
            unread.add(name)
            damaged.append(str(error))
        repository.reporter.advance(1)
    repository.reporter.end()
    kept = _remembered(repository, old, unread)
    fresh = repository.index.write_segment(listings + kept) if listings or kept else ""
    for segment in old:
        if segment != fresh:
            repository.backend.delete(segment)
    repository.catalog.clear()
    repository.refresh()
    return Reindexed(len(listings), tuple(damaged), len(kept), len(old))


def _remembered(repository: Repository, segments: list[str], wanted: set[bytes]) -> list[Listing]:
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
