"""push, pull and sync: between the repository at hand and one of its remotes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from palatine.ops import exchange, peers
from palatine.ops.exchange import Copied, Options
from palatine.ops.peers import Peer, Surroundings, as_peer
from palatine.ops.remotes import Remotes
from palatine.store.repository import Repository
from palatine.sync.roles import Offer, Receiver, Supplier


@dataclass(frozen=True)
class Result:
    """What came of it: the remote as it was called, and what went which way."""

    remote: str
    pushed: Copied | None = None
    pulled: Copied | None = None


def push(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Copy to a remote what it lacks; see `exchange.copy`."""
    with _peer(repository, remotes, remote, options.ssh) as (shown, peer):
        near = as_peer(repository)
        return Result(shown, pushed=_copy(near.supplier, peer.receiver, repository, options))


def pull(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Copy from a remote what is lacking here; see `exchange.copy`."""
    with _peer(repository, remotes, remote, options.ssh) as (shown, peer):
        near = as_peer(repository)
        return Result(shown, pulled=_copy(peer.supplier, near.receiver, repository, options))


def sync(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Do both: pull, then push."""
    with _peer(repository, remotes, remote, options.ssh) as (shown, peer):
        near = as_peer(repository)
        pulled = _copy(peer.supplier, near.receiver, repository, options)
        if pulled.snapshots or pulled.tagged:
            near = as_peer(repository)  # which lists what is here now
        # what the other side has, it has told
        known = peer.supplier.offers()
        pushed = _copy(near.supplier, peer.receiver, repository, options, known)
        return Result(shown, pushed, pulled)


@contextmanager
def _peer(
    repository: Repository, remotes: Remotes, remote: str | None, ssh: str
) -> Iterator[tuple[str, Peer]]:
    named = remotes.find(remote)
    with peers.opened(named.remote, Surroundings.of(repository), ssh) as peer:
        remotes.check(named, peer.identity)
        yield named.shown, peer


def _copy(
    supplier: Supplier,
    receiver: Receiver,
    repository: Repository,
    options: Options,
    known: Iterable[Offer] = (),
) -> Copied:
    surroundings = repository.reporter, repository.clock
    return exchange.copy(supplier, receiver, options, surroundings, known)
