"""pal diff: what changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import UnknownRevision, UsageError

if TYPE_CHECKING:
    from palatine.api import Repository
    from palatine.ops.diff import Change
    from palatine.store.snapshots import Stored

EXAMPLES = (
    "pal diff alpha",
    "pal diff 'alpha@{2d}' alpha",
    "pal diff alpha ~/.local/share/trusty-memory/palaces/alpha",
)
EXIT_CODES = {4: "what was asked for is damaged", 10: ""}
_STYLES = {"added": "green", "removed": "red", "changed": "yellow", "renamed": "cyan"}


def diff(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="REV", help="See: pal help revisions")],
    new: Annotated[
        str | None,
        typer.Argument(
            metavar="REV|DIRECTORY", help="Another snapshot, or a directory as it is now."
        ),
    ] = None,
    metadata: Annotated[
        bool,
        typer.Option("--metadata", help="Also what differs only in mode, owner, time, attributes."),
    ] = False,
) -> None:
    """Show what changed since a snapshot.

    From one snapshot to another one, or to a directory as it is now. With one REV: what that
    snapshot changed, compared with its first parent (or with nothing, if it has none).

    What starts with /, ./, ../ or ~/ is a path; another spelling is one only if no revision has
    that name.
    """
    run = invocation(context)
    with run.open() as repository:
        if _is_path(old):
            raise UsageError(f"{old!r} is a path", "the first one is a revision: pal diff REV PATH")
        before = repository.resolve(old)
        ends: shapes.Shape
        if new is None:
            changes, ends = _against_parent(run, repository, before)
        elif (place := _directory(run, repository, new)) is not None:
            changes = repository.diff_directory(old, place)
            ends = {"old": shapes.reference(before), "new": {"directory": shapes.name(str(place))}}
        else:
            changes = repository.diff(old, new)
            after = repository.resolve(new)
            ends = {"old": shapes.reference(before), "new": shapes.reference(after)}
        if run.output.json:
            chosen = (one for one in changes if metadata or one.kind.value != "metadata")
            head = {**ends, "summary": _summary(changes)}
            run.output.stream("changes", (shapes.change(one) for one in chosen), head)
        else:
            _print(run, changes, metadata)


def _is_path(argument: str) -> bool:
    return argument.startswith(("/", "./", "../", "~/")) or argument in (".", "..", "~")


def _directory(run: Invocation, repository: Repository, argument: str) -> Path | None:
    """Return the path that an argument means, or None for a revision; say so where unclear."""
    place = Path(argument).expanduser()
    if _is_path(argument):
        if not place.exists():
            raise UsageError(f"there is nothing at {argument}", "check the path")
        return place
    if not place.exists():
        return None
    shown = text.name(argument)
    if repository.is_revision(argument):
        run.output.notice(f"{shown} is taken as a revision; ./{shown} would be the path")
        return None
    run.output.notice(f"{shown} is taken as a path: no revision is called that")
    return place


def _against_parent(
    run: Invocation, repository: Repository, stored: Stored
) -> tuple[list[Change], shapes.Shape]:
    """Return what a snapshot changed, and both ends of the comparison."""
    from palatine.ops.diff import Change, ChangeKind

    this = stored.id.hex()
    parent = None
    if stored.snapshot.parents:
        try:
            parent = repository.resolve(this + "~")
        except UnknownRevision:
            run.output.notice("all that was before it was forgotten: it is compared with nothing")
    if parent is not None:
        if parent.id != stored.snapshot.parents[0]:
            short = parent.id.hex()[:16]
            run.output.notice(f"its parent was forgotten: it is compared with {short}")
        ends = {"old": shapes.reference(parent), "new": shapes.reference(stored)}
        return repository.diff(this + "~", this), ends
    everything = [
        Change(ChangeKind.ADDED, one.path, one.entry.kind, None, one.entry.size)
        for one in repository.ls(this, recursive=True)
    ]
    return everything, {"old": None, "new": shapes.reference(stored)}


def _print(run: Invocation, changes: Sequence[Change], metadata: bool) -> None:
    for one in run.output.while_open(changes):
        kind = one.kind.value
        if kind == "metadata" and not metadata:
            continue
        path = text.name(one.path) + ("/" if one.entry_kind.name == "DIRECTORY" else "")
        if one.old_path is not None:
            path = f"{text.name(one.old_path)} → {path}"
        word = run.output.colour(f"{kind:<8}", _STYLES.get(kind, "dim"))
        run.output.line(f"{word}  {_sizes(one):>23}  {path}")
    run.output.line(_sentence(_summary(changes), metadata))


def _sizes(one: Change) -> str:
    if one.entry_kind.name != "FILE" or one.kind.value == "metadata":
        return ""
    if one.old_size is None or one.new_size is None:
        return text.signed_size((one.new_size or 0) - (one.old_size or 0))
    if one.old_size == one.new_size:
        return text.size(one.new_size)
    return f"{text.size(one.old_size)} → {text.size(one.new_size)}"


def _summary(changes: Sequence[Change]) -> shapes.Shape:
    kinds = [one.kind.value for one in changes]
    counts: shapes.Shape = {
        kind: kinds.count(kind) for kind in ("added", "removed", "changed", "renamed", "metadata")
    }
    counts["old_bytes"] = sum(one.old_size or 0 for one in changes)
    counts["new_bytes"] = sum(one.new_size or 0 for one in changes)
    return counts


def _sentence(summary: shapes.Shape, metadata: bool) -> str:
    kinds = ("added", "removed", "changed", "renamed")
    told = [f"{summary[kind]:,} {kind}" for kind in kinds if summary[kind]]
    if summary["metadata"]:
        told.append(
            f"{summary['metadata']:,} with other metadata only"
            + ("" if metadata else " (--metadata lists them)")
        )
    if not told:
        return "nothing changed"
    return f"{', '.join(told)}; {text.signed_size(summary['new_bytes'] - summary['old_bytes'])}"
