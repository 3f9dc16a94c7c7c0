"""pal push: copy snapshots to another repository."""

from __future__ import annotations

import typer

from palatine.cli import copying
from palatine.cli.invocation import invocation

EXAMPLES = (
    "pal push",
    "pal push offsite --all",
    "pal push offsite alpha --since 30d",
    "pal push /mnt/disk/memory alpha~1 --dry-run",
)
EXIT_CODES = copying.EXIT_CODES


def push(  # noqa: PLR0913 - each parameter is an option
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
    """Copy to a remote the snapshots that it lacks.

    What the remote forgot is not given to it again, unless it is named.
    """
    run = invocation(context)
    options = copying.options(run, what, tenant, tag, since, dry_run, bandwidth, all)
    with run.open() as repository:
        copying.finish(run, repository.push(remote, options), dry_run)
