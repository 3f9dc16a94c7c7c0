"""generic: whatever no other layout recognises."""

from __future__ import annotations

from pathlib import Path

from palatine.layouts.base import Layout


class Generic(Layout):
    """Any directory, any file. Nothing is known of it, so nothing is looked for."""

    name = "generic"

    def recognise(self, path: Path) -> bool:
        """Everything is."""
        return True
