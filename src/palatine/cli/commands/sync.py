"""pal sync: copy snapshots both ways."""

from __future__ import annotations

import typer

from palatine.cli import copying
from palatine.cli.invocation import invocation

EXAMPLES = ("pal sync", "pal sync offsite alpha", "pal sync offsite --dry-run")
EXIT_CODES = copying.EXIT_CODES


def sync(  # noqa: PLR0913 - each parameter is an option
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
    """Pull from a remote, then push to it.

    Snapshots of one palace that two hosts made stand side by side, each with its parents.
    """
    run = invocation(context)
    options = copying.options(run, what, tenant, tag, since, dry_run, bandwidth, all)
    with run.open() as repository:
        copying.finish(run, repository.sync(remote, options), dry_run)
