"""pal help: help on a command, or on how revisions are written."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from palatine.cli.invocation import invocation
from palatine.errors import UsageError

EXAMPLES = ("pal help", "pal help snapshot", "pal help revisions")
EXIT_CODES: dict[int, str] = {}

REVISIONS = """\
A revision (REV) names a snapshot:

  1f0c9a2e         an id, or its first 8 or more digits (also of a forgotten one)
  PALACE           the newest snapshot of a palace; TENANT/PALACE for another tenant's
  PALACE#TAG       the newest of them that bears a tag
  tag:TAG          the newest of all that bears a tag

After each of these may stand, also several times:

  ~N               N snapshots back (first parents, forgotten ones left out); ~ is ~1
  @{TIME}          the newest that is not later than TIME: an age (30min, 3h, 2d, 1w) or local
                   time (2026-05-01 means the end of that day, 2026-05-01T12:00)

REV:PATH is a file or directory in it, from the palace's root.

Quote # ~ { } for your shell: pal show 'alpha#keep~2', pal ls 'alpha@{2d}:notes'.
"""


def help(
    context: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(metavar="TOPIC", help="A command, or: revisions")
    ] = None,
) -> None:
    """Show help on a command or a topic."""
    run = invocation(context)
    root: Any = context.find_root()
    if topic is None:
        wanted = root.get_help()
    elif topic == "revisions":
        wanted = REVISIONS.rstrip()
    else:
        command = root.command.get_command(root, topic)
        if command is None:
            raise UsageError(f"there is no help on {topic!r}", "pal help lists the commands")
        inner = type(context)(command, info_name=topic, parent=root)
        wanted = command.get_help(inner)
    if run.output.json:
        run.output.result({"text": wanted})
    else:
        run.output.line(wanted)
