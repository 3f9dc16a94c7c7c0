"""pal restore: put a snapshot back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation, invocation

if TYPE_CHECKING:
    from palatine.ops.restore import Restored
    from palatine.store.snapshots import Stored

EXAMPLES = (
    "pal restore alpha ./alpha-as-it-was",
    "pal restore 'alpha@{1d}' ./before --path notes --path palace.json",
    "pal restore alpha~2 ./before --dry-run",
)
EXIT_CODES = {4: "what was asked for is damaged", 5: "refused: TARGET is there already", 10: ""}


def restore(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REV", help="See: pal help revisions")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A directory that is not there yet, or empty.")
    ],
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="P", help="Only this path of the palace; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Put a snapshot into a new or empty directory.

    It is built beside TARGET, verified, and then renamed: nothing half-written is left, whatever
    happens. Parts that lived outside of the palace go to TARGET.outside.
    """
    run = invocation(context)
    with run.open() as repository:
        stored = repository.resolve(revision)
        done = repository.restore(stored.id.hex(), target, paths=tuple(path or ()), dry_run=dry_run)
        if run.output.json:
            run.output.result(_shape(stored, done, dry_run))
            return
        for action in run.output.while_open(done.actions):
            slash = "/" if action.kind.name == "DIRECTORY" else ""
            size = text.size(action.size) if action.kind.name == "FILE" else ""
            run.output.line(f"{size:>10}  {text.name(action.path)}{slash}")
        _tell(run, stored, done, dry_run)


def _tell(run: Invocation, stored: Stored, done: Restored, dry_run: bool) -> None:
    run.output.say(
        f"{'would restore' if dry_run else 'restored'} {stored.palace} {stored.id.hex()[:16]} "
        f"of {text.local_time(stored.snapshot.time_us)} to {text.name(str(done.target))}: "
        f"{text.count(done.files, 'file')}, {text.size(done.size)}"
    )
    for part in done.outside:
        run.output.say(
            f"@{text.sentence(part.name)}, which was {text.name(part.place)}, "
            f"{'would go' if dry_run else 'went'} to {text.name(str(part.target))}"
        )
    if stored.snapshot.outside and not done.outside:
        run.output.notice("parts of it from outside of the palace (pal show) were not restored")
    if not stored.snapshot.complete:
        gaps = text.count(len(stored.snapshot.missing), "path")
        run.output.notice(
            f"the snapshot itself is incomplete: it lacks {gaps} (pal show names them)"
        )


def _shape(stored: Stored, done: Restored, dry_run: bool) -> shapes.Shape:
    shape: shapes.Shape = {
        "snapshot": shapes.reference(stored),
        "target": shapes.name(str(done.target)),
        "dry_run": dry_run,
        "files": done.files,
        "directories": done.directories,
        "symlinks": done.symlinks,
        "bytes": done.size,
    }
    if done.outside:
        shape["outside"] = [
            {
                "name": part.name,
                "place": shapes.name(part.place),
                "target": shapes.name(str(part.target)),
            }
            for part in done.outside
        ]
    if dry_run:
        shape["actions"] = [
            {"path": shapes.name(one.path), "kind": one.kind.name.lower(), "bytes": one.size}
            for one in done.actions
        ]
    return shape
