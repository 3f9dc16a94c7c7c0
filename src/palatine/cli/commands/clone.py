"""pal clone: a new repository with the snapshots of another one."""

from __future__ import annotations

from typing import Annotated

import typer

from palatine.cli import copying, text
from palatine.cli.invocation import invocation
from palatine.errors import UsageError

EXAMPLES = (
    "pal clone ssh://backup@example.org/srv/memory ~/memory",
    "pal clone /mnt/disk/memory ~/memory alpha --since 30d",
)
EXIT_CODES = {**copying.EXIT_CODES, 5: "refused: something is there already"}


def clone(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The repository to copy.")],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where the new one will be.")],
    what: copying.What = None,
    tenant: copying.Tenants = None,
    tag: copying.Tags = None,
    since: copying.Since = None,
    bandwidth: copying.Bandwidth = None,
) -> None:
    """Make a repository with the snapshots of another one.

    That one becomes the remote `origin` of the new one. Interrupted, pal pull goes on.
    """
    from palatine import api
    from palatine.workers import keep_freed_memory

    run = invocation(context)
    if run.options.repo is not None:
        raise UsageError("--repo names no part of a clone", "pal clone URL DIR")
    keep_freed_memory()
    options = copying.options(run, what, tenant, tag, since, False, bandwidth)
    result = api.clone(url, directory, options, reporter=run.watcher)
    run.output.explain(f"made {text.name(directory)}")
    copying.finish(run, result, False)
