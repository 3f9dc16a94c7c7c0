"""stats: what a repository holds and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from palatine.ids import Kind
from palatine.model.pack import FrameKind
from palatine.store.repository import Repository


@dataclass(frozen=True)
class ObjectTotal:
    """Objects of one kind in one kind of frame: how many, and their plain bytes."""

    frame: FrameKind
    kind: Kind
    count: int
    size: int


@dataclass(frozen=True)
class RepositoryStats:
    """Totals, in bytes where they are sizes.

    `logical` is what all snapshots would take as full copies, `stored` what the packs take, `index`
    what the index segments take.
    """

    id: str
    location: str
    digest: str
    palaces: int
    snapshots: int
    packs: int
    stored: int
    index: int
    logical: int
    objects: tuple[ObjectTotal, ...]


def stats(repository: Repository) -> RepositoryStats:
    """Count what is there."""
    repository.refresh()
    snapshots = repository.list_snapshots()
    packs = repository.index.listed()
    return RepositoryStats(
        id=repository.config.id,
        location=repository.backend.location,
        digest=repository.config.digest,
        palaces=len({one.palace for one in snapshots}),
        snapshots=len(snapshots),
        packs=len(packs),
        stored=sum(packs.values()),
        index=sum(stat.size for stat in repository.backend.list("index/")),
        logical=sum(one.snapshot.stats.size for one in snapshots),
        objects=tuple(ObjectTotal(*row) for row in repository.catalog.totals()),
    )
