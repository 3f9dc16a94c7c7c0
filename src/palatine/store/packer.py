"""Packs being written: frames appended by several threads, closed and made visible when full."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from palatine.backends.base import Backend, Upload
from palatine.codec.seal import seal
from palatine.ids import Buffer, Digest, Hasher, ObjectId
from palatine.model.names import pack_name
from palatine.model.pack import (
    HEADER_SIZE,
    PACK_MAGIC,
    RANDOM_SIZE,
    Frame,
    FrameKind,
    Listing,
    Member,
    encode_footer,
    encode_trailer,
)
from palatine.workers import Workers

PACK_TARGET = 24 << 20
"""A pack is closed with the frame with which it reaches this many bytes."""

MEMBERS_MAX = 1 << 16
"""A pack is closed with the frame with which it holds this many objects: bounds the footer."""


class Ready(NamedTuple):
    """A frame that is to be written: what is stored, and what is in it; see `Frame`."""

    kind: FrameKind
    payload: Buffer
    members: tuple[Member, ...]
    base: ObjectId = b""
    ordinal: int = 0


class Packer:
    """One pack after another. `finished` is called with each pack's listing once it is durable.

    `closing` has it made durable behind the back of whoever filled it; without, that one does it.
    """

    def __init__(
        self,
        backend: Backend,
        digest: Digest,
        finished: Callable[[Listing], None],
        closing: Workers | None = None,
    ) -> None:
        self._backend = backend
        self._digest = digest
        self._finished = finished
        self._closing = closing
        self._lock = threading.Lock()
        self._open: _OpenPack | None = None
        self._full: set[_OpenPack] = set()

    def add(self, frames: Iterable[Ready]) -> None:
        """Append frames; a pack that is full with one of them is closed, and the next begun."""
        # sealed before the lock is taken: others add meanwhile
        rest = iter([one._replace(payload=seal(one.payload)) for one in frames])
        for one in rest:
            full = self._append(chain((one,), rest))
            if full:
                self._close(full)

    def _append(self, frames: Iterator[Ready]) -> _OpenPack | None:
        """Append frames until the pack is full, and return it then."""
        with self._lock:
            if self._open is None:
                self._open = _OpenPack(self._backend.upload(), self._digest)
            try:
                self._open.append(frames)
            except BaseException:
                # nobody knows what of the frames was written: no other may follow them
                broken, self._open = self._open, None
                broken.upload.close()
                raise
            full = self._open if self._open.full else None
            if full:
                self._open = None
        return full

    def flush(self) -> None:
        """Close the pack that is open, if any; it is durable when `closing` has nothing to do."""
        with self._lock:
            last, self._open = self._open, None
        if last:
            self._close(last)

    def abort(self) -> None:
        """Drop the packs that are not durable. `closing` must have stopped."""
        with self._lock:
            left, self._full = self._full, set()
            if self._open:
                left.add(self._open)
            self._open = None
        for pack in left:
            pack.upload.close()

    def _close(self, pack: _OpenPack) -> None:
        with self._lock:
            self._full.add(pack)
        if self._closing is None:
            self._make_durable(pack)
        else:
            self._closing.submit(pack.size, lambda: self._make_durable(pack))

    def _make_durable(self, pack: _OpenPack) -> None:
        listing = pack.close()
        with self._lock:
            self._full.discard(pack)
        self._finished(listing)


class _OpenPack:
    def __init__(self, upload: Upload, digest: Digest) -> None:
        self.upload = upload
        self._digest = digest
        self._hasher: Hasher = digest.stream()
        self._frames: list[Frame] = []
        self.size = 0
        self._members = 0
        self._write(PACK_MAGIC + secrets.token_bytes(RANDOM_SIZE))
        assert self.size == HEADER_SIZE

    @property
    def full(self) -> bool:
        return self.size >= PACK_TARGET or self._members >= MEMBERS_MAX

    def append(self, frames: Iterator[Ready]) -> None:
        """Append sealed frames until the pack is full: they are in memory twice meanwhile."""
        written, size = [], self.size
        for one in frames:
            length = len(one.payload)
            self._frames.append(Frame(one.kind, size, length, one.members, one.base, one.ordinal))
            self._members += len(one.members)
            written.append(one.payload)
            size += length
            if size >= PACK_TARGET or self._members >= MEMBERS_MAX:
                break
        self._write(b"".join(written))

    def close(self) -> Listing:
        with self.upload:
            footer = seal(encode_footer(self._frames))
            self._write(footer)
            self._write(encode_trailer(footer, self._digest))
            name = self._hasher.digest()
            self.upload.commit(pack_name(name))
        return Listing(name, self.size, tuple(self._frames))

    def _write(self, data: Buffer) -> None:
        self._hasher.update(data)
        self.upload.write(data)
        self.size += len(data)
