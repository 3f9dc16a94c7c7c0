"""Beginning a connection before anything else: it takes longer than all that is done meanwhile."""

from __future__ import annotations

from palatine.model.config import decode_config
from palatine.ops.defaults import absolute, default_remotes, default_repository
from palatine.ops.remotes import Remote, Remotes
from palatine.sync.ssh import Begun, command, is_ssh, parse


def begun(repository: str | None, remote: str | None, ssh: str) -> Begun | None:
    """Begin the connection to a remote, given as to `Remotes.find`; None if it is not of ssh.

    `repository` is what the user named, None for the default one. Raises what stands in the way:
    PalatineError, OSError. Nothing was done then.
    """
    found = _remote(repository, remote)
    return Begun(command(parse(found.url), ssh, found.pal)) if is_ssh(found.url) else None


def _remote(repository: str | None, remote: str | None) -> Remote:
    if remote is not None and "://" in remote:
        return Remote(remote)
    place = default_repository() if repository is None else absolute(repository)
    config = decode_config((place / "config").read_bytes())
    return Remotes(default_remotes(), config.id).find(remote).remote
