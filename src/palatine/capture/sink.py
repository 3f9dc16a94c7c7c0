"""Where capture puts objects: a repository's writer, or a scratch store that keeps only ids."""

from __future__ import annotations

from typing import Protocol

from palatine.ids import Buffer, Kind, ObjectId


class Sink(Protocol):
    """What capture needs of a store."""

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        """Keep an object and return its id; `predecessor` is the one whose place it takes."""

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        """Return the id an object would have."""

    def present(self, object_id: ObjectId) -> bool:
        """Whether an object may be referred to without being put."""

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return the bytes of an object that was there before; raises Damaged."""
