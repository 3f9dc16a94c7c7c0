"""repair: after damage, keep everything that can be read, and say exactly what is lost.

1. read everything; mend small files that a single byte spoiled, or of which a copy is at hand
2. condemn damaged packs and wait, as a collector does
3. look for lost objects in the palaces as they are now, and store those that are found
4. bring what can be read of the damaged packs to new ones, and set the damaged ones aside
5. put what remains of a snapshot in its place, and set the old one aside: should its objects turn
   up later, repair brings it back

Nothing is destroyed: what was damaged is kept under `damaged/` (store/aside.py). Killed at any
moment it has lost nothing that could be read, and is run again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from palatine.capture.scratch import Scratch
from palatine.errors import Locked, NotFound, PathNotFound
from palatine.ids import ObjectId
from palatine.model.snapshot import Missing, encode_snapshot_file
from palatine.ops import findings, smallfiles, waiting
from palatine.ops.findings import Findings
from palatine.ops.losses import Readings, is_hit, roots
from palatine.ops.refill import Finds, LivePalace, Supplier, ask, live_places
from palatine.ops.reindex import reindex
from palatine.ops.remains import counted, remains
from palatine.ops.undelete import needed
from palatine.ops.waiting import Waiting
from palatine.store.aside import packs_aside, put_back
from palatine.store.repository import Repository
from palatine.store.salvage import Salvage
from palatine.store.snapshots import Stored
from palatine.store.writer import Writer

_TRIES = 5


@dataclass(frozen=True)
class Loss:
    """A snapshot that lost something: what, and the snapshot that stands in its place now."""

    stored: Stored
    missing: tuple[Missing, ...]
    replacement: Stored | None = None


@dataclass
class Repaired:
    """What was found and done, or in a dry run would be.

    `damage`, `mended` and `gone` are sentences: on what is damaged, on small files that are as they
    were again, on small files that are lost. `moved` and `found` count objects brought to new packs
    (0 in a dry run) and lost ones that were found elsewhere. `waiting` are snapshots that an
    earlier repair set aside and that still lack something.
    """

    dry_run: bool
    damage: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)
    brought_back: list[Stored] = field(default_factory=list)
    waiting: list[Stored] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    moved: int = 0
    found: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is lost."""
        return not self.lost and not self.gone


def repair(repository: Repository, places: Sequence[Path] = (), dry_run: bool = False) -> Repaired:
    """Repair a repository; lost objects are looked for in `places`, and where palaces were.

    Raises PathNotFound, FormatTooNew for what a newer palatine wrote, RepositoryError where
    something cannot be read at all, ReadOnly, NoSpace, Locked; what can be read stays so whatever
    happens.
    """
    for place in places:
        if not place.exists():
            raise PathNotFound(f"there is nothing at {place}")
    done = Repaired(dry_run)
    repository.reader.read_afresh()
    found = findings.find(repository)
    if found.contradicted and not dry_run:
        reindex(repository)  # footers know best what is in their packs
        found = findings.find(repository)
    done.damage = found.sentences()
    small = smallfiles.mend(repository, found, dry_run)
    done.mended, done.gone, done.set_aside = small.mended, small.gone, small.set_aside
    with contextlib.closing(Finds()) as finds:
        _Repair(repository, found, finds, done, small.snapshots).run(places)
    if not dry_run and (found.segments or found.stale):
        done.set_aside += smallfiles.aside(repository, found.segments)
        reindex(repository)
    return done


class _Repair:
    """One run, from what was found to what remains."""

    def __init__(
        self,
        repository: Repository,
        found: Findings,
        finds: Finds,
        done: Repaired,
        mended: Sequence[Stored],
    ) -> None:
        self._repository = repository
        self._found = found
        self._finds = finds
        self._done = done
        self._mended = mended
        self._readings = Readings(repository, found.bad, finds)

    def run(self, places: Sequence[Path]) -> None:
        salvage = Salvage(self._repository, self._found.packs.keys(), self._found.bad)
        if self._found.packs and not self._done.dry_run:
            salvage.condemn()
        hit = self._hit()
        if hit:
            self._refill(hit, places)
        if not self._done.dry_run:
            if self._finds:
                self._take_back()
            self._salvage(salvage)
        self._settle()

    def _snapshots(self) -> list[Stored]:
        there = self._repository.list_snapshots()
        ids = {one.id for one in there}
        return [*there, *(one for one in self._mended if one.id not in ids)]

    def _waiting(self) -> list[Waiting]:
        return waiting.listed(self._repository, self._snapshots())

    def _hit(self) -> list[Stored]:
        """Return the snapshots that lack something, those that wait included.

        Packs that a collector takes away while we look might be taken for lost: then look again.
        """
        for _ in range(_TRIES):
            before = self._repository.refresh().keys()
            self._readings.forget()
            there = [*self._snapshots(), *(one.stored for one in self._waiting())]
            found = [one for one in there if is_hit(self._readings, one)]
            if not found or before <= self._repository.refresh().keys():
                return found
        raise Locked("collectors leave repair no time to look", "run it again later")

    def _refill(self, hit: Sequence[Stored], places: Sequence[Path]) -> None:
        """Look for what is lost; what is found may name more that is."""
        asked = dict.fromkeys((*places, *live_places(hit)))
        suppliers: list[Supplier] = [LivePalace(place) for place in asked]
        found = len(suppliers)
        while hit and found:
            wanted = self._readings.wanted | self._found.unreadable
            found = ask(self._repository, suppliers, wanted, self._finds)
            hit = self._hit() if found else hit
        self._done.found = len(self._finds)

    def _take_back(self) -> None:
        """Put back what earlier repairs set aside: with what was found, more of it may be read."""
        packs = packs_aside(self._repository)
        if packs:
            # condemned before they are there: no writer relies on them
            Salvage(self._repository, packs.keys(), self._found.bad).condemn()
            put_back(self._repository, packs)
            self._repository.refresh()
            findings.find_in(self._repository, self._found, packs.keys())

    def _salvage(self, salvage: Salvage) -> None:
        packs = self._found.packs
        if not packs and not self._finds:
            return
        salvage.look()
        with contextlib.closing(salvage.writer()) as writer:
            for kind, object_id in self._finds.all():
                writer.put(kind, self._readings.get(kind, object_id))
            writer.flush()
        if packs:
            salvage.look()
            self._readings.forget()
            salvage.rescue(self._readings.get)
            self._done.moved = salvage.moved
            self._done.set_aside += salvage.retire()
        # what stood on lost objects that were found can be read again
        self._repository.reader.known_bad -= self._found.bad

    def _settle(self) -> None:
        """Bring back what is whole again, and put what remains in place of what is not."""
        hit = {one.id for one in self._hit()}
        for one in self._waiting():
            if one.stored.id in hit:
                self._done.waiting += [] if one.there else [one.stored]
                continue
            self._done.brought_back.append(one.stored)
            if not self._done.dry_run:
                waiting.bring_back(self._repository, one)
        while hit:
            snapshots = self._snapshots()
            there = {one.id for one in snapshots}
            again = {one.id for one in snapshots if one.id in hit and self._replace(one, there)}
            # one that was pushed twice shows under its other key now
            hit = again & {one.id for one in self._snapshots()}

    def _replace(self, stored: Stored, there: Set[ObjectId]) -> bool:
        """Put what remains of a snapshot in its place; return whether it may be there once more.

        A repair that was killed may have put the remains there already.
        """
        if self._done.dry_run:
            with contextlib.closing(Scratch(self._readings, self._repository.digest)) as scratch:
                _, missing = remains(self._readings, scratch, stored)
            self._note(Loss(stored, tuple(missing)))
            return False
        repository, snapshot = self._repository, stored.snapshot
        with repository.writing(snapshot.tenant, snapshot.palace, snapshot.time_us) as writing:
            session, writer = writing
            made, missing = remains(self._readings, _Sink(writer, self._readings), stored)
            if not missing:
                return False  # a writer has stored it meanwhile
            writer.flush()
            made = counted(self._readings, made)
            new = Stored(b"", session.key, made, stored.tags)
            _put_needed(repository, writer, new)
            object_id, data = encode_snapshot_file(made, repository.digest)
            new = new._replace(id=object_id)
            try:
                repository.snapshots.read(stored)
            except NotFound:
                return False  # forgotten meanwhile
            if object_id not in there:
                for tag in new.tags:
                    repository.snapshots.add_tag(new, tag)
                session.commit(data)
        self._note(Loss(stored, tuple(missing), new))
        self._done.set_aside.append(waiting.put_away(repository, stored, object_id))
        repository.snapshots.delete([stored])
        return True

    def _note(self, loss: Loss) -> None:
        if all(one.stored.id != loss.stored.id for one in self._done.lost):
            self._done.lost.append(loss)


class _Sink:
    """A writer, with a source to read from."""

    def __init__(self, writer: Writer, source: Readings) -> None:
        self.put = writer.put
        self.present = writer.present
        self.name = writer.name
        self.get = source.get


def _put_needed(repository: Repository, writer: Writer, stored: Stored) -> None:
    """Store what a snapshot needs and what may not be relied upon as it lies."""
    for kind, object_id in needed(repository, roots(stored)):
        if not writer.present(object_id):
            writer.put(kind, repository.get(kind, object_id))
    writer.flush()
