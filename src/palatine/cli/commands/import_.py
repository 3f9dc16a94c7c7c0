"""pal import: a bundle into the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import filing, shapes, text
from palatine.cli.failures import Incomplete, Reported
from palatine.cli.invocation import Invocation, invocation
from palatine.cli.taking import opened

if TYPE_CHECKING:
    from palatine.ops.intake import Imported

EXAMPLES = (
    "pal import alpha.tar.zst",
    "pal import ~/bundles --palace team/alpha --tag from-laptop",
    "pal import alpha.tar.zst.age --identity ~/.config/age/key.txt",
    "pal import ~/.nexo-rs/snapshots/2f1c.tar.zst --format nexo",
)
EXIT_CODES = {
    3: "done, but a database in another tool's archive cannot be read: it is named, and not kept",
    4: "FILE is damaged, or not what it should be; nothing of it is visible",
    5: "refused: FILE goes beyond a limit; the message says which, and how to raise it",
    10: "",
}


def import_(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A bundle; of a directory the newest one.",
            show_default=False,
        ),
    ],
    palace: Annotated[
        str | None,
        typer.Option("--palace", metavar="NAME", help="Take it as a snapshot of this palace."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Tag it; repeatable.")
    ] = None,
    identity: filing.Identity = None,
    passphrase_file: filing.PassphraseFile = None,
    format: filing.Format = None,
    skip_verify: filing.SkipVerify = False,
    max_size: filing.MaxSize = None,
    max_ratio: filing.MaxRatio = None,
    allow_case_folding: filing.CaseFolding = False,
) -> None:
    """Take a bundle into the repository, as what it was exported from.

    Every byte is checked before the snapshot can be seen. What the repository has is not stored
    again. Archives of nexo, trusty-memory, ai-memory and oxios are
    taken, too; pal export writes them.
    """
    from palatine.ops.intake import Request

    run = invocation(context)
    request = Request(
        filing.path(file), palace, tuple(tag or ()), filing.keys(identity, passphrase_file),
        filing.limits(max_size, max_ratio, allow_case_folding), format, skip_verify,
    )  # fmt: skip
    with opened(run, ()) as (repository, _):
        done = repository.import_bundle(request)
    if run.output.json:
        run.output.result(shape(done))
    else:
        tell(run, done)
    if not done.complete:
        raise Reported(Incomplete("not all of the archive could be kept", "what was not is named"))


def tell(run: Invocation, done: Imported) -> None:
    """Tell people what came of an import."""
    out, one = run.output, done.stored.snapshot
    what = f"{done.stored.palace} {done.stored.id.hex()[:16]} of {text.local_time(one.time_us)}"
    source = text.name(str(done.file))
    if not done.fresh:
        read = "read" if done.unverified else "verified"
        out.say(f"{what} is there already: {source} was {read}, and nothing was added")
    else:
        out.say(
            f"imported {what} from {source}: {text.count(one.stats.files, 'file')},"
            f" {text.size(one.stats.size)}; {text.size(done.added)} added"
        )
    if done.was and not done.same:
        out.notice(f"it was exported as {done.was[:16]}, and is another here: {done.why}")
    if done.redacted:
        out.notice("secrets were taken out of it before it was exported")
    for note in (*done.notes, *done.unverified):
        out.notice(text.sentence(note))


def shape(done: Imported) -> shapes.Shape:
    """Return the result for programs."""
    return {
        "snapshot": shapes.reference(done.stored),
        "file": shapes.name(str(done.file)),
        "format": done.format,
        "fresh": done.fresh,
        "exported_as": done.was or None,
        "same": done.same,
        "added_bytes": done.added,
        "complete": done.complete,
        "redacted": done.redacted,
        "notes": [text.sentence(one) for one in done.notes],
        "unverified": [text.sentence(one) for one in done.unverified],
    }
