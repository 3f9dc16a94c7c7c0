"""Where things are that nobody named, and what people mean by a path."""

from __future__ import annotations

import os
from pathlib import Path

from palatine.errors import UsageError


def default_repository() -> Path:
    """Return where the default repository is, or will be: in the user's data directory."""
    import platformdirs

    return Path(platformdirs.user_data_dir("palatine")) / "repository"


def default_cache() -> Path:
    """Return the user's cache directory for palatine."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("palatine"))


def default_configuration() -> Path:
    """Return where the user's configuration file is looked for."""
    import platformdirs

    return Path(platformdirs.user_config_dir("palatine")) / "config.toml"


def default_remotes() -> Path:
    """Return the file in which the user's remotes are kept."""
    import platformdirs

    return Path(platformdirs.user_config_dir("palatine")) / "remotes.json"


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return a path that means the same from every directory; raises UsageError."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise UsageError(f"{os.fspath(path)!r} begins with a user nobody here has") from None
