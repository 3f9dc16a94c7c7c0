"""A page of results that several programs, and people, write: each its own sections."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_HEADING = re.compile(r"^## ", re.MULTILINE)


def sections(page: str) -> list[tuple[str, str]]:
    """Return what stands before the first heading (its title is empty), and each section."""
    first, *rest = _HEADING.split(page)
    found = [("", first)]
    for text in rest:
        title, _, body = text.partition("\n")
        found.append((title, f"## {title}\n{body.rstrip()}\n"))
    return found


def write(path: Path, text: str, own: Collection[str]) -> None:
    """Write sections over those titled `own` that a page has, where the first of them stood.

    Sections of other titles stay. What precedes the first heading is replaced if `own` has an empty
    title.
    """
    there = sections(path.read_text()) if path.exists() else []
    at = next((n for n, (title, _) in enumerate(there) if title in own), len(there))
    before = [body for title, body in there[:at]]
    after = [body for title, body in there[at:] if title not in own]
    parts = [part.strip("\n") for part in (*before, text, *after)]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
