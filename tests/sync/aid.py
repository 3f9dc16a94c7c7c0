"""Two repositories, and what a snapshot of one must be in the other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random
from socket import socketpair

from tests.support import SETTINGS

import palatine
from palatine.ops.undelete import needed
from palatine.store.repository import Repository
from palatine.sync.far import FarReceiver, FarSupplier
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Received, Receiver, Supplier
from palatine.sync.serving import OPEN, Terms, connect
from palatine.sync.supply import LocalSupplier
from palatine.sync.wire import Bye, Channel
from palatine.testing.builders import page_edits


@contextlib.contextmanager
def opened(root: Path, digest: str = "blake3") -> Iterator[palatine.Repository]:
    """Open the repository of a directory; made if it is not there."""
    place = root / "repository"
    if not place.exists():
        palatine.init(place, digest)
    with palatine.open_repository(place, cache=root / "cache", settings=SETTINGS) as repository:
        yield repository


@contextlib.contextmanager
def served(
    repository: palatine.Repository, terms: Terms = OPEN
) -> Iterator[tuple[FarSupplier, FarReceiver]]:
    """Serve a repository from a thread, over a pair of sockets."""
    ends = socketpair()
    streams = [(end.makefile("rb"), end.makefile("wb")) for end in ends]
    raised: list[BaseException] = []

    def run() -> None:
        channel = Channel(*streams[0], "near")
        channel.greet()
        try:
            repository.serve(channel, terms)
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    channel = Channel(*streams[1], "far")
    identity = connect(channel)
    try:
        yield FarSupplier(channel, identity), FarReceiver(channel, identity)
        channel.send(Bye())
    finally:
        for end in ends:
            end.shutdown(2)
        thread.join()
        for stream in (*streams[0], *streams[1], *ends):
            stream.close()
    if raised:
        raise raised[0]


def copy(supplier: Supplier, receiver: Receiver, named: bool = False) -> Received:
    """Copy all snapshots, as push and pull do."""
    offers = supplier.offers()
    answer = receiver.lacks(offers, named)
    receiver.tag((offers[at].short, tags) for at, tags in answer.untagged)
    return receiver.receive(supplier.files([offers[at].short for at in answer.lacking]), supplier)


def copy_all(
    source: palatine.Repository, target: palatine.Repository, named: bool = False
) -> Received:
    """Copy all snapshots between two repositories of this process."""
    return copy(LocalSupplier(source.store), LocalReceiver(target.store), named)


def copy_somehow(rng: Random, source: palatine.Repository, target: palatine.Repository) -> Received:
    """The same, or over a wire from either side."""
    way = rng.randrange(3)
    if way == 0:
        return copy_all(source, target)
    if way == 1:
        with served(target) as (_, receiver):
            return copy(LocalSupplier(source.store), receiver)
    with served(source) as (supplier, _):
        return copy(supplier, LocalReceiver(target.store))


def contents(
    repository: Repository, only: Collection[bytes] | None = None
) -> dict[bytes, dict[bytes, bytes]]:
    """Return every snapshot with every object that it needs, read and verified."""
    repository.refresh()
    found = {}
    for one in repository.list_snapshots():
        if only is not None and one.id not in only:
            continue
        roots = [one.snapshot.root.tree, *(part.root.tree for part in one.snapshot.outside)]
        found[one.id] = {
            reference.id: bytes(repository.get(*reference))
            for reference in needed(repository, roots)
        }
    return found


def change(palace: Path, rng: Random) -> None:
    """Change a palace as an agent does: pages of large files, small files come and go."""
    palace.mkdir(exist_ok=True)
    big = palace / "big.bin"
    before = big.read_bytes() if big.exists() else rng.randbytes(rng.choice([300_000, 3_000_000]))
    big.write_bytes(page_edits(rng, before, rng.randrange(4)))
    for _ in range(rng.randrange(1, 6)):
        folder = palace / f"d{rng.randrange(3)}"
        folder.mkdir(exist_ok=True)
        file = folder / f"n{rng.randrange(8)}"
        if file.exists() and rng.random() < 0.3:
            file.unlink()
        else:
            file.write_bytes(b"note %d\n" % rng.randrange(10**9) * rng.randrange(1, 3000))
