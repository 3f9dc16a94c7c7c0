"""counts: how many entries of each sort a snapshot holds, as its system counts them."""

from __future__ import annotations

from palatine.store.repository import Repository
from palatine.store.snapshots import Stored


def counts(repository: Repository, stored: Stored) -> dict[str, int]:
    """Count in copies of the snapshot's databases; nothing where its layout knows of nothing.

    Raises SourceError for a database that cannot be read (damaged, encrypted), Damaged.
    """
    from palatine.layouts import registry
    from palatine.layouts.image import SnapshotImage

    repository.refresh()
    layout = registry.of_name(stored.snapshot.layout)
    return layout.counts(SnapshotImage(repository, stored.snapshot))


def derived(stored: Stored) -> list[bytes]:
    """Return the artifacts that the system can make anew from the rest."""
    from palatine.layouts import registry

    layout = registry.of_name(stored.snapshot.layout)
    return [one.path for one in stored.snapshot.artifacts if layout.is_derived(one.path)]
