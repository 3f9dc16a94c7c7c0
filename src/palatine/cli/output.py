"""What goes out: data to stdout, everything for people to stderr, JSON where it was asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, TypeVar

from palatine.cli import shapes, text
from palatine.cli.failures import Failure, OutputFailed

_COLOURS = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}

Item = TypeVar("Item")


class Mode(Enum):
    """For whom the output is."""

    PEOPLE = "people"
    JSON = "json"
    LINES = "lines"
    """JSON too, with progress events before the result."""


class Output:
    """The two streams of one run of a command."""

    def __init__(self, mode: Mode, quiet: bool, verbose: bool, plain: bool) -> None:
        """`plain` forbids colours; they are used only on a terminal anyway."""
        self.mode = mode
        self.quiet = quiet
        self.verbose = verbose
        self.command = ""
        self.closed = False
        """Whether the reader of stdout has gone away."""
        self._notices: list[str] = []
        self.plain = plain
        self._stdout = _prepared(sys.stdout)
        self._stderr = _prepared(sys.stderr)
        self.is_terminal = self._stderr.isatty()
        self.above: Callable[[str], None] | None = None
        """Set while a progress bar is drawn: writes a line above it."""

    @property
    def json(self) -> bool:
        """Whether the output is for a program."""
        return self.mode is not Mode.PEOPLE

    def colour(self, value: str, *styles: str) -> str:
        """Return a text for stdout in colour, where that is wanted."""
        if self.plain or self.json or not value or not self._stdout.isatty():
            return value
        codes = ";".join(_COLOURS[style] for style in styles)
        return f"\x1b[{codes}m{value}\x1b[0m"

    def line(self, value: str = "") -> None:
        """Write a line of data for people; names in it are escaped by the caller."""
        self._write(value + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
        """Write columns with a head; those named in `right` are aligned so, empty ones left out."""
        kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
        widths = [max(text.width(row[at]) for row in [head, *rows]) for at in kept]
        styles = {"ID": "yellow", "TAGS": "cyan", "TAG": "cyan"}
        for row in [head, *rows] if rows else []:
            cells = []
            for at, columns in zip(kept, widths, strict=True):
                columns = 0 if at == kept[-1] and head[at] not in right.split() else columns
                cell = text.pad(row[at], columns, head[at] in right.split())
                style = "dim" if row is head else styles.get(head[at])
                cells.append(self.colour(cell, style) if style else cell)
            self.line("  ".join(cells).rstrip())

    def say(self, value: str) -> None:
        """Tell people what was done."""
        if not self.quiet and not self.json:
            self._tell(value)

    def explain(self, value: str) -> None:
        """Tell people what only --verbose asks for."""
        if self.verbose:
            self.say(value)

    def notice(self, value: str) -> None:
        """Tell what somebody should know although the work goes on."""
        value = text.sentence(value)
        if value in self._notices:
            return
        self._notices.append(value)
        if self.mode is Mode.LINES:
            self.event({"event": "notice", "message": value})
        elif not self.json:
            self._tell(f"pal: note: {value}")

    def forget_notices(self) -> None:
        """Begin anew: what was told before may be told again."""
        self._notices = []

    def aside(self, value: str) -> None:
        """Tell people what belongs to a notice."""
        if not self.json:
            self._tell(value)

    def event(self, shape: shapes.Shape) -> None:
        """Write a progress event (only with --json-lines)."""
        self._write_json({**shapes.envelope(self.command), **shape})

    def result(self, value: Any) -> None:
        """Write the command's result for programs."""
        self._write_json({**shapes.envelope(self.command), "result": value, **self._notes()})

    def stream(self, key: str, items: Iterable[Any], head: shapes.Shape) -> None:
        """Write a result whose list `key` is too long to hold: `head`, then item by item."""
        pieces = ((", " if at else "") + json.dumps(item) for at, item in enumerate(items))
        self._stream({**head, key: []}, pieces)

    def stream_text(self, key: str, pieces: Iterable[str], head: shapes.Shape) -> None:
        """Write a result whose base64, `{key: {"bytes": …}}`, is too long to hold."""
        self._stream({**head, key: {"bytes": ""}}, pieces)

    def _stream(self, result: shapes.Shape, pieces: Iterable[str]) -> None:
        """Write a result with pieces put into the empty list or text that it ends with."""
        whole = json.dumps({**shapes.envelope(self.command), "result": result})
        inside = max(whole.rfind("[]"), whole.rfind('""')) + 1
        self._write(whole[:inside])
        for piece in self.while_open(pieces):
            self._write(piece)
        notes = json.dumps(self._notes())[1:]
        self._write(whole[inside:-1] + (f", {notes}" if notes != "}" else notes) + "\n")

    def raw(self, chunks: Iterable[bytes | bytearray]) -> None:
        """Write bytes as they are."""
        self.flush()
        for chunk in self.while_open(chunks):
            with self._guarded():
                self._stdout.buffer.write(chunk)

    def while_open(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items until nobody reads the output any more."""
        for item in items:
            if self.closed:
                return
            yield item

    def fail(self, failure: Failure, told: bool) -> None:
        """Tell about a failure: one line, or one JSON object; `told` when people know already."""
        if self.json:
            shape = shapes.error(failure.code, failure.message, failure.hint)
            self._tell(json.dumps({**shape, **self._notes()}))
        elif not told:
            hint = f" ({failure.hint})" if failure.hint else ""
            self._tell("pal: " + text.sentence(failure.message + hint))

    def flush(self) -> None:
        """Send off what is buffered."""
        if not self.closed:
            with self._guarded():
                self._stdout.flush()

    def _notes(self) -> shapes.Shape:
        return {"notices": self._notices} if self._notices else {}

    def _write_json(self, shape: Any) -> None:
        # ASCII only: no control character of a name reaches a terminal, no encoding matters
        self._write(json.dumps(shape) + "\n")
        if self.mode is Mode.LINES:
            self.flush()

    def _write(self, value: str) -> None:
        if not self.closed:
            with self._guarded():
                self._stdout.write(value)

    def _tell(self, value: str) -> None:
        if self.above is not None:
            self.above(value)
            return
        with suppress(OSError, ValueError):
            self._stderr.write(value + "\n")
            self._stderr.flush()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """End the output without noise when its reader goes away; else raise OutputFailed."""
        try:
            yield
        except BrokenPipeError:
            self._close()
        except OSError as error:
            self._close()
            raise OutputFailed(f"the output cannot be written: {error.strerror}") from error

    def _close(self) -> None:
        # Python flushes once more at its end, and would complain then
        self.closed = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stdout.fileno())
        os.close(null)


def fill_closed_streams() -> None:
    """Put a stream that swallows everything where stdout or stderr is closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays


def _prepared(stream: TextIO) -> TextIO:
    """Return a standard stream that can write every character."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream
