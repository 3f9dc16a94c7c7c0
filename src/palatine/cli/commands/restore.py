"""pal restore: put a snapshot back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from palatine.cli import filing, merged, restoring
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import UsageError

if TYPE_CHECKING:
    from palatine.ops.restoring import Restored

EXAMPLES = (
    "pal restore alpha ./alpha-as-it-was",
    "pal restore 'alpha@{1d}' ./before --path notes --path palace.json",
    "pal restore alpha~2 ~/.local/share/trusty-memory/palaces/alpha --replace --dry-run",
    "pal restore alpha~2 ~/.local/share/trusty-memory/palaces/alpha --live",
    "pal restore --undo ~/.local/share/trusty-memory/palaces/alpha",
    "pal restore ./alpha.tar.zst ./alpha-from-elsewhere",
)
EXIT_CODES = {
    4: "what was asked for is damaged",
    5: "refused: TARGET is there already, or in use; a merge left conflicts; FILE is too large",
    10: "",
    11: "another process snapshots or restores the palace, and did not end in time",
}


def restore(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    revision: Annotated[
        str | None,
        typer.Argument(
            metavar="REV|FILE", help="See: pal help revisions. Or a bundle.", show_default=False
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A directory that is not there yet, or empty; else say how.",
            show_default=False,
        ),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="P", help="Only this path of the palace; repeatable."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only artifacts of this kind; repeatable."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Exchange what is at TARGET; nobody may use it.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Change TARGET while its service keeps running.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Add to TARGET what it lacks, and tell conflicts.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Put back what was at TARGET before the last restore over it."),
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="With --live: also remove what the snapshot lacks.")
    ] = False,
    prefer: Annotated[
        Literal["theirs", "ours"] | None,
        typer.Option(
            "--prefer",
            help="With --merge: who wins conflicts, the snapshot (theirs) or TARGET (ours).",
        ),
    ] = None,
    as_name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="The new copy gets a name and place of its own."),
    ] = None,
    outside: Annotated[
        bool,
        typer.Option("--outside", help="Put outside parts to their places, not beside TARGET."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    lock_timeout: Annotated[
        float,
        typer.Option(
            "--lock-timeout",
            metavar="SECONDS",
            min=0,
            help="How long others who work on the palace are waited for.",
        ),
    ] = 60.0,
    identity: filing.Identity = None,
    passphrase_file: filing.PassphraseFile = None,
    format: filing.Format = None,
    skip_verify: filing.SkipVerify = False,
    max_size: filing.MaxSize = None,
    max_ratio: filing.MaxRatio = None,
    allow_case_folding: filing.CaseFolding = False,
) -> None:
    """Put a snapshot or bundle back, to a new place or over an old.

    It is built beside TARGET, verified, and then takes its name: nothing half-written is left,
    whatever happens. Over something that is there: only with --replace, --live or --merge, and a
    snapshot of that is taken first, which --undo puts back.
    """
    from palatine.ops.restoring import Request, check_mixture, one_mode

    run = invocation(context)
    mode = one_mode(replace, live, merge, undo)
    if undo:
        revision, target = _only_target(revision, target)
    if target is None or (revision is None and not undo):
        raise UsageError("REV and TARGET are both needed", "pal restore --help shows how")
    request = Request(
        Path(target), mode, tuple(os.fsencode(one) for one in path or ()), tuple(kind or ()),
        dry_run, delete, prefer, as_name, outside, lock_timeout,
    )  # fmt: skip
    check_mixture(request)
    source = None if revision is None else filing.bundle(run, revision)
    if source is not None:
        from palatine.ops.intake import Request as ImportRequest

        wanted = ImportRequest(
            source, keys=filing.keys(identity, passphrase_file),
            limits=filing.limits(max_size, max_ratio, allow_case_folding), format=format,
            skip_verify=skip_verify,
        )  # fmt: skip
        _tell(run, filing.restore(run, wanted, request), dry_run)
        return
    limited = max_size or max_ratio or allow_case_folding
    if identity or passphrase_file or format or skip_verify or limited:
        raise UsageError("these options go with FILE", "pal restore --help shows how")
    with run.open() as repository:
        if revision is None:
            done = repository.undo(target, outside=outside, lock_timeout=lock_timeout)
        else:
            done = repository.restore(
                revision, target, paths=request.paths, kinds=request.kinds, replace=replace,
                live=live, merge=merge, delete=delete, prefer=prefer, as_name=as_name,
                outside=outside, dry_run=dry_run, lock_timeout=lock_timeout,
            )  # fmt: skip
        _tell(run, done, dry_run)


def _tell(run: Invocation, done: Restored, dry_run: bool) -> None:
    if run.output.json:
        run.output.result(restoring.shape(done, dry_run))
    else:
        restoring.tell(run, done, dry_run)
    if done.merged is not None:
        merged.finish(done)


def _only_target(first: str | None, second: str | None) -> tuple[None, str | None]:
    """Return the arguments of --undo: no revision, and the only one there is as the target."""
    if second is not None:
        raise UsageError("--undo takes no REV: what it puts back is known", "leave out REV")
    return None, first
