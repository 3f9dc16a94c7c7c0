"""pal ls: what is in a snapshot."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation, invocation

if TYPE_CHECKING:
    from palatine.ops.browse import Listed

EXAMPLES = ("pal ls alpha", "pal ls -l alpha~1:notes", "pal ls -r 'alpha@{2026-05-01}'")
EXIT_CODES = {4: "what was asked for is damaged", 10: ""}
_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def ls(
    context: typer.Context,
    revision: Annotated[
        str, typer.Argument(metavar="REV[:PATH]", help="A snapshot, or a path in one.")
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Everything below, too.")
    ] = False,
    long: Annotated[
        bool, typer.Option("--long", "-l", help="With mode, owner, size and time.")
    ] = False,
) -> None:
    """List a directory of a snapshot.

    Paths begin at the palace's root, as REV:PATH wants them; a directory's end with a slash.
    """
    run = invocation(context)
    with run.open() as repository:
        stored, path = repository.resolve_path(revision)
        listed = repository.ls(revision, recursive=recursive)
        if run.output.json:
            head = {"snapshot": shapes.reference(stored), "path": shapes.name(path)}
            entries = (shapes.entry(one.path, one.entry, one.owner) for one in listed)
            run.output.stream("entries", entries, head)
            return
        for one in run.output.while_open(listed):
            run.output.line(_long(run, one) if long else _name(run, one))


def _name(run: Invocation, one: Listed) -> str:
    from palatine.model.tree import EntryKind

    name = text.name(one.path)
    if one.entry.kind == EntryKind.DIRECTORY:
        return run.output.colour(name + "/", "bold")
    return run.output.colour(name, "cyan") if one.entry.kind == EntryKind.SYMLINK else name


def _long(run: Invocation, one: Listed) -> str:
    entry, owner = one.entry, one.owner
    mode = stat.filemode(_TYPES[entry.kind] | entry.mode)
    who = f"{owner.user or owner.uid}:{owner.group or owner.gid}"
    when = text.local_time(entry.mtime_ns // 1000)
    target = f" -> {text.name(entry.target)}" if entry.target else ""
    size = f"{text.size(entry.size):>10}"
    return f"{mode}  {text.sentence(who):<16}  {size}  {when:<19}  {_name(run, one)}{target}"
