"""The only module that reads the environment; everything else is handed an `Environment`."""

from __future__ import annotations

import os
from typing import NamedTuple


class Environment(NamedTuple):
    """What the environment asks for: a repository, tracebacks, no colours, a configuration.

    `zone` is what it says of the time zone, None where it is silent, `ssh` the command that
    reaches other hosts.
    """

    repository: str | None
    debug: bool
    plain: bool
    config: str | None = None
    zone: str | None = None
    ssh: str = "ssh"


def read() -> Environment:
    """Return what the environment says; a variable that is empty says nothing."""
    return Environment(
        repository=os.environ.get("PALATINE_REPO") or None,
        debug=os.environ.get("PALATINE_DEBUG", "") not in ("", "0"),
        plain=bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb",
        config=os.environ.get("PALATINE_CONFIG") or None,
        zone=os.environ.get("TZ"),
        ssh=os.environ.get("PALATINE_SSH") or "ssh",
    )
