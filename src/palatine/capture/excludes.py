"""Which names are left out: the user's patterns, written as in a .gitignore."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

Exclude = Callable[[bytes, bool], bool]
"""Whether to leave out a path (from the palace's root), which is a directory or not."""


def nothing(path: bytes, is_directory: bool) -> bool:
    """Leave nothing out."""
    return False


def matching(patterns: Sequence[str]) -> Exclude:
    """Return a rule that leaves out what matches the patterns."""
    if not patterns:
        return nothing
    from pathspec import GitIgnoreSpec  # 20 ms to import, and most captures exclude nothing

    spec = GitIgnoreSpec.from_lines(patterns)

    def exclude(path: bytes, is_directory: bool) -> bool:
        text = os.fsdecode(path)
        return spec.match_file(text + "/" if is_directory else text)

    return exclude
