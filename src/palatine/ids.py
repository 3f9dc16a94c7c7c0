"""Object ids: the digest of an object's kind and its plain bytes.

The kind is part of what is hashed, as in git, for every kind: were chunks hashed bare, a file whose
bytes look like a tree would get that tree's id. Compression, delta and packing never change an id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from blake3 import blake3

from palatine.errors import FormatTooNew

ID_SIZE = 32
"""Bytes in an id, whatever the digest."""

ObjectId = bytes
"""32 bytes; hexadecimal only where people or JSON see it."""

Buffer = bytes | bytearray | memoryview


class Kind(IntEnum):
    """The four kinds of objects; the number is what footers and index segments store."""

    CHUNK = 1
    LIST = 2
    TREE = 3
    SNAPSHOT = 4


PREFIX = {kind: kind.name.lower().encode() + b"\0" for kind in Kind}
"""What is hashed before an object's bytes: no prefix is the beginning of another."""


class Hasher(Protocol):
    """The part of hashlib's interface that both digests share."""

    def update(self, data: Buffer, /) -> object:
        """Hash more bytes."""

    def digest(self) -> bytes:
        """Return the 32 bytes of the digest."""


_HASHERS: dict[str, Callable[[bytes], Hasher]] = {"blake3": blake3, "sha256": hashlib.sha256}
DIGESTS = tuple(_HASHERS)
"""The digests a repository can be made with; the first is the default."""


class Digest:
    """One of the digests, as a repository uses it: typed object ids and plain file digests."""

    def __init__(self, name: str) -> None:
        """Choose by name; raises FormatTooNew for a name this version does not know."""
        if name not in _HASHERS:
            raise FormatTooNew(f"unknown digest {name!r}", "a newer palatine may know it")
        self.name = name
        self._new = _HASHERS[name]

    def object_id(self, kind: Kind, data: Buffer) -> ObjectId:
        """Return the id of an object of this kind with these plain bytes."""
        hasher = self._new(PREFIX[kind])
        hasher.update(data)
        return hasher.digest()

    def of(self, data: Buffer) -> bytes:
        """Return the digest of bytes that are no object: a footer, a segment."""
        return self.stream(data).digest()

    def stream(self, data: Buffer = b"") -> Hasher:
        """Return a running digest, begun with `data`."""
        hasher = self._new(b"")
        hasher.update(data)
        return hasher
