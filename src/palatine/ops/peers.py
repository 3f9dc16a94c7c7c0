"""Other repositories: opened here where a path leads to them, spoken to where another host does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from palatine.backends.base import Backend
from palatine.backends.urls import backend_at, is_url
from palatine.clock import SYSTEM, Clock
from palatine.errors import NoRepository
from palatine.events import SILENT, Reporter
from palatine.ops.remotes import Remote
from palatine.store.repository import Repository, Settings
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Identity, Receiver, Supplier
from palatine.sync.ssh import Begun, command, is_ssh, parse
from palatine.sync.ssh import opened as far
from palatine.sync.supply import LocalSupplier


class Surroundings(NamedTuple):
    """With what repositories are opened: the user's cache, settings, a reporter, a clock."""

    cache: Path | None
    settings: Settings | None = None
    reporter: Reporter = SILENT
    clock: Clock = SYSTEM

    @classmethod
    def of(cls, near: Repository) -> Surroundings:
        """Return those of a repository that is open."""
        cache = near.cache.parent if near.cache else None
        return cls(cache, near.settings, near.reporter, near.clock)


@dataclass(frozen=True)
class Peer:
    """Another repository: one can have its snapshots, and give it some.

    `look` has a repository that is open here read its list of snapshots, which both then use.
    """

    supplier: Supplier
    receiver: Receiver
    look: Callable[[], None] = lambda: None

    @property
    def identity(self) -> Identity:
        """What it says of itself."""
        return self.supplier.identity


def as_peer(repository: Repository) -> Peer:
    """Return a repository that is open here as a peer, which lists its snapshots once."""
    supplier = LocalSupplier(repository)
    receiver = LocalReceiver(repository, listing=supplier.listing)

    def look() -> None:
        supplier.know(repository.list_snapshots())

    return Peer(supplier, receiver, look)


@contextmanager
def opened(
    remote: Remote,
    surroundings: Surroundings,
    ssh: str,
    begun: Begun | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Peer]:
    """Open the repository that a remote names; `ssh` is the command that reaches other hosts.

    `begun`, `meanwhile`: see `sync.ssh.opened`; a repository that is opened here needs neither.
    Raises NoRepository for a URL of a kind that is not known.
    """
    cache, settings, reporter, clock = surroundings
    if is_ssh(remote.url):
        words = command(parse(remote.url), ssh, remote.pal)
        with far(words, remote.url, reporter, begun, meanwhile) as (supplier, receiver):
            yield Peer(supplier, receiver)
        return
    with Repository(_backend(remote.url, clock), cache, settings, reporter, clock) as other:
        yield as_peer(other)


def _backend(url: str, clock: Clock) -> Backend:
    if is_url(url):
        return backend_at(url, clock)
    path = Path(url)
    if path.is_file():
        raise NoRepository(f"{path} is a file, not a repository", "name a directory")
    return backend_at(path, clock)
