"""A sink that keeps what comparing needs and stores nothing: for looking at a live directory."""

from __future__ import annotations

import tempfile

from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.tree import POOL_FULL, POOLED_MAX
from palatine.store.trees import NotKept, Source


class Scratch:
    """Trees, lists and pools in a temporary file; of other chunks only the ids.

    Unless it is `whole`: then everything. What the repository has is read from there.
    """

    def __init__(self, repository: Source, digest: Digest, whole: bool = False) -> None:
        self._repository = repository
        self._digest = digest
        self._whole = whole
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self._kept: dict[ObjectId, tuple[int, int]] = {}
        self._named: set[ObjectId] = set()

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        """Return an object's id; keep its bytes if somebody may ask for them."""
        object_id = self._digest.object_id(kind, data)
        asked_for = self._whole or kind != Kind.CHUNK or len(data) <= POOL_FULL + POOLED_MAX
        if asked_for and object_id != predecessor and object_id not in self._kept:
            self._kept[object_id] = (self._file.seek(0, 2), len(data))
            self._file.write(data)
        elif not asked_for:
            self._named.add(object_id)
        return object_id

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        """Return the id an object would have."""
        return self._digest.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        """Everything the parent refers to counts as present: nothing will be stored."""
        return True

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's bytes, from here or from the repository."""
        place = self._kept.get(object_id)
        if place is None and object_id in self._named:
            raise NotKept
        if place is None:
            return self._repository.get(kind, object_id)
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        """Drop everything."""
        self._file.close()
