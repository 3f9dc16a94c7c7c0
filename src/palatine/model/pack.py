"""Packs: files of frames with a footer that lists them; and index segments, many footers in one.

    pack      PALPACK1  16 random bytes  frame …  footer  u32 footer length  digest  PALPEND1
    segment   PALINDX1  pack listing …

The random bytes keep two packs of equal content apart: were packs named by content alone, an
identical one uploaded while the first is condemned would be collected with it.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from palatine.errors import FormatTooNew, Malformed
from palatine.ids import ID_SIZE, Buffer, Digest, Kind, ObjectId
from palatine.model.encoding import Decoder, Stored, encode

PACK_MAGIC = b"PALPACK\x01"
END_MAGIC = b"PALPEND\x01"
INDEX_MAGIC = b"PALINDX\x01"
RANDOM_SIZE = 16
HEADER_SIZE = len(PACK_MAGIC) + RANDOM_SIZE
TRAILER = struct.Struct(f"<I{ID_SIZE}s{len(END_MAGIC)}s")

OBJECT_MAX = 16 << 20
"""Bytes in the largest object; decoders check before they allocate."""

PACK_MAX = 1 << 30
"""Bytes in the largest pack a reader accepts; writers close packs at 16 to 32 MiB."""

ORDINAL_MAX = 1 << 40


class FrameKind(IntEnum):
    """How a frame holds its objects."""

    PLAIN = 1
    """One object, compressed."""
    SOLID = 2
    """Many small objects, one after the other, compressed together."""
    DELTA = 3
    """One object, as its difference to a base."""


class Member(Stored, frozen=True):
    """An object in a frame: what it is and how many plain bytes it has."""

    kind: Kind
    id: ObjectId
    size: int


class Frame(Stored, frozen=True):
    """Where a frame lies in its pack (bytes from the pack's start) and what it holds.

    A delta names its base and how many versions the object has had (`ordinal`).
    """

    kind: FrameKind
    offset: int
    length: int
    members: tuple[Member, ...]
    base: ObjectId = b""
    ordinal: int = 0


class Footer(Stored, frozen=True):
    """What a pack says of itself: its frames; `parity` is reserved and empty."""

    frames: tuple[Frame, ...]
    parity: bytes = b""


class Listing(Stored, frozen=True):
    """What one pack holds: its name (the digest of all its bytes), its size, its frames."""

    pack: bytes
    size: int
    frames: tuple[Frame, ...]


_FOOTER = Decoder(Footer)
_SEGMENT: Decoder[tuple[Listing, ...]] = Decoder(tuple[Listing, ...])


def encode_footer(frames: list[Frame]) -> bytes:
    """Return the footer of a pack."""
    return encode(Footer(tuple(frames)))


def encode_trailer(sealed_footer: bytes, digest: Digest) -> bytes:
    """Return the trailer that follows a footer as it was written."""
    return TRAILER.pack(len(sealed_footer), digest.of(sealed_footer), END_MAGIC)


def footer_length(trailer: Buffer, size: int, name: str) -> int:
    """Return how many bytes before the trailer of a pack of `size` bytes are its footer."""
    length, _, magic = TRAILER.unpack(trailer)
    if magic[:7] == END_MAGIC[:7] and magic > END_MAGIC:
        raise FormatTooNew(f"{name} was written by a newer palatine", "upgrade palatine")
    if magic != END_MAGIC or length > size - HEADER_SIZE - TRAILER.size:
        raise Malformed(f"{name} has no footer where one should be")
    return int(length)


def check_footer(sealed_footer: Buffer, trailer: Buffer, pack: bytes, digest: Digest) -> None:
    """Raise Malformed, naming the pack, unless the trailer vouches for the footer as written."""
    _, expected, _ = TRAILER.unpack(trailer)
    if digest.of(sealed_footer) != expected:
        raise Malformed(f"pack {pack.hex()} is damaged: its footer does not have its digest")


def decode_footer(footer: Buffer, pack: bytes, size: int) -> Listing:
    """Return what a pack holds, from its checked footer; raises Malformed, naming the pack."""
    value = _FOOTER.decode(footer, f"pack {pack.hex()}")
    if value.parity:
        raise FormatTooNew(f"pack {pack.hex()} has parity data", "upgrade palatine")
    listing = Listing(pack, size, value.frames)
    check_listing(listing)
    return listing


def encode_segment(listings: list[Listing]) -> bytes:
    """Return the bytes of an index segment; its name is their digest."""
    return INDEX_MAGIC + encode(listings)


def decode_segment(data: Buffer, name: str) -> tuple[Listing, ...]:
    """Return the listings of an index segment whose digest has been checked."""
    head = bytes(data[: len(INDEX_MAGIC)])
    if head[:7] == INDEX_MAGIC[:7] and head > INDEX_MAGIC:
        raise FormatTooNew(f"{name} was written by a newer palatine", "upgrade palatine")
    if head != INDEX_MAGIC:
        raise Malformed(f"{name} is not an index segment")
    listings = _SEGMENT.decode(memoryview(data)[len(INDEX_MAGIC) :], name)
    for listing in listings:
        check_listing(listing)
    return listings


def check_listing(listing: Listing) -> None:
    """Raise Malformed unless the frames lie inside the pack and their objects have sane sizes."""
    what = f"the listing of pack {listing.pack.hex()}"
    if len(listing.pack) != ID_SIZE:
        raise Malformed(f"{what} has a name that is no digest")
    end = HEADER_SIZE
    for frame in listing.frames:
        solid = frame.kind == FrameKind.SOLID
        delta = frame.kind == FrameKind.DELTA
        if frame.offset < end or frame.length <= 0:
            raise Malformed(f"{what} has frames that overlap")
        end = frame.offset + frame.length
        if not frame.members or (len(frame.members) > 1 and not solid):
            raise Malformed(f"{what} has a frame with a bad number of objects")
        numbered = 1 <= frame.ordinal < ORDINAL_MAX if delta else frame.ordinal == 0
        if len(frame.base) != (ID_SIZE if delta else 0) or not numbered:
            raise Malformed(f"{what} has a frame with a bad base")
        if any(len(one.id) != ID_SIZE or not 0 <= one.size <= OBJECT_MAX for one in frame.members):
            raise Malformed(f"{what} holds a bad object")
    if end + TRAILER.size > listing.size or listing.size > PACK_MAX:
        raise Malformed(f"{what} has frames beyond its end")
