"""The open repository, with a method for each verb."""

from __future__ import annotations

from palatine.api.bundles import Bundles
from palatine.api.caring import Caring
from palatine.api.copies import Copies
from palatine.api.keeping import Keeping
from palatine.api.looking import Looking


class Repository(Looking, Keeping, Caring, Bundles, Copies):
    """An open repository. Use it as a context manager, or close it."""

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
