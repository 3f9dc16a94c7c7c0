"""Git directories, captured so that nothing in them refers to an object that is not there.

git writes objects before what refers to them, and lets go of references before it deletes objects.
So HEAD, refs, index and reflogs are read before the objects, whatever their names; a directory's
names come in order, and loose objects before packs is that order already. Packing, pruning and
collecting delete objects: when one vanished while the directory was walked, it is walked again.

Locks and half-written objects are left out: they belong to a git that runs now, and a repository
that is put back with `index.lock` in it refuses every commit.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from palatine.capture.context import Context, Walk
from palatine.fsio import exists_at
from palatine.model.snapshot import Missing

ATTEMPTS, PATIENCE = 20, 30.0
"""How often a git directory is walked at least, and for how many seconds, until no object vanishes
meanwhile: collecting in a loop leaves a gap, sooner or later.
"""
WAIT_SECONDS, WAIT_MAX = 0.02, 0.1
"""Before the second walk; each later one waits this much longer, up to a bound."""
OBJECTS = b"objects"

_TRANSIENT_PREFIXES = (b"tmp_", b".tmp-")
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_git_directory(directory: int) -> bool:
    """Whether an open directory is a repository's: `.git`, a bare one, or a submodule's."""
    return all(exists_at(directory, name) for name in (OBJECTS, b"refs", b"HEAD"))


def is_transient(name: bytes) -> bool:
    """Whether a file in a git directory belongs to a git command that runs now."""
    return name.endswith(b".lock") or name.startswith(_TRANSIENT_PREFIXES) or name == b"gc.pid"


def read_ahead(names: list[bytes]) -> list[bytes]:
    """Return which of a git directory's names are walked before the others, in that order.

    All that would come after the objects; packed refs after the loose ones, which are deleted when
    they have been packed.
    """
    late = [name for name in names if name > OBJECTS and name not in (b"refs", b"packed-refs")]
    order = [b"HEAD", b"refs", *late, b"packed-refs"]
    return [name for name in order if name in names or name == b"packed-refs"]  # it may come yet


class Objects:
    """The files that hold a repository's objects, as they are listed from time to time."""

    def __init__(self, directory: int) -> None:
        """`directory` is the git directory, open."""
        self._directory = directory
        self._seen: set[bytes] = set()
        self._collected = _gc_runs(directory)
        self.look()

    def look(self) -> None:
        """Note what is there now."""
        self._seen |= self._list()

    def all_there(self) -> bool:
        """Whether everything that was ever noted is there still: then a walk has met it.

        While `git gc` runs the answer is no: between pruning and writing a new commit-graph the old
        one names commits that are gone.
        """
        if self._collected or _gc_runs(self._directory):
            return False
        return self._seen <= self._list()

    def _list(self) -> set[bytes]:
        found: set[bytes] = set()
        top = _names(self._directory, OBJECTS)
        for name in top:
            if len(name) == 2 or name == b"pack":
                path = OBJECTS + b"/" + name
                found |= {path + b"/" + one for one in _names(self._directory, path)}
        return {path for path in found if not is_transient(path.rpartition(b"/")[2])}


def settled(context: Context, fd: int, path: bytes, again: Callable[[Objects], Walk]) -> Walk:
    """Walk an open git directory again and again until no object vanishes meanwhile."""
    deadline = context.clock.monotonic() + PATIENCE
    for attempt in itertools.count(1):
        mark = context.findings.mark()
        objects = Objects(fd)
        done = yield from again(objects)
        if objects.all_there():
            return done
        if attempt >= ATTEMPTS and context.clock.monotonic() >= deadline:
            break
        context.forget(path, mark)
        context.clock.sleep(min(WAIT_SECONDS * attempt, WAIT_MAX))
    reason = "git went on deleting objects while they were read"
    context.findings.missing.append(Missing(path.rstrip(b"/") or b".", reason))
    return done


def _gc_runs(directory: int) -> bool:
    try:
        fd = os.open(b"gc.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return False
    try:
        words = os.read(fd, 100).split()
        os.kill(int(words[0]), 0)
    except (IndexError, ValueError, OverflowError, ProcessLookupError):
        return False  # left by one that was killed
    except OSError:
        return True
    finally:
        os.close(fd)
    return True


def _names(directory: int, path: bytes) -> list[bytes]:
    try:
        fd = os.open(path, _FLAGS, dir_fd=directory)
    except OSError:
        return []  # the walk says so, if it is not merely gone
    try:
        return [os.fsencode(name) for name in os.listdir(fd)]
    finally:
        os.close(fd)
