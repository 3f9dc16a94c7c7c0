"""pal tag: labels on snapshots."""

from __future__ import annotations

from typing import Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation, check_whole, invocation
from palatine.errors import UsageError

EXAMPLES = ("pal tag", "pal tag alpha keep", "pal tag -d alpha~3 keep", "pal show 'alpha#keep'")
EXIT_CODES = {4: "a snapshot file is damaged, so something may be missing here", 10: ""}


def tag(
    context: typer.Context,
    revision: Annotated[
        str | None, typer.Argument(metavar="REV", help="See: pal help revisions")
    ] = None,
    label: Annotated[
        str | None, typer.Argument(metavar="TAG", help="1 to 80 bytes of printable text.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", "-d", help="Take the tag from the snapshot.")
    ] = False,
) -> None:
    """Put a tag on a snapshot, take it away, or list all tags.

    Many snapshots may bear the same tag; PALACE#TAG and tag:TAG name the newest that does.
    """
    run = invocation(context)
    if revision is None:
        if delete:
            raise UsageError("-d needs a revision and a tag", "pal tag -d REV TAG")
        _list(run)
        return
    if label is None:
        raise UsageError("a revision needs a tag to put on it", "pal tag REV TAG; pal tag lists")
    with run.open() as repository:
        change = repository.untag if delete else repository.tag
        stored = change(revision, label)
        if run.output.json:
            run.output.result({"snapshot": shapes.snapshot(stored)})
        short = stored.id.hex()[:16]
        tags = text.sentence(", ".join(stored.tags)) or "none"
        run.output.say(f"{stored.palace} {short}: tags: {tags}")


def _list(run: Invocation) -> None:
    with run.open() as repository:
        tagged = [(label, one) for one in repository.log() for label in one.tags]
        tagged.sort(key=lambda pair: pair[0])
        if run.output.json:
            shape = [{"tag": label, "snapshot": shapes.reference(one)} for label, one in tagged]
            run.output.result({"tags": shape})
        else:
            run.output.table(
                ("TAG", "ID", "TIME", "PALACE"),
                [
                    (
                        text.sentence(label),
                        one.id.hex()[:16],
                        text.local_time(one.snapshot.time_us),
                        one.palace,
                    )
                    for label, one in tagged
                ],
            )
        check_whole(repository)
