"""The other side of a channel as a supplier and as a receiver, and what answers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from palatine import errors
from palatine.errors import Malformed, PalatineError, RepositoryError
from palatine.store.reach import Reference
from palatine.sync import packing, wire
from palatine.sync.receive import AT_ONCE
from palatine.sync.roles import (
    Answer,
    Described,
    Given,
    Identity,
    Offer,
    Order,
    Received,
    Receiver,
    SnapshotFile,
    Supplier,
)
from palatine.sync.wire import Channel

_IDS = 20_000
"""Ids in one message."""

_DEEP_IDS = 1_000
"""Ids in one message that is answered with all that they are based on."""

_FILES_MAX = 8 << 20
"""Bytes of snapshot files in one message."""

Message = TypeVar("Message", bound=wire.Message)


class FarSupplier(Supplier):
    """What the other side gives."""

    def __init__(self, channel: Channel, identity: Identity) -> None:
        self.identity = identity
        self._channel = channel
        self._open = False
        self._offers: list[Offer] | None = None

    def offers(self) -> list[Offer]:
        """Ask which snapshots there are, once."""
        if self._offers is not None:
            return self._offers
        self._ask(wire.AskOffers())
        told = expect(self._channel, wire.Offers)
        self.damaged = told.damaged
        self._offers = packing.unpack_offers(told)
        return self._offers

    def files(self, shorts: Sequence[bytes]) -> Iterator[SnapshotFile]:
        """Ask for snapshots' files, some at a time: whoever takes them asks for more between."""
        for at in range(0, len(shorts), AT_ONCE):
            self._ask(wire.AskFiles(tuple(shorts[at : at + AT_ONCE])))
            yield from [SnapshotFile(one.data, one.tags) for one in self._parts(wire.File)]

    def describe(self, wanted: Sequence[Reference], deep: bool) -> list[Described]:
        """Ask how objects are stored."""
        told: list[Described] = []
        step = _DEEP_IDS if deep else _IDS
        for at in range(0, len(wanted), step):
            self._ask(wire.AskDescribe(packing.pack_wanted(wanted[at : at + step]), deep))
            told += packing.unpack_described(expect(self._channel, wire.Descriptions))
        return told

    def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
        """Ask for objects."""
        for at in range(0, len(orders), _IDS):
            self._ask(wire.AskObjects(packing.pack_orders(orders[at : at + _IDS])))
            for one in self._parts(wire.Frame):
                yield packing.unpack_given(one)

    def settle(self) -> None:
        """Read to its end an answer that nobody wanted to."""
        while self._open:
            message = self._channel.receive()
            self._open = not isinstance(message, wire.Done | wire.Failed)

    def _ask(self, question: wire.Message) -> None:
        self.settle()
        self._channel.send(question)

    def _parts(self, kind: type[Message]) -> Iterator[Message]:
        self._open = True
        while True:
            message = self._channel.receive()
            if isinstance(message, wire.Done | wire.Failed):
                self._open = False
            if isinstance(message, wire.Done):
                return
            yield _checked(self._channel, message, kind)


class FarReceiver(Receiver):
    """The other side takes; what it asks for meanwhile is answered."""

    def __init__(self, channel: Channel, identity: Identity) -> None:
        self.identity = identity
        self._channel = channel

    def lacks(self, offers: Sequence[Offer], named: bool) -> Answer:
        """Ask which snapshots it lacks."""
        self._channel.send(wire.AskLacks(packing.pack_offers(offers), named))
        told = expect(self._channel, wire.Lacks)
        count = len(offers)
        places = [*told.lacking, *told.forgotten, *told.closed, *(at for at, _ in told.untagged)]
        if len({*places}) != len(places) or any(not 0 <= at < count for at in places):
            raise Malformed(f"{self._channel.other} lacks snapshots that it was not offered")
        return Answer(told.lacking, told.forgotten, told.closed, told.untagged)

    def tag(self, tags: Iterable[tuple[bytes, tuple[str, ...]]]) -> None:
        """Have it put tags on snapshots."""
        self._channel.send(wire.Tag(tuple(tags)))
        expect(self._channel, wire.Done)

    def receive(self, files: Iterable[SnapshotFile], supplier: Supplier) -> Received:
        """Have it take snapshots, some at a time."""
        result = Received((), (), 0, 0)
        for some in _batches(files):
            self._channel.send(wire.Receive(some))
            while isinstance(
                message := self._channel.receive(), wire.AskDescribe | wire.AskObjects
            ):
                answer(self._channel, supplier, message)
            part = _checked(self._channel, message, wire.Received)
            result = Received(
                result.done + part.done,
                result.failed + part.failed,
                result.objects + part.objects,
                result.added + part.added,
            )
        return result


def answer(channel: Channel, supplier: Supplier, message: wire.AnyMessage) -> bool:
    """Answer what is asked of a supplier; return False for what is not asked of one."""
    try:
        if isinstance(message, wire.AskOffers):
            offers = supplier.offers()
            channel.put(packing.pack_offers(offers, supplier.damaged))
        elif isinstance(message, wire.AskFiles):
            for file in supplier.files(message.shorts):
                channel.put(wire.File(file.data, file.tags))
            channel.put(wire.Done())
        elif isinstance(message, wire.AskDescribe):
            wanted = packing.unpack_wanted(message.wanted)
            channel.put(packing.pack_described(supplier.describe(wanted, message.deep)))
        elif isinstance(message, wire.AskObjects):
            for given in supplier.objects(packing.unpack_orders(message.orders)):
                channel.put(packing.pack_given(given))
            channel.put(wire.Done())
        else:
            return False
    except PalatineError as error:
        channel.put(failure(error))
    channel.flush()
    return True


def expect(channel: Channel, kind: type[Message]) -> Message:
    """Return the next message, which must be of a kind; raises what the other side met."""
    return _checked(channel, channel.receive(), kind)


def failure(error: PalatineError) -> wire.Failed:
    """Return an error as a message."""
    return wire.Failed(error.code, error.message, error.hint)


def _checked(channel: Channel, message: wire.AnyMessage, kind: type[Message]) -> Message:
    if isinstance(message, wire.Failed):
        raise _raised(channel, message)
    if not isinstance(message, kind):
        raise Malformed(f"{channel.other} answered something else than it was asked")
    return message


def _raised(channel: Channel, message: wire.Failed) -> PalatineError:
    """Return the error that the other side met."""
    kinds: list[type[PalatineError]] = [PalatineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    known = {kind.code: kind for kind in kinds if kind.__module__ == errors.__name__}
    found = known.get(message.code, RepositoryError)
    return found(f"{channel.other}: {message.message}", message.hint)


def _batches(files: Iterable[SnapshotFile]) -> Iterator[tuple[wire.File, ...]]:
    some: list[wire.File] = []
    size = 0
    for file in files:
        some.append(wire.File(file.data, file.tags))
        size += len(file.data)
        if len(some) >= AT_ONCE or size >= _FILES_MAX:
            yield tuple(some)
            some, size = [], 0
    if some:
        yield tuple(some)
