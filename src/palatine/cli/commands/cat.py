"""pal cat: a file as it was."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from palatine.cli import shapes
from palatine.cli.invocation import invocation

EXAMPLES = ("pal cat alpha:palace.json", "pal cat 'alpha@{1w}:notes/today.md' > today.md")
EXIT_CODES = {4: "what was asked for is damaged", 10: ""}


def cat(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REV:PATH", help="A file in a snapshot.")],
) -> None:
    """Write a file of a snapshot to stdout, byte for byte."""
    run = invocation(context)
    with run.open() as repository:
        stored, path = repository.resolve_path(revision)
        content = repository.cat(revision)
        if not run.output.json:
            run.output.raw(content)
            return
        head = {"snapshot": shapes.reference(stored), "path": shapes.name(path)}
        run.output.stream_text("content", _base64(content), head)


def _base64(chunks: Iterable[bytes | bytearray]) -> Iterator[str]:
    """Yield base64 piece by piece: three bytes make four letters, the rest waits."""
    left = b""
    for chunk in chunks:
        data = left + chunk
        whole = len(data) - len(data) % 3
        left = bytes(data[whole:])
        yield base64.b64encode(data[:whole]).decode()
    yield base64.b64encode(left).decode()
