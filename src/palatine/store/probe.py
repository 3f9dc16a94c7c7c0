"""Whether a store heeds put-if-absent: the whole concurrency protocol stands on it."""

from __future__ import annotations

import secrets

from palatine.backends.base import Backend

PROBES = "probes/"


def heeds_create(backend: Backend) -> bool:
    """Whether a second put of one name fails, as it must."""
    name = f"{PROBES}{secrets.token_hex(16)}"
    try:
        return backend.create(name, b"first") and not backend.create(name, b"second")
    finally:
        backend.delete(name)
