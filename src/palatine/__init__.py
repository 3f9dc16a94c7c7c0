"""palatine: a content-addressed snapshot store for the memory of AI agents."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palatine.api import (
        Repository as Repository,
    )
    from palatine.api import (
        default_cache as default_cache,
    )
    from palatine.api import (
        default_repository as default_repository,
    )
    from palatine.api import (
        init as init,
    )
    from palatine.api import (
        open_repository as open_repository,
    )
    from palatine.errors import PalatineError as PalatineError
    from palatine.events import Reporter as Reporter
    from palatine.model.policy import Rules as Rules

__version__ = "0.1.0"

_HOMES = {
    "Repository": "palatine.api",
    "default_cache": "palatine.api",
    "default_repository": "palatine.api",
    "init": "palatine.api",
    "open_repository": "palatine.api",
    "PalatineError": "palatine.errors",
    "Reporter": "palatine.events",
    "Rules": "palatine.model.policy",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    # Imported when first asked for: `pal --version` must not pay for the whole engine.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'palatine' has no attribute {name!r}")
