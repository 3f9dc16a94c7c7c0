"""The rules of every three-way merge: what only one side changed is taken from it."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What becomes of something that the sides have differently."""

    KEEP = "keep"
    """Ours stays as it is."""
    TAKE = "take"
    """Theirs is taken, also where theirs is nothing any more."""
    CONFLICT = "conflict"


def decided(theirs_unchanged: bool, ours_unchanged: bool) -> Verdict:
    """Return whose way a difference goes; unchanged: what the base has, or nothing as it has.

    Without a base what one side lacks is new on the other, and all else that differs a conflict.
    """
    if theirs_unchanged:
        return Verdict.KEEP
    return Verdict.TAKE if ours_unchanged else Verdict.CONFLICT


def counted(ours: int, theirs: int, base: int) -> int:
    """Return how many of what nothing tells apart there shall be, from how many each side has.

    Where both changed that, the greater number: what both sides know is one thing. Merging the
    result again leaves it as it is.
    """
    if theirs == base:
        return ours
    return theirs if ours == base else max(ours, theirs)
