"""Which formats of other tools there are, and how their archives are opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from palatine.bundle.formats.ai_memory import AiMemory
from palatine.bundle.formats.base import Format, Opener
from palatine.bundle.formats.nexo import Nexo
from palatine.bundle.formats.oxios import Oxios
from palatine.bundle.formats.trusty import Trusty
from palatine.bundle.limits import Limits
from palatine.bundle.tar.read import Member, members
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.bundle.age.keys import Keys

FORMATS: tuple[Format, ...] = (Nexo(), Trusty(), AiMemory(), Oxios())
"""All of them, in the order in which they are named to people."""


def by_name(name: str) -> Format:
    """Return a format by its name; raises UsageError."""
    for one in FORMATS:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in FORMATS)
    raise UsageError(f"there is no format {name!r}", f"one of: {known}")


def opener(limits: Limits, keys: Keys | None = None, skip_verify: bool = False) -> Opener:
    """Return what opens archives: it checks them to their end, and the `.sha256` beside them."""

    @contextlib.contextmanager
    def opened_members(path: Path) -> Iterator[Iterable[Member]]:
        from palatine.bundle.opening import opened

        with opened(path, limits, keys) as archive:
            yield members(archive.stream, limits)
            if not skip_verify:
                archive.finish()

    return opened_members
