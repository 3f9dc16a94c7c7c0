"""Where repair finds objects again that a repository has lost: now, palaces as they are.

A palace is read and cut as a snapshot would do it. What comes out with an id that is wanted is
what was lost, whatever has become of the rest: the id tells.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Protocol

from palatine.capture.palace import Before, Options, capture
from palatine.capture.scratch import Scratch
from palatine.capture.signatures import Signatures
from palatine.errors import PalatineError
from palatine.ids import Buffer, Kind, ObjectId
from palatine.ops.places import avoided, host
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

Keep = Callable[[Kind, ObjectId, Buffer], None]


class Supplier(Protocol):
    """Somewhere else, where lost objects may be had: a palace, or another repository."""

    name: str

    def supply(self, repository: Repository, wanted: Set[ObjectId], keep: Keep) -> None:
        """Hand what there is of the wanted objects to `keep`; what it has it may hand over twice.

        Raises PalatineError when it cannot be read.
        """


class Finds:
    """What was found, in a temporary file: objects by id, each once."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self._kept: dict[ObjectId, tuple[Kind, int, int]] = {}

    def __contains__(self, object_id: ObjectId) -> bool:
        return object_id in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, kind: Kind, object_id: ObjectId, data: Buffer) -> None:
        """Keep an object."""
        if object_id not in self._kept:
            self._kept[object_id] = (kind, self._file.seek(0, os.SEEK_END), len(data))
            self._file.write(data)

    def bytes_of(self, object_id: ObjectId) -> bytes | None:
        """Return an object's bytes, or None."""
        place = self._kept.get(object_id)
        if place is None:
            return None
        self._file.seek(place[1])
        return self._file.read(place[2])

    def all(self) -> Iterable[tuple[Kind, ObjectId]]:
        """Return what there is."""
        return [(kind, object_id) for object_id, (kind, _, _) in self._kept.items()]

    def close(self) -> None:
        """Drop everything."""
        self._file.close()


class _Sieve(Scratch):
    """A sink that hands on what is wanted."""

    def __init__(self, repository: Repository, wanted: Set[ObjectId], keep: Keep) -> None:
        super().__init__(repository, repository.digest)
        self._wanted = wanted
        self._keep = keep

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        """Return an object's id; hand it on if it is wanted."""
        object_id = super().put(kind, data)
        if object_id in self._wanted:
            self._keep(kind, object_id, data)
        return object_id


class LivePalace:
    """A palace's directory, or its one database, as it is now."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.name = str(place)

    def supply(self, repository: Repository, wanted: Set[ObjectId], keep: Keep) -> None:
        """Read everything in the palace."""
        sieve = _Sieve(repository, wanted, keep)
        options = Options(avoid=avoided(repository))
        clock = repository.clock
        before = Before(clock.now_ns(), Signatures(None), None, clock)
        chunking = repository.config.chunking
        try:
            capture(self._place, sieve, chunking, options, before, repository.reporter)
        finally:
            sieve.close()


def live_places(snapshots: Iterable[Stored]) -> list[Path]:
    """Return where the palaces of some snapshots were on this host, if something is there."""
    found: dict[Path, None] = {}
    for stored in snapshots:
        if stored.snapshot.host == host():
            parts = (part.place for part in stored.snapshot.outside)
            for place in (stored.snapshot.path, *parts):
                found[Path(os.fsdecode(place))] = None
    return [place for place in found if os.path.lexists(place)]


def ask(
    repository: Repository, suppliers: Iterable[Supplier], wanted: Set[ObjectId], finds: Finds
) -> int:
    """Ask for what is wanted; return how much was found. Who cannot be read is passed over."""
    before = len(finds)
    for supplier in suppliers:
        if all(one in finds for one in wanted):
            break
        repository.reporter.begin(f"looking in {supplier.name}")
        try:
            supplier.supply(repository, wanted, finds.keep)
        except PalatineError as error:
            repository.reporter.notice(f"{supplier.name} does not help: {error}")
        finally:
            repository.reporter.end()
    return len(finds) - before
