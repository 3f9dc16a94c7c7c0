"""Sets of small dense integers in an eighth of a byte each: a Python set of ids takes 114 bytes."""

from __future__ import annotations


class Bitmap:
    """A growing set of integers from 0."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Put a number in."""
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits) + 4096))
        self._bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (number & 7)))

    def update(self, other: Bitmap) -> None:
        """Put in everything another set holds."""
        size = max(len(self._bits), len(other._bits))
        mine, its = (int.from_bytes(one._bits, "little") for one in (self, other))
        self._bits = bytearray((mine | its).to_bytes(size, "little"))
