"""Lists of ids and offers as the wire has them: many to a message, few bytes each."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from palatine.errors import Malformed
from palatine.ids import ID_SIZE, Kind
from palatine.model.names import join_palace, split_palace
from palatine.model.pack import FrameKind, Member
from palatine.store.reach import Reference
from palatine.sync import wire
from palatine.sync.roles import SHORT, Described, Given, Offer, Order, check_tags

_FULL = 0x80
_SIZE = 1 + ID_SIZE
_KINDS = {int(kind): kind for kind in (Kind.CHUNK, Kind.LIST, Kind.TREE)}


def pack_offers(offers: Sequence[Offer], damaged: tuple[str, ...] = ()) -> wire.Offers:
    """Return offers as a message."""
    palaces = tuple(sorted({one.palace for one in offers}))
    places = {name: at for at, name in enumerate(palaces)}
    count = len(offers)
    return wire.Offers(
        b"".join(one.short for one in offers),
        palaces,
        struct.pack(f"<{count}I", *(places[one.palace] for one in offers)),
        struct.pack(f"<{count}I", *(min(one.seconds, 0xFFFFFFFF) for one in offers)),
        {at: one.tags for at, one in enumerate(offers) if one.tags},
        damaged,
    )


def unpack_offers(message: wire.Offers) -> list[Offer]:
    """Return the offers in a message; raises Malformed."""
    count, rest = divmod(len(message.shorts), SHORT)
    if rest or not len(message.places) == len(message.seconds) == 4 * count:
        raise Malformed("a list of snapshots does not fit together")
    places = struct.unpack(f"<{count}I", message.places)
    if any(place >= len(message.palaces) for place in places):
        raise Malformed("a list of snapshots names a palace that it does not have")
    palaces = [join_palace(*split_palace(one)) for one in message.palaces]
    seconds = struct.unpack(f"<{count}I", message.seconds)
    return [
        Offer(
            message.shorts[at * SHORT : (at + 1) * SHORT],
            palaces[places[at]],
            seconds[at],
            check_tags(message.tags.get(at, ())),
        )
        for at in range(count)
    ]


def pack_wanted(wanted: Iterable[Reference]) -> bytes:
    """Return references one after the other."""
    return b"".join(bytes([one.kind]) + one.id for one in wanted)


def unpack_wanted(data: bytes) -> list[Reference]:
    """Return the references in some bytes; raises Malformed."""
    return [Reference(_kind(data[at]), data[at + 1 : at + _SIZE]) for at in _starts(data)]


def pack_orders(orders: Iterable[Order]) -> bytes:
    """Return orders one after the other."""
    return b"".join(bytes([one.kind | (_FULL if one.full else 0)]) + one.id for one in orders)


def unpack_orders(data: bytes) -> list[Order]:
    """Return the orders in some bytes; raises Malformed."""
    return [
        Order(_kind(data[at] & ~_FULL), data[at + 1 : at + _SIZE], bool(data[at] & _FULL))
        for at in _starts(data)
    ]


def pack_described(told: Iterable[Described]) -> wire.Descriptions:
    """Return how objects are stored as a message."""
    return wire.Descriptions(tuple((int(one.kind), *one[1:]) for one in told))


def unpack_described(message: wire.Descriptions) -> list[Described]:
    """Return how objects are stored; raises Malformed."""
    return [
        Described(_kind(kind), object_id, size, length, base, ordinal)
        for kind, object_id, size, length, base, ordinal in message.objects
    ]


def pack_given(given: Given) -> wire.Frame:
    """Return a frame as a message."""
    members = tuple((int(one.kind), one.id, one.size) for one in given.members)
    payload = memoryview(given.payload)
    return wire.Frame(int(given.frame), members, payload, given.base, given.ordinal)


def unpack_given(message: wire.Frame) -> Given:
    """Return the frame in a message; raises Malformed."""
    try:
        frame = FrameKind(message.kind)
    except ValueError:
        raise Malformed(f"there are no frames of kind {message.kind}") from None
    members = tuple(Member(_kind(kind), one, size) for kind, one, size in message.members)
    alone = frame != FrameKind.SOLID
    base = ID_SIZE if frame == FrameKind.DELTA else 0
    if (alone and len(members) != 1) or len(message.base) != base:
        raise Malformed("a frame does not fit its kind")
    return Given(frame, members, message.payload, message.base, message.ordinal)


def _starts(data: bytes) -> range:
    if len(data) % _SIZE:
        raise Malformed("a list of ids does not end with one")
    return range(0, len(data), _SIZE)


def _kind(number: int) -> Kind:
    kind = _KINDS.get(number)
    if kind is None:
        raise Malformed(f"there are no objects of kind {number} to be had")
    return kind
