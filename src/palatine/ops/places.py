"""Who and where we are, and where this host keeps what it derived about a place."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from palatine.store.repository import Repository


def host() -> str:
    """Return this host's name."""
    import socket

    return as_text(socket.gethostname())


def user() -> str:
    """Return the name of whoever runs this, or an empty one."""
    import getpass

    try:
        return as_text(getpass.getuser())
    except (OSError, KeyError):
        return ""


def as_text(system: str) -> str:
    """Return a name of the system's as text that can be stored, whatever bytes it is made of."""
    return system.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def signature_file(repository: Repository, tenant: str, palace: str, source: Path) -> Path | None:
    """Return where the stat signatures of a palace's place are kept, or None without a cache."""
    if repository.cache is None:
        return None
    place = f"{tenant}/{palace}\0{source}".encode("utf-8", "surrogateescape")
    return repository.cache / "signatures" / sha256(place).hexdigest()[:32]


def avoided(repository: Repository) -> list[Path]:
    """Return the directories that no capture enters: the repository's own and its cache."""
    places = [repository.backend.directory, repository.cache]
    return [place for place in places if place is not None]
