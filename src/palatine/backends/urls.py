"""From what people write to a backend: a path is a directory, `s3://bucket/prefix` an object store.

Endpoints, regions and credentials are the store's own affair: its client takes them from the
environment variables that its users have set already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from palatine.backends.base import Backend
from palatine.backends.local import LocalBackend
from palatine.clock import SYSTEM, Clock
from palatine.errors import RepositoryError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

OBJECT_STORES = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}
"""Schemes, and obstore's class for each."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)\Z", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")
_PART = re.compile(r"[A-Za-z0-9._=+-]+\Z")

_TIMEOUT, _SLOW_TIMEOUT = "60s", "900s"
"""For one request: a pack of 24 MiB may take long on a thin line, everything else is small."""


class Url(NamedTuple):
    """A place in an object store."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def is_url(location: str) -> bool:
    """Whether a location is written as a URL, of whatever scheme."""
    return _URL.match(location) is not None


def parse(location: str) -> Url:
    """Return the place in an object store that a URL names; raises UsageError for another one."""
    found = _URL.match(location)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in OBJECT_STORES:
        raise UsageError(
            f"{plain(location)} is no place for a repository",
            "name a directory, or " + ", ".join(f"{one}://BUCKET/PREFIX" for one in OBJECT_STORES),
        )
    bucket, _, rest = found[2].partition("/")
    prefix = rest.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if not _BUCKET.match(bucket):
        raise UsageError(
            f"{plain(location)} names no bucket",
            f"write {scheme}://BUCKET/PREFIX; credentials belong into the environment",
        )
    if any(not _PART.match(part) or part in (".", "..") for part in parts):
        raise UsageError(
            f"{plain(location)} has a prefix that not every store keeps as it is",
            "use letters, digits, '.', '_', '=', '+' and '-' between slashes",
        )
    return Url(scheme, bucket, prefix)


def backend_at(location: str | Path, clock: Clock = SYSTEM) -> Backend:
    """Return the backend at a path or a URL. Raises UsageError, RepositoryError."""
    if isinstance(location, Path):
        return LocalBackend(location)
    return object_backend(parse(location), {}, clock)


def object_backend(url: Url, settings: Mapping[str, Any], clock: Clock = SYSTEM) -> Backend:
    """Return the backend at a place in an object store.

    `settings` are obstore's and go before the environment's. Raises RepositoryError for settings
    that cannot be used.
    """
    from palatine.backends.objects import ObjectBackend

    stores = [_store(url, settings, timeout) for timeout in (_TIMEOUT, _SLOW_TIMEOUT)]
    return ObjectBackend(str(url), stores[0], stores[1], clock)


def plain(location: str) -> str:
    """Return a URL as it may be shown: without a user and a password before the host."""
    return re.sub(r"//[^/@]*@", "//", location)


def _store(url: Url, settings: Mapping[str, Any], timeout: str) -> ObjectStore:
    from obstore import store
    from obstore.exceptions import BaseError

    # as settings and not as options of the client, which would hide those of the environment
    config = {"timeout": timeout, "connect_timeout": "10s", **settings}
    make = getattr(store, OBJECT_STORES[url.scheme])
    try:
        made: ObjectStore = make(
            url.bucket,
            prefix=url.prefix or None,
            config=config,
            # see palatine.backends.attempts
            retry_config={"max_retries": 0, "retry_timeout": timedelta(minutes=30)},
        )
    except (BaseError, ValueError) as error:
        raise RepositoryError(
            f"the settings for {url} cannot be used: {str(error).partition(chr(10))[0]}",
            "check the store's variables in the environment",
        ) from error
    return made
