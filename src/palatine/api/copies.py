"""Verbs for copies in other repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palatine.api.opened import Opened
from palatine.api.places import PathLike
from palatine.ops.defaults import absolute
from palatine.ops.defaults import default_remotes as default_remotes

if TYPE_CHECKING:
    from palatine.ops import remotes as remotes_op
    from palatine.ops import synchronise
    from palatine.ops.exchange import Options as CopyOptions
    from palatine.sync.serving import Terms as ServeTerms
    from palatine.sync.wire import Channel


class Copies(Opened):
    """Remotes, and what goes to and fro."""

    def remotes(self, file: PathLike | None = None) -> remotes_op.Remotes:
        """Return the remotes of this repository; `file` holds them, else the user's."""
        from palatine.ops import remotes as remotes_op

        where = default_remotes() if file is None else absolute(file)
        return remotes_op.Remotes(where, self.store.config.id)

    def push(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Copy to a remote (a name or a URL; else the only one) the snapshots that it lacks.

        What it forgot it is not given, unless named. Raises UsageError, UnknownRevision, Refused,
        NoRepository, RepositoryError.
        """
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.push(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def pull(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Copy from a remote the snapshots that are lacking here; see `push`."""
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.pull(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def sync(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Pull, then push."""
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.sync(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def serve(self, channel: Channel, terms: ServeTerms | None = None) -> None:
        """Answer whoever is at the other end of a channel, which has been greeted."""
        from palatine.sync.serving import OPEN, serve

        serve(self.store, channel, terms or OPEN)
