"""Options that several commands have, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="A palace: a directory or a database; else all that are configured.",
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="PATH is a data root: take every palace below it.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Have SQLite check the databases that were captured.")
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configured palaces; else $PALATINE_CONFIG, else the file in your configuration.",
    ),
]
