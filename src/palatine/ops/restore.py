"""restore: put a snapshot, or a part of it, back: where nothing is, or over what is there."""

from __future__ import annotations

from dataclasses import replace

from palatine.errors import Exists
from palatine.ops.restoring import Action, Mode, PreRestore, Request, Restored, check_mixture
from palatine.restore import intent
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

__all__ = ["Action", "Mode", "PreRestore", "Request", "Restored", "restore", "undo"]


def restore(repository: Repository, stored: Stored, request: Request) -> Restored:
    """Put a snapshot back as a request says.

    Raises UsageError for what does not go together, and what the modes raise: Exists, Refused,
    Locked, PathNotFound, NoSpace, Damaged, SourceError. Nothing half-done is left.
    """
    check_mixture(request)
    if request.mode == Mode.UNDO:
        return undo(repository, request)
    if request.mode == Mode.NEW:
        done = _new(repository, stored, request)
    else:
        from palatine.ops.restore_over import restore_over

        done = restore_over(repository, stored, request)
    if request.dry_run or not done.target.exists():
        return done
    from palatine.ops import renaming

    if request.as_name is None:
        said = renaming.led_astray(done)
    else:
        said = renaming.called_otherwise(request.as_name, done.target, repository.reporter)
    return replace(done, notices=(*done.notices, *said))


def _new(repository: Repository, stored: Stored, request: Request) -> Restored:
    finished = ""
    if intent.stands(request.target.resolve()):
        from palatine.ops.restore_over import recover_first

        finished = recover_first(repository, request)
    from palatine.ops.restore_new import restore_new

    try:
        return replace(restore_new(repository, stored, request), finished=finished)
    except Exists:
        if finished:  # and so something is there now
            repository.reporter.notice(finished)
        raise


def undo(repository: Repository, request: Request) -> Restored:
    """Put back what was at the target before the last restore over it.

    Raises UnknownRevision when there was none, and what `restore` raises.
    """
    from palatine.ops.restore_over import restore_over

    check_mixture(request)
    return restore_over(repository, None, request)
