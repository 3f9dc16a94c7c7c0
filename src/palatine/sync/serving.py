"""Serving a repository over a channel: to whom it is open, and how far."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from palatine.errors import PalatineError, Refused
from palatine.store.repository import Repository
from palatine.sync import packing, wire
from palatine.sync.far import FarSupplier, answer, expect, failure
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Identity, SnapshotFile
from palatine.sync.supply import LocalSupplier
from palatine.sync.wire import Channel


@dataclass(frozen=True)
class Terms:
    """What a far side may do: only add, only to these palaces; else everything but delete."""

    append_only: bool = False
    palaces: Collection[str] | None = None


OPEN = Terms()
"""Everything but delete."""


def serve(repository: Repository, channel: Channel, terms: Terms) -> None:
    """Answer until the other side says goodbye or is gone. The greeting has been written."""
    config = repository.config
    channel.send(_hello(Identity(config.id, config.digest, repository.backend.location)))
    hello = expect(channel, wire.Hello)
    check_versions(hello, channel.other)
    other = Identity(hello.id, config.digest, channel.other)
    supplier = LocalSupplier(repository, terms.palaces)
    receiver = LocalReceiver(repository, terms.palaces)
    while not isinstance(message := channel.receive(), wire.Bye):
        if isinstance(message, wire.AskLacks | wire.Tag | wire.Receive):
            far = FarSupplier(channel, other)
            try:
                reply = _take(receiver, far, message)
            except PalatineError as error:
                reply = failure(error)
            # before what it still says is read: it may wait for us
            channel.send(reply)
            far.settle()
        elif terms.append_only:
            channel.send(
                failure(Refused("it takes snapshots and gives none", "it is served append-only"))
            )
        elif not answer(channel, supplier, message):
            channel.send(failure(Refused("that is nothing that can be asked")))


def connect(channel: Channel) -> Identity:
    """Greet whoever serves and return what it is; raises its error, Refused for its version."""
    channel.await_greeting()
    channel.send(_hello(Identity("", "", "")))
    hello = expect(channel, wire.Hello)
    check_versions(hello, channel.other)
    return Identity(hello.id, hello.digest, channel.other)


def check_versions(hello: wire.Hello, other: str) -> None:
    """Raise Refused unless both sides speak a version of the protocol."""
    if not hello.least <= wire.VERSION <= hello.greatest:
        raise Refused(
            f"the palatine at {other} speaks protocol {hello.least} to {hello.greatest},"
            f" this one {wire.VERSION}",
            "upgrade the older one",
        )


def _take(
    receiver: LocalReceiver, far: FarSupplier, message: wire.AskLacks | wire.Tag | wire.Receive
) -> wire.Message:
    if isinstance(message, wire.AskLacks):
        return wire.Lacks(*receiver.lacks(packing.unpack_offers(message.offers), message.named))
    if isinstance(message, wire.Tag):
        receiver.tag(message.tags)
        return wire.Done()
    files = [SnapshotFile(one.data, one.tags) for one in message.files]
    return wire.Received(*receiver.receive(files, far))


def _hello(identity: Identity) -> wire.Hello:
    # where the repository lies is the server's affair
    return wire.Hello(wire.VERSION, wire.VERSION, identity.id, identity.digest)
