"""Serving the repository of a run over stdin and stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from palatine.cli.invocation import Invocation
from palatine.errors import PalatineError


def serve(run: Invocation, append_only: bool, palaces: Sequence[str]) -> None:
    """Serve until the other side hangs up; it is told what fails here."""
    from palatine.model.names import join_palace, split_palace
    from palatine.sync.far import failure
    from palatine.sync.serving import Terms
    from palatine.sync.wire import Channel

    names = [join_palace(*split_palace(one)) for one in palaces]
    terms = Terms(append_only, frozenset(names) if names else None)
    channel = Channel(sys.stdin.buffer, sys.stdout.buffer, "the other side")
    channel.greet()
    try:
        with run.open() as repository:
            repository.serve(channel, terms)
    except PalatineError as error:
        channel.fail(failure(error))
        raise
