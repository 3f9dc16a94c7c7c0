"""Footers and index segments: what a pack says of itself is checked before it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.strategies import frame_lists, listings
from tests.support import BLAKE3, TORTURE

from palatine.errors import FormatTooNew, Malformed, PalatineError
from palatine.ids import Kind
from palatine.model.encoding import encode
from palatine.model.pack import (
    HEADER_SIZE,
    INDEX_MAGIC,
    TRAILER,
    Footer,
    Frame,
    FrameKind,
    Listing,
    Member,
    check_footer,
    decode_footer,
    decode_segment,
    encode_footer,
    encode_segment,
    encode_trailer,
    footer_length,
)

ID = bytes(range(32))
MEMBER = Member(Kind.CHUNK, ID, 10)


def read(end: bytes, size: int) -> Listing:
    """Read a pack of a size that ends so, as the index does."""
    pack = bytes(max(0, size - len(end))) + end
    if size < TRAILER.size:
        raise Malformed("short")
    trailer = pack[size - TRAILER.size :]
    length = footer_length(trailer, size, "the pack")
    footer = pack[size - TRAILER.size - length : size - TRAILER.size]
    check_footer(footer, trailer, ID, BLAKE3)
    return decode_footer(footer, ID, size)


def ending(frames: list[Frame]) -> bytes:
    footer = encode_footer(frames)
    return footer + encode_trailer(footer, BLAKE3)


def packed(frames: list[Frame]) -> tuple[bytes, int]:
    end = ending(frames)
    start = frames[-1].offset + frames[-1].length if frames else HEADER_SIZE
    return end, start + len(end)


@given(frame_lists())
def test_a_footer_tells_what_was_put_into_it(frames: list[Frame]) -> None:
    end, size = packed(frames)
    assert read(end, size) == Listing(ID, size, tuple(frames))


def test_every_byte_of_a_footer_and_trailer_is_guarded() -> None:
    frames = [
        Frame(FrameKind.SOLID, HEADER_SIZE, 100, (MEMBER, MEMBER)),
        Frame(FrameKind.DELTA, HEADER_SIZE + 100, 50, (MEMBER,), ID, 7),
    ]
    end, size = packed(frames)
    for at in range(len(end)):
        for mask in range(1, 256) if TORTURE else (1, 2, 0x80, 0xFF):
            bad = bytearray(end)
            bad[at] ^= mask
            with pytest.raises((Malformed, FormatTooNew)):
                read(bytes(bad), size)
    for length in range(len(end)):
        with pytest.raises((Malformed, FormatTooNew)):
            read(end[:length], size - len(end) + length)


@given(st.lists(listings(), max_size=3))
def test_a_segment_survives_its_encoding(values: list[Listing]) -> None:
    data = encode_segment(values)
    assert list(decode_segment(data, "index/x")) == values
    assert encode_segment(list(decode_segment(data, "index/x"))) == data
    with pytest.raises(Malformed):
        decode_segment(data + b"\0", "index/x")


@given(st.lists(listings(), min_size=1, max_size=2), st.data())
def test_a_segment_of_flipped_bytes_never_breaks_the_reader(
    values: list[Listing], data: st.DataObject
) -> None:
    whole = bytearray(encode_segment(values))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    said = "the pack"
    try:
        decode_segment(bytes(whole), "index/x")
    except PalatineError as error:
        said = str(error)
    assert "index/x" in said or "pack" in said


BAD_FRAMES = {
    "inside the header": [Frame(FrameKind.PLAIN, HEADER_SIZE - 1, 9, (MEMBER,))],
    "over one another": [
        Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (MEMBER,)),
        Frame(FrameKind.PLAIN, HEADER_SIZE + 8, 9, (MEMBER,)),
    ],
    "of no length": [Frame(FrameKind.PLAIN, HEADER_SIZE, 0, (MEMBER,))],
    "of negative length": [Frame(FrameKind.PLAIN, HEADER_SIZE, -5, (MEMBER,))],
    "beyond the end": [Frame(FrameKind.PLAIN, HEADER_SIZE, 5000, (MEMBER,))],
    "without objects": [Frame(FrameKind.SOLID, HEADER_SIZE, 9, ())],
    "plain with two objects": [Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (MEMBER, MEMBER))],
    "a delta with two objects": [Frame(FrameKind.DELTA, HEADER_SIZE, 9, (MEMBER, MEMBER), ID, 1)],
    "a delta without a base": [Frame(FrameKind.DELTA, HEADER_SIZE, 9, (MEMBER,), b"", 1)],
    "a base where none should be": [Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (MEMBER,), ID, 1)],
    "a base that is no id": [Frame(FrameKind.DELTA, HEADER_SIZE, 9, (MEMBER,), ID[:5], 1)],
    "a negative ordinal": [Frame(FrameKind.DELTA, HEADER_SIZE, 9, (MEMBER,), ID, -1)],
    "a huge ordinal": [Frame(FrameKind.DELTA, HEADER_SIZE, 9, (MEMBER,), ID, 2**60)],
    "an object of no id": [Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (Member(Kind.CHUNK, b"", 1),))],
    "an object too large": [
        Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (Member(Kind.CHUNK, ID, (16 << 20) + 1),))
    ],
    "an object of negative size": [
        Frame(FrameKind.PLAIN, HEADER_SIZE, 9, (Member(Kind.CHUNK, ID, -1),))
    ],
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_impossible_frames_are_refused(what: str) -> None:
    listing = Listing(ID, 500, tuple(BAD_FRAMES[what]))
    with pytest.raises(Malformed, match=ID.hex()):
        decode_segment(encode_segment([listing]), "index/x")
    end = ending(BAD_FRAMES[what])
    with pytest.raises(Malformed, match=ID.hex()):
        read(end, 300 + len(end))


def test_a_pack_larger_than_any_is_refused() -> None:
    with pytest.raises(Malformed):
        decode_segment(encode_segment([Listing(ID, (1 << 30) + 1, ())]), "index/x")


def test_a_pack_name_that_is_no_digest_is_refused() -> None:
    with pytest.raises(Malformed):
        decode_segment(encode_segment([Listing(ID[:20], 500, ())]), "index/x")


def test_a_footer_longer_than_its_pack_is_refused() -> None:
    trailer = TRAILER.pack(1 << 31, ID, b"PALPEND\x01")
    with pytest.raises(Malformed, match="footer"):
        footer_length(trailer, 1000, "the pack")


def test_later_versions_are_named_as_such() -> None:
    with pytest.raises(FormatTooNew):
        decode_segment(b"PALINDX\x02" + encode(()), "index/x")
    with pytest.raises(FormatTooNew):
        footer_length(TRAILER.pack(5, ID, b"PALPEND\x02"), 1000, "the pack")
    for other in (b"", b"PALINDX", b"PALPACK\x01", b"XXXXXXXX" + encode(())):
        with pytest.raises(Malformed):
            decode_segment(other, "index/x")
    assert INDEX_MAGIC == b"PALINDX\x01"


def test_footers_and_segments_are_canonical() -> None:
    frame = Frame(FrameKind.PLAIN, HEADER_SIZE, 50, (Member(Kind.CHUNK, ID, 60),))
    footer, segment = encode(Footer((frame,))), encode_segment([Listing(ID, 500, (frame,))])
    short = b"\x94" + encode(frame)[1:-3]  # without base and ordinal, which have defaults
    decode_footer(footer, ID, 500)
    decode_segment(segment, "index/x")
    with pytest.raises(Malformed, match="not canonical"):
        decode_footer(footer.replace(encode(frame), short), ID, 500)
    with pytest.raises(Malformed, match="not canonical"):
        decode_segment(segment.replace(encode(frame), short), "index/x")


def test_a_footer_with_what_is_reserved_is_of_a_newer_palatine() -> None:
    with pytest.raises(FormatTooNew):
        decode_footer(encode(Footer((), b"parity")), ID, 500)
