"""What locations mean to those who call."""

from __future__ import annotations

import os
from pathlib import Path

from palatine.backends.urls import is_url
from palatine.ops.defaults import absolute
from palatine.ops.defaults import default_cache as default_cache
from palatine.store.repository import Repository as Store

PathLike = str | os.PathLike[str]


def locate(location: PathLike) -> Path | str:
    """Return what a location names: a directory, absolute, or a URL as it is written."""
    if isinstance(location, str) and is_url(location):
        return location
    return absolute(location)


def cache_of(store: Store) -> Path:
    """Return the cache directory that a repository was opened with."""
    return store.cache.parent if store.cache is not None else default_cache()
