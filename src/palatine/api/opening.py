"""Making repositories and opening them; finding palaces."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from palatine.api.places import PathLike, locate
from palatine.api.repository import Repository
from palatine.backends.urls import backend_at
from palatine.clock import SYSTEM, Clock
from palatine.errors import Exists, NoRepository
from palatine.events import SILENT, Reporter
from palatine.ids import DIGESTS
from palatine.ops.defaults import absolute
from palatine.ops.defaults import default_cache as default_cache
from palatine.ops.defaults import default_repository as default_repository
from palatine.store.repository import Repository as Store
from palatine.store.repository import Settings

if TYPE_CHECKING:
    from palatine.ops import synchronise
    from palatine.ops.exchange import Options as CopyOptions
    from palatine.ops.planning import Planned


ORIGIN = "origin"
"""The remote that `clone` makes."""


def init(location: PathLike, hash: str = DIGESTS[0], *, reporter: Reporter = SILENT) -> None:
    """Make an empty repository; `hash` is blake3 or sha256 and cannot be changed later.

    The location is a directory or the URL of an object store (s3://BUCKET/PREFIX, gs://, az://).
    Raises Exists when there is one, or when the directory holds something else.
    """
    place = locate(location)
    if isinstance(place, Path):
        _check_free(place)
    from palatine.store.probe import heeds_create

    with closing(backend_at(place)) as backend:
        Store.create(backend, hash)
        if not isinstance(place, Path) and not heeds_create(backend):
            reporter.notice(
                f"the store at {place} does not heed put-if-absent:"
                " gc will need --exclusive, and nobody else beside it"
            )


def _check_free(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise Exists(f"{path} is a file", "name a directory")
    if path.is_dir() and not (path / "config").exists() and any(path.iterdir()):
        raise Exists(f"{path} is not empty and not a repository", "name another directory")


def open_repository(
    location: PathLike | None = None,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
    settings: Settings | None = None,
    clock: Clock = SYSTEM,
) -> Repository:
    """Open a repository: a directory or a URL, see `init`; the default one without a location.

    Raises NoRepository, FormatTooNew, Malformed, ReadOnly, UsageError for another kind of URL.
    """
    place = default_repository() if location is None else locate(location)
    directory = default_cache() if cache is None else absolute(cache)
    if isinstance(place, Path) and place.is_file():
        raise NoRepository(f"{place} is a file, not a repository", "name a directory")
    return Repository(Store(backend_at(place, clock), directory, settings, reporter, clock))


def discover(*roots: PathLike, reporter: Reporter = SILENT) -> list[Planned]:
    """Return the palaces below data roots, as `snapshot --all` takes them; needs no repository.

    Raises PathNotFound, UsageError.
    """
    from palatine.ops import planning

    found = planning.discover([absolute(root) for root in roots], (), reporter)
    return planning.plan(found, None, reporter)


def clone(  # noqa: PLR0913 - keywords, as of open_repository
    url: str,
    location: PathLike,
    options: CopyOptions | None = None,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
    settings: Settings | None = None,
    remotes: PathLike | None = None,
) -> synchronise.Result:
    """Make a repository with the snapshots of another one, which becomes its remote `origin`.

    Interrupted, `pull` goes on. Raises Exists, NoRepository, Refused.
    """
    from palatine.ops import peers
    from palatine.ops import remotes as remotes_op
    from palatine.ops.exchange import Options as CopyOptions

    directory = default_cache() if cache is None else absolute(cache)
    surroundings = peers.Surroundings(directory, settings, reporter)
    remote = remotes_op.absolute(remotes_op.Remote(url))
    ssh = (options or CopyOptions()).ssh
    with peers.opened(remote, surroundings, ssh) as peer:
        init(location, peer.identity.digest)
    with open_repository(location, cache=cache, reporter=reporter, settings=settings) as repository:
        known = repository.remotes(remotes)
        known.add(ORIGIN, remote)
        return repository.pull(ORIGIN, options, remotes=remotes)
