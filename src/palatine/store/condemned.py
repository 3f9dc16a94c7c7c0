"""Condemned packs: `condemned/HEX`, an empty file for each pack that must not be relied upon.

A pack that is condemned is never taken back: what turns out to be needed of it is copied.
"""

from __future__ import annotations

from collections.abc import Iterable

from palatine.backends.base import Backend

CONDEMNED = "condemned/"


def condemned(backend: Backend) -> frozenset[bytes]:
    """Return the packs that are condemned now, as digests; some may be deleted already."""
    names = (stat.name.removeprefix(CONDEMNED) for stat in backend.list(CONDEMNED))
    return frozenset(bytes.fromhex(name) for name in names if _is_digest(name))


def condemn(backend: Backend, packs: Iterable[bytes]) -> None:
    """Condemn packs; some may be so already."""
    backend.create_all(_name(pack) for pack in packs)


def strike_off(backend: Backend, packs: Iterable[bytes]) -> None:
    """Delete the entries of packs that are deleted."""
    backend.delete_all(_name(pack) for pack in packs)


def _name(pack: bytes) -> str:
    return f"{CONDEMNED}{pack.hex()}"


def _is_digest(name: str) -> bool:
    try:
        return bytes.fromhex(name).hex() == name and len(name) == 64
    except ValueError:
        return False
