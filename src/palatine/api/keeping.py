"""Verbs that take snapshots and put them back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from palatine.api.opened import Opened
from palatine.api.places import PathLike
from palatine.errors import UsageError
from palatine.ops.defaults import absolute
from palatine.ops.palacelock import LOCK_TIMEOUT

if TYPE_CHECKING:
    from palatine.ops import keep as keep_op
    from palatine.ops import snapshot as snapshot_op
    from palatine.ops.planning import Planned
    from palatine.ops.restoring import Prefer, Restored
    from palatine.store.snapshots import Stored


class Keeping(Opened):
    """Palaces into the repository, and out of it."""

    def plan(
        self, paths: Sequence[PathLike], *, palace: str | None = None, all: bool = False
    ) -> list[Planned]:
        """Return which palaces `snapshot` would take of these paths, and their names.

        With `all`, each path is a data root: the layouts say which palaces are below it.
        Raises PathNotFound, UsageError.
        """
        from palatine.ops import planning
        from palatine.ops.places import avoided

        sources = [absolute(path) for path in paths]
        if all:
            sources = planning.discover(sources, avoided(self.store), self.store.reporter)
        return planning.plan(sources, palace, self.store.reporter)

    def snapshot(  # noqa: PLR0913 - keywords, one for each flag of the command
        self,
        path: PathLike,
        *,
        palace: str | None = None,
        message: str = "",
        tags: Sequence[str] = (),
        excludes: Sequence[str] = (),
        unsafe_files: bool = False,
        force: bool = False,
        check: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> snapshot_op.Done:
        """Snapshot one palace: a directory or one database file.

        `excludes` are patterns as in a .gitignore. Nothing changed: no new snapshot (see
        `Done.fresh`) unless `force`. `check` has SQLite check the databases (`Done.damaged`).
        `lock_timeout` is how many seconds another snapshot of the palace is waited for.
        Raises NameTaken, Refused, PathNotFound, SourceError, Locked.
        """
        from palatine.capture.palace import Options
        from palatine.ops import keep, snapshot
        from palatine.ops.palacelock import Patience

        (planned,) = self.plan([path], palace=palace)
        request = snapshot.Request(
            planned.source, planned.tenant, planned.palace, planned.derived, message, tuple(tags),
            force, Options(tuple(excludes), unsafe_files), check,
        )  # fmt: skip
        return keep.keep(self.store, request, keep.Terms(Patience(lock_timeout)))

    def snapshot_planned(
        self,
        planned: Planned,
        request: snapshot_op.Request,
        terms: keep_op.Terms | None = None,
    ) -> snapshot_op.Done:
        """Snapshot a palace that `plan` found, with the other settings of a request.

        `terms` say how long the palace's lock is waited for, and which hooks are run.
        """
        from palatine.ops import keep

        chosen = replace(
            request, source=planned.source, tenant=planned.tenant, palace=planned.palace,
            derived=planned.derived,
        )  # fmt: skip
        return keep.keep(self.store, chosen, terms or keep.USUAL)

    def restore(  # noqa: PLR0913 - keywords, one for each flag of the command
        self,
        revision: str,
        target: PathLike,
        *,
        paths: Sequence[str | bytes] = (),
        kinds: Sequence[str] = (),
        replace: bool = False,
        live: bool = False,
        merge: bool = False,
        delete: bool = False,
        prefer: Prefer | None = None,
        as_name: str | None = None,
        outside: bool = False,
        dry_run: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> Restored:
        """Put a snapshot back, or some of it: into a new or empty directory, or over what is there.

        `replace` exchanges what is there, `live` changes it under a running service (`delete`: also
        removes what the snapshot lacks), `merge` adds what it lacks (`prefer`, "theirs" or "ours",
        decides conflicts). `paths` and `kinds` choose some of the snapshot; `as_name` gives a new
        copy a name of its own; with `outside` outside parts go to their recorded places. Where
        something is there, a snapshot of it is taken first (`Restored.before`; see `undo`).
        Raises Exists, Refused, Locked, PathNotFound, NoSpace, Damaged, SourceError, UsageError;
        what is there then is what was there.
        """
        from palatine.ops import restore
        from palatine.ops.restoring import Request, one_mode

        request = Request(
            absolute(target), one_mode(replace, live, merge, undo=False),
            tuple(os.fsencode(path) for path in paths), tuple(kinds), dry_run, delete, prefer,
            as_name, outside, lock_timeout,
        )  # fmt: skip
        return restore.restore(self.store, self.resolve(revision), request)

    def undo(
        self, target: PathLike, *, outside: bool = False, lock_timeout: float = LOCK_TIMEOUT
    ) -> Restored:
        """Put back what was at a path before the last restore over it; undone again: redone.

        Live when the palace is in use. Raises UnknownRevision when there was no restore, and what
        `restore` raises.
        """
        from palatine.ops import restore
        from palatine.ops.restoring import Mode, Request

        request = Request(absolute(target), Mode.UNDO, outside=outside, lock_timeout=lock_timeout)
        return restore.undo(self.store, request)

    def tag(self, revision: str, tag: str) -> Stored:
        """Put a tag on a snapshot and return it; one that was forgotten comes back by it."""
        from palatine.ops import undelete

        return undelete.tag(self.store, self._find(revision)[0], tag)

    def untag(self, revision: str, tag: str) -> Stored:
        """Take a tag from a snapshot; raises UsageError when it does not bear it."""
        stored = self.resolve(revision)
        if tag not in stored.tags:
            raise UsageError(f"{stored.id.hex()[:16]} does not bear the tag {tag!r}")
        self.store.snapshots.remove_tag(stored, tag)
        return stored._replace(tags=tuple(one for one in stored.tags if one != tag))
