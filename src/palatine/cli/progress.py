"""Reporters: a bar on a terminal, events for programs, and nothing for everyone else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from palatine.cli import text
from palatine.cli.output import Mode, Output
from palatine.clock import SYSTEM
from palatine.events import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_SECONDS = 0.4
"""What is over before this is not worth a bar, nor the 0.1 s that importing rich takes."""
_EVERY_SECONDS = 0.1


class Watcher(Reporter):
    """Counts a stage's bytes and tells at most ten times a second; notices go to the output."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._lock = threading.RLock()
        self._stage = ""
        self._total: int | None = None
        self._done = 0
        self._next = 0.0

    def begin(self, stage: str, total: int | None = None) -> None:
        """Start a stage; one that still runs ends."""
        with self._lock:
            if self._stage:
                self.end()
            self._stage, self._total, self._done = stage, total, 0
            self._next = SYSTEM.monotonic() + _PATIENCE_SECONDS
            self.began(stage, total)

    def advance(self, amount: int, item: str = "") -> None:
        """Count; show it when it is time again."""
        with self._lock:
            self._done += amount
            now = SYSTEM.monotonic()
            if self._stage and now >= self._next:
                self._next = now + _EVERY_SECONDS
                self.advanced(self._done, self._total, text.sentence(item))

    def end(self) -> None:
        """End the stage."""
        with self._lock:
            if self._stage:
                self.ended(self._done, self._total)
                self._stage = ""

    def notice(self, message: str) -> None:
        """Pass it on."""
        with self._lock:
            self.output.notice(message)

    def detail(self, message: str) -> None:
        """Pass it on to who asked for it."""
        with self._lock:
            self.output.explain(text.sentence(message))

    def began(self, stage: str, total: int | None) -> None:
        """Show that a stage begins."""

    def advanced(self, done: int, total: int | None, item: str) -> None:
        """Show how far it is."""

    def ended(self, done: int, total: int | None) -> None:
        """Show that it is over."""


class Events(Watcher):
    """Progress as JSON lines."""

    def began(self, stage: str, total: int | None) -> None:
        """Write a `begin` event."""
        self.output.event({"event": "begin", "stage": stage, "total": total})

    def advanced(self, done: int, total: int | None, item: str) -> None:
        """Write a `progress` event."""
        shape = {"event": "progress", "stage": self._stage, "done": done, "total": total}
        self.output.event({**shape, "item": item} if item else shape)

    def ended(self, done: int, total: int | None) -> None:
        """Write an `end` event."""
        self.output.event({"event": "end", "stage": self._stage, "done": done, "total": total})


class Bar(Watcher):
    """A bar on stderr that goes away when its stage is over."""

    _bar: Progress | None = None
    _task: TaskID | None = None

    def advanced(self, done: int, total: int | None, item: str) -> None:
        """Draw, or begin to."""
        if self._bar is None or self._task is None:
            self._bar = self._drawn()
            self._task = self._bar.add_task(text.sentence(self._stage), total=total, bytes="")
            self._bar.start()
            self.output.above = self._above
        whole = f" / {text.size(total)}" if total else ""
        self._bar.update(self._task, completed=done, bytes=text.size(done) + whole)

    def ended(self, done: int, total: int | None) -> None:
        """Remove it."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = self.output.above = None

    def _drawn(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[bytes]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True, no_color=self.output.plain or None),
            transient=True,
        )

    def _above(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def reporter(output: Output) -> Watcher:
    """Return the reporter that fits an output."""
    if output.mode is Mode.LINES:
        return Events(output)
    if output.mode is Mode.PEOPLE and output.is_terminal and not output.quiet:
        return Bar(output)
    return Watcher(output)
