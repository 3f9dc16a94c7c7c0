"""Seeded embeddings: unit vectors of 384 gaussian float32 components, made without numpy.

Real embeddings compress to about 0.92: sign and exponent are predictable, the mantissa is noise.
Drawing 125 million gaussians in Python would take minutes, so the upper half of each component
comes from a small pool of true unit vectors (turned by a random amount) and the lower half, 16 bits
of mantissa, is fresh noise. Every vector is unique, and no two share four bytes in a row except
by chance, so neither deduplication nor compression gains from the pool.
"""

from __future__ import annotations

import math
import struct
from random import Random

DIMENSIONS = 384
VECTOR_BYTES = 4 * DIMENSIONS
_POOL = 512


class Vectors:
    """A pool of unit vectors fixed by its seed."""

    def __init__(self, seed: int) -> None:
        rng = Random(f"vectors:{seed}")
        self._pool = [_upper_bytes(rng) for _ in range(_POOL)]

    def draw(self, rng: Random) -> bytes:
        """One new little-endian float32 vector of length 1 to within 1 %, 1,536 bytes."""
        choice = rng.getrandbits(32)
        second, top = self._pool[choice % _POOL]
        turn = (choice >> 9) % DIMENSIONS
        noise = rng.randbytes(2 * DIMENSIONS)
        out = bytearray(VECTOR_BYTES)
        out[0::4] = noise[:DIMENSIONS]
        out[1::4] = noise[DIMENSIONS:]
        out[2::4] = second[turn : turn + DIMENSIONS]
        out[3::4] = top[turn : turn + DIMENSIONS]
        return bytes(out)


def _upper_bytes(rng: Random) -> tuple[bytes, bytes]:
    """Bytes 2 and 3 of each component, written twice over so that a turn is one slice."""
    raw = [rng.gauss(0.0, 1.0) for _ in range(DIMENSIONS)]
    length = math.sqrt(sum(component * component for component in raw))
    packed = struct.pack(f"<{DIMENSIONS}f", *(component / length for component in raw))
    return packed[2::4] * 2, packed[3::4] * 2
