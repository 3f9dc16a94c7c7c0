"""pal export: a snapshot as one file that travels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import exporting, filing
from palatine.cli.invocation import check_whole, invocation
from palatine.cli.passphrases import passphrase
from palatine.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from palatine.bundle.age.keys import Lock
    from palatine.redact.tree import Options

EXAMPLES = (
    "pal export alpha alpha.tar.zst",
    "pal export 'alpha@{1w}' ~/bundles --level 19",
    "pal export alpha ~/bundles --encrypt recipients.txt",
    "pal export alpha to-share.tar.zst --redact --redact-rule 'customer=C-[0-9]{6}'",
    "pal export alpha --redact-dry-run",
    "pal export --all ~/bundles --format trusty",
)
EXIT_CODES = {
    3: "done, but not all: a palace failed (--all), or the git history that was kept has secrets",
    4: "what was asked for is damaged; no file was written",
    5: "refused: FILE is there already, or something that may hold secrets cannot be redacted",
    10: "",
}


def export(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    revision: Annotated[
        str | None,
        typer.Argument(metavar="REV", help="See: pal help revisions", show_default=False),
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write; in a directory it is named after palace and time.",
            show_default=False,
        ),
    ] = None,
    all: Annotated[
        str | None,
        typer.Option(
            "--all", metavar="DIR", help="The newest snapshot of every palace, into a directory."
        ),
    ] = None,
    level: Annotated[
        int,
        typer.Option("--level", metavar="N", help="zstd's level: 1 (fast) to 19 (small)."),
    ] = 3,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE if it is there already.")
    ] = False,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="For another tool: nexo, trusty, ai-memory or oxios.",
        ),
    ] = "native",
    encrypt: Annotated[
        list[str] | None,
        typer.Option(
            "--encrypt",
            metavar="RECIPIENT",
            help="Encrypt it for age1…, ssh-…, or those in a file; repeatable.",
        ),
    ] = None,
    passphrase_file: Annotated[
        str | None,
        typer.Option(
            "--passphrase-file",
            metavar="KEY",
            help="Encrypt it with the passphrase in a file; - asks for one.",
        ),
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace secrets with [REDACTED:rule] in it.")
    ] = False,
    redact_rule: Annotated[
        list[str] | None,
        typer.Option(
            "--redact-rule", metavar="NAME=REGEX", help="Also replace what matches; repeatable."
        ),
    ] = None,
    redact_dry_run: Annotated[
        bool, typer.Option("--redact-dry-run", help="Only say what --redact would replace.")
    ] = False,
    keep_git_history: Annotated[
        bool,
        typer.Option(
            "--keep-git-history", help="With --redact: keep it; it is searched, not changed."
        ),
    ] = False,
) -> None:
    """Write a snapshot as one file that GNU tar and zstd can read.

    It holds the palace, a manifest, and the SHA-256 of every file. The same snapshot gives the same
    bytes. A file with the bundle's own SHA-256 is written beside it. Nothing has FILE's name until
    all of it is written.
    """
    from palatine.ops.export import Request

    run = invocation(context)
    target = _target(revision, file, all, redact_dry_run)
    options = _redaction(redact, tuple(redact_rule or ()), redact_dry_run, keep_git_history)
    lock = _lock(encrypt, passphrase_file)
    request = Request(target, level, force, format, lock, options)
    with run.open() as repository:
        if revision is not None:
            done = repository.export(revision, request)
            if run.output.json:
                run.output.result(exporting.shape(done))
            else:
                exporting.tell(run, done)
            exporting.check(done)
            return
        exporting.all_palaces(run, repository, request)
        check_whole(repository)


def _target(revision: str | None, file: str | None, all: str | None, dry_run: bool) -> Path | None:
    """Return where to; raises UsageError unless it is REV and FILE, or --all."""
    if all is not None:
        if revision is not None:
            raise UsageError("--all takes every palace, and no REV", "leave out one of them")
        return filing.path(all)
    if revision is None:
        raise UsageError("REV and FILE are needed, or --all DIR", "pal export --help shows how")
    if file is not None:
        path = filing.path(file)
        if file.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        return path
    if not dry_run:
        raise UsageError("FILE is needed", "a directory will do: it is named for you there")
    return None


def _redaction(
    redact: bool, rules: tuple[str, ...], dry_run: bool, keep_git_history: bool
) -> Options | None:
    if not (redact or dry_run):
        if rules or keep_git_history:
            raise UsageError("this goes with --redact only", "add --redact")
        return None
    from palatine.redact.tree import Options

    return Options(rules, keep_git_history, dry_run)


def _lock(encrypt: list[str] | None, passphrase_file: str | None) -> Lock | None:
    if not encrypt and passphrase_file is None:
        return None
    from palatine.bundle.age.keys import lock_of

    return lock_of(encrypt or [], passphrase(passphrase_file, confirm=True))
