"""Which snapshot came from which, as lines between stars: one column for each line of history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Lane = bytes | None
"""The id of the snapshot that a column leads down to; None for one that is free."""


def draw(
    ids: Sequence[bytes], parents: Mapping[bytes, Sequence[bytes]]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield rows from the newest down: what is drawn, and the snapshot it stands beside or None.

    `ids` are in order, children before parents; parents that are not among them are left out.
    """
    known = {*ids}
    lanes: list[Lane] = []
    for one in ids:
        at = _column(lanes, one)
        for other in range(len(lanes) - 1, at, -1):
            if lanes[other] == one:
                yield _joined(lanes, at, other), None
                lanes[other] = None
        yield _row(lanes, at), one
        above = [parent for parent in parents.get(one, ()) if parent in known]
        lanes[at] = above[0] if above else None
        for parent in above[1:]:
            fresh = parent not in lanes
            other = _free(lanes, at + 1) if fresh else lanes.index(parent)
            lanes[other] = parent
            yield _forked(lanes, at, other, fresh), None
        while lanes and lanes[-1] is None:
            lanes.pop()


def _column(lanes: list[Lane], one: bytes) -> int:
    if one in lanes:
        return lanes.index(one)
    at = _free(lanes, 0)
    lanes[at] = one
    return at


def _free(lanes: list[Lane], start: int) -> int:
    for at in range(start, len(lanes)):
        if lanes[at] is None:
            return at
    lanes += [None] * (start - len(lanes))
    lanes.append(None)
    return len(lanes) - 1


def _row(lanes: Sequence[Lane], star: int) -> str:
    marks = ["*" if at == star else "|" if lane else " " for at, lane in enumerate(lanes)]
    return " ".join(marks).rstrip()


def _joined(lanes: Sequence[Lane], left: int, right: int) -> str:
    """Return the row in which a column ends in one further left."""
    marks = [*" ".join("|" if lane else " " for lane in lanes)]
    marks[2 * right] = " "
    marks[2 * right - 1] = "/"
    for between in range(2 * left + 1, 2 * right - 1, 2):
        marks[between] = "_"
    return "".join(marks).rstrip()


def _forked(lanes: Sequence[Lane], one: int, other: int, fresh: bool) -> str:
    """Return the row in which a second parent's column begins, or is met."""
    left, right = sorted((one, other))
    marks = [*" ".join("|" if lane else " " for lane in lanes)]
    marks[2 * left + 1] = "\\" if other > one else "/"
    if fresh:
        marks[2 * other] = " "
    for between in range(2 * left + 3, 2 * right, 2):
        marks[between] = "_"
    return "".join(marks).rstrip()
