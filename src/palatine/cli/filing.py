"""Bundles on the command line: the options that say how far they are trusted, and what opens them.

What starts with `/`, `./`, `../` or `~/` is a path. Another spelling is one only if something is
there, and no revision has that name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import text
from palatine.cli.invocation import Invocation
from palatine.cli.passphrases import passphrase
from palatine.errors import NoRepository, UsageError

if TYPE_CHECKING:
    from palatine.bundle.age.keys import Keys
    from palatine.bundle.limits import Limits
    from palatine.ops.intake import Request as ImportRequest
    from palatine.ops.restoring import Request, Restored

Identity = Annotated[
    list[str] | None,
    typer.Option(
        "--identity", metavar="KEY", help="A file with a private key that opens FILE; repeatable."
    ),
]
PassphraseFile = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file", metavar="KEY", help="A file with FILE's passphrase; - asks for it."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Whose FILE is: native, nexo, trusty, ai-memory or oxios; else it is recognised.",
    ),
]
MaxSize = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="Bytes FILE may unpack to, such as 2T."),
]
MaxRatio = Annotated[
    float | None,
    typer.Option(
        "--max-ratio", metavar="N", min=1, help="Times its own size that FILE may unpack to."
    ),
]
CaseFolding = Annotated[
    bool,
    typer.Option(
        "--allow-case-folding", help="Take names that differ only in case; Linux holds them."
    ),
]
SkipVerify = Annotated[
    bool,
    typer.Option(
        "--skip-verify",
        help="Other tools' formats only: take also what is not as its digests say.",
    ),
]
_SIZE = re.compile(r"(\d{1,15})([KMGTP]?)(?:i?B)?\Z", re.IGNORECASE)


def limits(size: str | None, ratio: float | None, case_folding: bool = False) -> Limits:
    """Return how far a bundle is trusted; raises UsageError."""
    from palatine.bundle.limits import Limits

    usual = Limits()
    return Limits(
        usual.max_size if size is None else _bytes(size),
        usual.max_ratio if ratio is None else ratio,
        usual.max_entries,
        case_folding,
    )


def keys(identities: list[str] | None, passphrase_file: str | None) -> Keys:
    """Return what opens a bundle; raises UsageError."""
    from palatine.bundle.age.keys import keys_of

    return keys_of(identities or [], passphrase(passphrase_file))


def bundle(run: Invocation, argument: str) -> Path | None:
    """Return the path that the SOURCE of a restore means, or None for a revision."""
    place = path(argument)
    if argument.startswith(("/", "./", "../", "~/")):
        if not place.exists():
            raise UsageError(f"there is nothing at {argument}", "check the path")
        return place
    if not place.exists():
        return None
    shown = text.name(argument)
    try:
        with run.open() as repository:
            known = repository.is_revision(argument)
    except NoRepository:
        known = False
    if known and place.is_dir():
        return None  # the palace itself, most likely: nobody would call its directory a bundle
    if known:
        run.output.notice(f"{shown} is taken as a revision; ./{shown} would be the path")
        return None
    run.output.notice(f"{shown} is taken as a path: no revision is called that")
    return place


def restore(run: Invocation, file: ImportRequest, how: Request) -> Restored:
    """Restore a bundle, and tell what is to be told of it.

    What was at the target goes into the repository to use; the default one is made for that.
    """
    from palatine import api
    from palatine.cli.taking import opened
    from palatine.ops.restoring import Mode

    if how.mode != Mode.NEW and not how.dry_run:
        with opened(run, ()) as (repository, _):
            done, imported = repository.restore_bundle(file, how)
    else:
        try:
            with run.open() as repository:
                done, imported = repository.restore_bundle(file, how)
        except NoRepository:
            if how.mode != Mode.NEW:
                raise
            done, imported = api.restore_bundle(file, how, reporter=run.watcher)
    run.output.explain(f"bundle: {text.name(str(imported.file))}")
    if imported.redacted:
        run.output.notice("secrets were taken out of it before it was exported")
    for note in (*imported.notes, *imported.unverified):
        run.output.notice(text.sentence(note))
    return done


def path(argument: str) -> Path:
    """Return a path that the user gave; raises UsageError."""
    try:
        return Path(argument).expanduser()
    except RuntimeError:
        raise UsageError(f"{argument!r} begins with a user nobody here has") from None


def _bytes(size: str) -> int:
    match = _SIZE.match(size)
    if match is None:
        raise UsageError(f"{size!r} is not a size", "write bytes, or 500M, 20G, 2T")
    return int(match[1]) << 10 * " KMGTP".index(match[2].upper() or " ")
