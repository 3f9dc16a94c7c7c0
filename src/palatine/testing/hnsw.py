"""An HNSW segment as hnswlib persists it: the files of a Chroma vector index.

`data_level0.bin` is an array of elements of 1,676 bytes: link count (4), 32 links (128), vector
(1,536), label (8). New elements go to the end, and each becomes a neighbour of elements that
lie anywhere, so a day of writes scatters 4-byte changes over the whole file.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from random import Random

from palatine.testing.vectors import VECTOR_BYTES, Vectors

_LINKS = 32
_LINK_BYTES = 4 * _LINKS
ELEMENT_BYTES = 4 + _LINK_BYTES + VECTOR_BYTES + 8
_UPPER_LEVEL_ONE_IN = 16
_UPPER_BYTES = 4 + 4 * 16
_BACKLINKS = 8  # elements that take a new one into their links
_BATCH = 512


def create(folder: Path, rng: Random, vectors: Vectors, size: int) -> None:
    """Write a new segment of about `size` bytes."""
    folder.mkdir(parents=True)
    (folder / "data_level0.bin").touch()
    (folder / "link_lists.bin").touch()
    _append(folder, rng, vectors, max(4, size // (ELEMENT_BYTES + 10)))


def live_a_day(folder: Path, rng: Random, vectors: Vectors, share: float) -> None:
    """Add `share` (0 to 1) of the elements and relink old ones all over the file, in place."""
    count = _count(folder)
    added = max(1, round(count * share))
    with (folder / "data_level0.bin").open("r+b") as file:
        for new in range(count, count + added):
            for _ in range(_BACKLINKS):
                element = int(rng.random() * count)
                slot = int(rng.random() * _LINKS)
                file.seek(element * ELEMENT_BYTES + 4 + 4 * slot)
                file.write(struct.pack("<I", new))
    _append(folder, rng, vectors, added)


def _count(folder: Path) -> int:
    return (folder / "data_level0.bin").stat().st_size // ELEMENT_BYTES


def _append(folder: Path, rng: Random, vectors: Vectors, added: int) -> None:
    start = _count(folder)
    end = start + added
    with (folder / "data_level0.bin").open("ab") as file:
        for first in range(start, end, _BATCH):
            batch = range(first, min(first + _BATCH, end))
            file.write(b"".join(_element(rng, vectors, index, end) for index in batch))
    with (folder / "link_lists.bin").open("ab") as file:
        file.write(b"".join(_upper_links(rng, end) for _ in range(added)))
    lengths = array("f", [1.0]) * end
    (folder / "length.bin").write_bytes(lengths.tobytes())
    (folder / "header.bin").write_bytes(_header(end))


def _element(rng: Random, vectors: Vectors, index: int, count: int) -> bytes:
    links = 20 + int(rng.random() * (_LINKS - 19))
    return b"".join(
        (
            struct.pack("<I", links),
            _links(rng, links, count).ljust(_LINK_BYTES, b"\0"),
            vectors.draw(rng),
            struct.pack("<Q", index + 1),
        )
    )


def _links(rng: Random, links: int, count: int) -> bytes:
    """Ids of neighbours, uniform: a neighbour in the graph may lie anywhere in the file."""
    draws = array("I", rng.randbytes(4 * links))
    return array("I", [draw % count for draw in draws]).tobytes()


def _upper_links(rng: Random, count: int) -> bytes:
    """The element's links above level 0: none for most."""
    if rng.random() * _UPPER_LEVEL_ONE_IN >= 1:
        return struct.pack("<I", 0)
    return struct.pack("<II", _UPPER_BYTES, 16) + _links(rng, 16, count)


def _header(count: int) -> bytes:
    """Hnswlib's header: sizes and offsets of an element, then the graph's parameters."""
    return struct.pack(
        "<iQQQQQQiIQQQdQ",
        1, 0, count, count, ELEMENT_BYTES, ELEMENT_BYTES - 8, 4 + _LINK_BYTES,
        2, 0, 16, 32, 16, 0.36067376022224085, 100,
    )  # fmt: skip
