"""pal pull: copy snapshots from another repository."""

from __future__ import annotations

import typer

from palatine.cli import copying
from palatine.cli.invocation import invocation

EXAMPLES = ("pal pull", "pal pull offsite alpha", "pal pull offsite --tag keep --bandwidth 2M")
EXIT_CODES = copying.EXIT_CODES


def pull(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    remote: copying.Where = None,
    what: copying.What = None,
    all: copying.All = False,
    tenant: copying.Tenants = None,
    tag: copying.Tags = None,
    since: copying.Since = None,
    dry_run: copying.DryRun = False,
    bandwidth: copying.Bandwidth = None,
) -> None:
    """Copy from a remote the snapshots that are lacking here.

    What was forgotten here does not come back, unless it is named.
    """
    run = invocation(context)
    options = copying.options(run, what, tenant, tag, since, dry_run, bandwidth, all)
    with run.open() as repository:
        copying.finish(run, repository.pull(remote, options), dry_run)
