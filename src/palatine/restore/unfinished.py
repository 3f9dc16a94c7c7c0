"""An error in the middle of a restore says whether anything is changed already."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from palatine.errors import NoSpace, PalatineError, SourceError
from palatine.restore import intent


@contextlib.contextmanager
def unfinished(target: Path) -> Iterator[None]:
    """Tell in an error that something is changed already, when that is so."""
    try:
        yield
    except (PalatineError, OSError) as error:
        if isinstance(error, PalatineError):
            kind, text = type(error), error.message
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            kind, text = NoSpace, f"the disk of {target} is full"
        else:
            kind, text = SourceError, f"{target} cannot be written: {error}"
        if not intent.stands(target):
            if isinstance(error, PalatineError):
                raise
            raise kind(f"{text}; nothing was changed") from error
        raise kind(
            f"{text}; some of it may be changed already",
            f"see to that, then restore over {target} again: what was begun is finished first",
        ) from error
