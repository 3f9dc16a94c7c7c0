"""Walking a palace: every directory becomes a tree, read only where something changed.

Descriptors, not paths, lead from a directory to what is in it, so a name that is swapped for a
symlink meanwhile leads nowhere else. The walk keeps its own stack: depth is bounded by descriptors.
"""

from __future__ import annotations

from collections.abc import Iterable

from palatine.capture.context import Context, Subdirectory, Walk
from palatine.capture.directory import Directory, walk_of
from palatine.ids import ObjectId


def walk(
    context: Context, directory: int, names: Iterable[bytes] | None, old: ObjectId | None
) -> Subdirectory:
    """Put the tree of a directory (a descriptor, which stays open) and return it.

    `names` restricts what is taken of it; `old` is the tree it had in the parent snapshot.
    """
    if names is None:
        top = walk_of(context, directory, b"", old, in_git=False)
    else:
        top = Directory(context, directory, b"", old).run(sorted(names))
    stack: list[Walk] = [top]
    result: Subdirectory | None = None
    error: OSError | None = None
    try:
        while stack:
            try:
                deeper = _resume(stack[-1], result, error)
            except StopIteration as stop:
                stack.pop()
                result, error = stop.value, None
            except OSError as raised:
                stack.pop()
                result, error = None, raised
            else:
                stack.append(deeper)
                result = error = None
    finally:
        for unfinished in reversed(stack):
            unfinished.close()
    if error is not None:
        raise error
    assert result is not None
    return result


def _resume(walking: Walk, result: Subdirectory | None, error: OSError | None) -> Walk:
    if error is not None:
        return walking.throw(error)
    return next(walking) if result is None else walking.send(result)
