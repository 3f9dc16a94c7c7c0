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
from palatine.sync.roles import Offer


@dataclass(frozen=True)
class Result:
    """What came of it: the remote as it was called, and what went which way."""

    remote: str
    pushed: Copied | None = None
    pulled: Copied | None = None


def push(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Copy to a remote what it lacks; see `exchange.copy`."""
    with _both(repository, remotes, remote, options) as (shown, near, peer):
        return Result(shown, pushed=_copied(near, peer, repository, options))


def pull(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Copy from a remote what is lacking here; see `exchange.copy`."""
    with _both(repository, remotes, remote, options) as (shown, near, peer):
        return Result(shown, pulled=_copied(peer, near, repository, options))


def sync(repository: Repository, remotes: Remotes, remote: str | None, options: Options) -> Result:
    """Do both: pull, then push."""
    with _both(repository, remotes, remote, options) as (shown, near, peer):
        pulled = _copied(peer, near, repository, options)
        if pulled.snapshots or pulled.tagged:
            near = as_peer(repository)  # its list has grown
        # what the other side has, it has told
        known = peer.supplier.offers()
        return Result(shown, _copied(near, peer, repository, options, known), pulled)


@contextmanager
def _both(
    repository: Repository, remotes: Remotes, remote: str | None, options: Options
) -> Iterator[tuple[str, Peer, Peer]]:
    """Open a remote; yield what people called it, the repository at hand, and the remote's."""
    named = remotes.find(remote)
    near = as_peer(repository)
    surroundings = Surroundings.of(repository)
    with peers.opened(named.remote, surroundings, options.ssh, options.begun, near.look) as peer:
        remotes.check(named, peer.identity)
        yield named.shown, near, peer


def _copied(
    source: Peer,
    target: Peer,
    repository: Repository,
    options: Options,
    known: Iterable[Offer] = (),
) -> Copied:
    surroundings = (repository.reporter, repository.clock)
    return exchange.copy(source.supplier, target.receiver, options, surroundings, known)
