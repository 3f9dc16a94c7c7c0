"""What work tells whoever watches it: progress and notices.

The engine never prints. It calls the methods of a `Reporter`, which do nothing by default; the
command line passes one that draws.
"""

from __future__ import annotations


class Reporter:
    """Base reporter: ignores everything. Methods may be called from any thread."""

    def begin(self, stage: str, total: int | None = None) -> None:
        """Start a stage of work, `total` bytes long where that is known."""

    def advance(self, amount: int, item: str = "") -> None:
        """Say that `amount` more bytes of the stage are done, and on what."""

    def end(self) -> None:
        """End the stage."""

    def notice(self, message: str) -> None:
        """Tell something a person should know although the work goes on."""

    def detail(self, message: str) -> None:
        """Tell something that only who asked for more wants to know."""


SILENT = Reporter()
"""For callers that watch nothing."""
