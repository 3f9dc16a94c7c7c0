"""Bytes read under a pin, kept until it is let go: in memory, and past a bound in a file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO

from palatine.ids import ObjectId

MEMORY = 32 << 20
"""Bytes kept in memory; what comes after them goes to a temporary file."""


class Spool:
    """Blocks in the order they were read; a block whose object is there already is only its id."""

    def __init__(self) -> None:
        self._held = 0
        self._file: IO[bytes] | None = None

    def keep(self, data: bytes) -> Block:
        """Keep a block's bytes."""
        if self._held + len(data) <= MEMORY:
            self._held += len(data)
            return Block(len(data), data=data, counted=True)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        at = self._file.seek(0, 2)
        self._file.write(data)
        return Block(len(data), at=at)

    def load(self, block: Block) -> bytes:
        """Return a block's bytes, and let go of them."""
        if block.data is not None:
            data, block.data = block.data, None
            self._held -= len(data) if block.counted else 0
            return data
        assert self._file is not None
        self._file.seek(block.at)
        return self._file.read(block.size)

    def close(self) -> None:
        """Drop everything."""
        if self._file is not None:
            self._file.close()


@dataclass
class Block:
    """A run of an image: its size, its id where it is stored already, or where its bytes are."""

    size: int
    id: ObjectId | None = None
    data: bytes | None = None
    at: int = 0
    counted: bool = False
