"""Bringing back what was forgotten, as long as gc has not collected it; and tags, which do so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palatine.codec.seal import unseal
from palatine.ids import Kind, ObjectId
from palatine.model.names import check_label
from palatine.store.forgotten import Forgotten
from palatine.store.reach import Reference, below
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Source


def restorable(repository: Repository) -> list[Forgotten]:
    """Return what was forgotten, oldest first; entries without `stored` gc has collected.

    What has a snapshot under another key, or still under its own, is not forgotten.
    """
    there = {one.id for one in repository.list_snapshots()}
    return [one for one in repository.forgotten.all(repository.reporter) if one.id not in there]


def tag(repository: Repository, stored: Stored, label: str) -> Stored:
    """Put a tag on a snapshot; one that was forgotten, or is just being so, comes back.

    Raises NotFound when gc was quicker.
    """
    check_label(label)
    entry = repository.forgotten.entry_of(stored)
    if entry is None:
        repository.snapshots.add_tag(stored, label)
        # forget looks for tags after it has put the entry: it sees this one, or we see the entry
        entry = repository.forgotten.entry_of(stored)
    if entry is None:
        repository.snapshots.read(stored)
        return stored._replace(tags=tuple(sorted({*stored.tags, label})))
    back = bring_back(
        repository, entry, {*repository.snapshots.tags_now([stored])[stored.id], label}
    )
    short = stored.id.hex()[:16]
    repository.reporter.notice(f"{short} of {stored.palace} was forgotten: it is back")
    return back


def bring_back(repository: Repository, entry: Forgotten, tags: Iterable[str]) -> Stored:
    """Commit a forgotten snapshot again, under a new key, with these tags.

    A writer like any other: what lies in condemned packs only is written again. Raises Damaged or
    NotFound when something of it is there no more; then it stays forgotten.
    """
    assert entry.stored is not None
    data = unseal(repository.forgotten.read(entry))
    back = commit_again(repository, entry.stored, data, tags)
    repository.snapshots.delete([entry.stored])  # where forget did not come to it
    repository.forgotten.take(entry)
    return back


def commit_again(
    repository: Repository, stored: Stored, data: bytes, tags: Iterable[str]
) -> Stored:
    """Commit a snapshot whose file's bytes are `data` under a new key, with these tags.

    A writer like any other: what lies in condemned packs only is written again. Raises Damaged or
    NotFound when something of it is there no more.
    """
    snapshot = stored.snapshot
    with repository.writing(snapshot.tenant, snapshot.palace, snapshot.time_us) as writing:
        session, writer = writing
        roots = (snapshot.root, *(part.root for part in snapshot.outside))
        for kind, object_id in needed(repository, (root.tree for root in roots)):
            if not writer.present(object_id):
                writer.put(kind, repository.get(kind, object_id))
        writer.flush()
        back = stored._replace(key=session.key, tags=tuple(sorted(tags)))
        for label in back.tags:
            repository.snapshots.add_tag(back, label)
        session.commit(data)
    return back


def needed(source: Source, trees: Iterable[ObjectId]) -> Iterator[Reference]:
    """Yield every object below some trees, and these; trees and lists once, chunks as they come."""
    waiting = [Reference(Kind.TREE, tree) for tree in trees]
    seen: set[ObjectId] = set()
    while waiting:
        one = waiting.pop()
        if one.id in seen:
            continue
        yield one
        if one.kind != Kind.CHUNK:
            seen.add(one.id)
            waiting += below(source, one)
