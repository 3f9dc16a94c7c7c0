"""Taking: the snapshots that a repository in this process lacks, each committed by a session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from palatine.errors import CatalogFailed, Damaged, Malformed
from palatine.ids import ObjectId
from palatine.model.names import join_palace
from palatine.model.snapshot import Snapshot, decode_snapshot_file
from palatine.store.reach import Reach
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.sync.roles import (
    SHORT,
    Answer,
    Identity,
    Lost,
    Offer,
    Received,
    Receiver,
    SnapshotFile,
    Supplier,
    check_tags,
)
from palatine.sync.supply import reach_of

if TYPE_CHECKING:
    from palatine.sync.fetch import Fetch

AT_ONCE = 32
"""Snapshots that share packs, and the walk over trees that they have in common."""


class _Coming(NamedTuple):
    id: ObjectId
    snapshot: Snapshot
    file: SnapshotFile

    @property
    def palace(self) -> str:
        return join_palace(self.snapshot.tenant, self.snapshot.palace)

    @property
    def trees(self) -> list[ObjectId]:
        """The trees at the top of all its parts."""
        one = self.snapshot
        return [one.root.tree, *(part.root.tree for part in one.outside)]


class LocalReceiver(Receiver):
    """A repository that takes snapshots; of some palaces only, where those are named.

    Then only what these palaces' snapshots need, and what was sent, counts as present: who sends a
    snapshot has to have every byte of it.
    """

    def __init__(
        self,
        repository: Repository,
        palaces: Collection[str] | None = None,
        listing: Callable[[], Iterable[Stored]] | None = None,
    ) -> None:
        """`listing` gives all snapshots where somebody else has listed them."""
        config = repository.config
        self.identity = Identity(config.id, config.digest, repository.backend.location)
        self._repository = repository
        self._listing = listing or repository.list_snapshots
        self._palaces = palaces
        self._stored: dict[bytes, Stored] = {}
        self._reach: Reach | None = None
        self._epoch = 0

    def lacks(self, offers: Sequence[Offer], named: bool) -> Answer:
        """Say which snapshots are lacking; see `Receiver`."""
        self._stored = {one.id[:SHORT]: one for one in self._listing()}
        strangers = any(one.short not in self._stored for one in offers)
        gone = self._forgotten() if strangers and not named else set()
        lacking, forgotten, closed, untagged = [], [], [], []
        for at, offer in enumerate(offers):
            here = self._stored.get(offer.short)
            if self._palaces is not None and (here or offer).palace not in self._palaces:
                closed.append(at)
            elif here is not None:
                tags = tuple(sorted({*offer.tags} - {*here.tags}))
                if tags:
                    untagged.append((at, tags))
            elif offer.short in gone:
                forgotten.append(at)
            else:
                lacking.append(at)
        return Answer(tuple(lacking), tuple(forgotten), tuple(closed), tuple(untagged))

    def tag(self, tags: Iterable[tuple[bytes, tuple[str, ...]]]) -> None:
        """Put tags on snapshots; see `Receiver`."""
        for short, labels in tags:
            stored = self._stored.get(short)
            if stored is None or (self._palaces is not None and stored.palace not in self._palaces):
                continue
            for label in check_tags(labels):
                self._repository.snapshots.add_tag(stored, label)

    def receive(self, files: Iterable[SnapshotFile], supplier: Supplier) -> Received:
        """Take snapshots; see `Receiver`. Some at a time: what is done is done."""
        result = Received((), (), 0, 0)
        coming = iter(files)
        while some := [self._decoded(one) for one in islice(coming, AT_ONCE)]:
            part = self._receive(sorted(some, key=lambda one: one.snapshot.time_us), supplier)
            result = Received(
                result.done + part.done,
                result.failed + part.failed,
                result.objects + part.objects,
                result.added + part.added,
            )
        return result

    def _receive(self, some: Sequence[_Coming], supplier: Supplier) -> Received:
        from palatine.sync.fetch import Fetch

        repository = self._repository
        places = [(one.snapshot.tenant, one.snapshot.palace, one.snapshot.time_us) for one in some]
        failed: dict[ObjectId, str] = {}
        with repository.writing_all(places) as (sessions, writer):
            epoch = repository.catalog.epoch
            with Fetch(repository, writer, supplier, self._counts()) as fetch:
                try:
                    fetch.bring(tree for one in some for tree in one.trees)
                except (Lost, Damaged):
                    # which of them it is that cannot be had; what came with the others is here
                    failed = dict(self._one_by_one(fetch, some))
            writer.flush()
            fetch.check()
            if repository.catalog.epoch != epoch:
                # what was present was told by numbers of packs, which mean others now
                raise CatalogFailed(
                    "the catalog failed and was made again; no snapshot was written", "run it again"
                )
            for one, session in zip(some, sessions, strict=True):
                if one.id in failed:
                    continue
                key = Stored(one.id, session.key, one.snapshot, one.file.tags)
                for label in one.file.tags:
                    repository.snapshots.add_tag(key, label)
                session.commit(one.file.data)
            added = writer.added
        done = tuple(one.id for one in some if one.id not in failed)
        self._extend(tree for one in some if one.id not in failed for tree in one.trees)
        return Received(done, tuple(failed.items()), len(fetch.received), added)

    def _one_by_one(self, fetch: Fetch, some: Sequence[_Coming]) -> Iterator[tuple[ObjectId, str]]:
        for one in some:
            try:
                fetch.bring(one.trees)
            except (Lost, Damaged) as error:
                yield one.id, str(error)

    def _counts(self) -> Callable[[ObjectId], bool] | None:
        """Return what says of an object whether the palaces' snapshots need it."""
        if self._palaces is None:
            return None
        catalog = self._repository.catalog
        if self._reach is None or self._epoch != catalog.epoch:
            self._epoch = catalog.epoch
            self._reach = reach_of(self._repository, self._palaces)
        content = self._reach.content
        return lambda one: any(copy.number in content for copy in catalog.copies(one))

    def _extend(self, trees: Iterable[ObjectId]) -> None:
        """Count what has been committed, too."""
        if self._reach is not None:
            try:
                self._reach.add(trees)
            except Damaged:
                self._reach = None  # others have changed what lies where: looked at anew

    def _decoded(self, file: SnapshotFile) -> _Coming:
        """Return what a file says, which must be a snapshot of a palace that is taken."""
        decoded = decode_snapshot_file(
            file.data, "a snapshot that was sent", self._repository.digest
        )
        if decoded is None:
            raise Malformed("the other side sent a snapshot that is none")
        one = _Coming(*decoded, SnapshotFile(file.data, check_tags(file.tags)))
        if self._palaces is not None and one.palace not in self._palaces:
            raise Malformed(f"the other side sent a snapshot of {one.palace}, which is not taken")
        return one

    def _forgotten(self) -> set[bytes]:
        """Return the ids, cut short, of what was forgotten here."""
        found = self._repository.forgotten.all(self._repository.reporter)
        return {one.id[:SHORT] for one in found} - self._stored.keys()
