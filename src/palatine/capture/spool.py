"""Bytes read under a pin, kept until it is let go: in memory, and past a bound in a file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO

from palatine.ids import ObjectId
from palatine.sqlite.image import Image

MEMORY = 32 << 20
"""Bytes kept in memory; what comes after them goes to a temporary file, if anywhere."""


class Spool:
    """Blocks in the order they were read. `bounded`: none are kept but in memory."""

    def __init__(self, bounded: bool) -> None:
        self._bounded = bounded
        self._held = 0
        self._file: IO[bytes] | None = None

    def takes(self, data: bytes | bytearray) -> bool:
        """Whether these bytes would be kept."""
        return not self._bounded or self._held + len(data) <= MEMORY

    def keep(self, data: bytes | bytearray) -> Block:
        """Keep a block's bytes."""
        if self._held + len(data) <= MEMORY:
            self._held += len(data)
            return Block(len(data), data=data, counted=True)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        at = self._file.seek(0, 2)
        self._file.write(data)
        return Block(len(data), at=at)

    def load(self, block: Block) -> bytes | bytearray:
        """Return a block's bytes, and let go of them; of one that was not kept, those now there."""
        if block.data is not None:
            data, block.data = block.data, None
            self._held -= len(data) if block.counted else 0
            return data
        if block.image is not None:
            return block.image.read(block.at, block.size)
        assert self._file is not None
        self._file.seek(block.at)
        return self._file.read(block.size)

    def close(self) -> None:
        """Drop everything."""
        if self._file is not None:
            self._file.close()


@dataclass
class Block:
    """A run of an image: its size, its id as far as known, and where its bytes are.

    Those with an `image` were not kept. One with an id and nothing else is stored already.
    """

    size: int
    id: ObjectId | None = None
    data: bytes | bytearray | None = None
    at: int = 0
    image: Image | None = None
    counted: bool = False
