"""What a redaction found, changed and left out, in words that hold no secret."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from palatine.redact.scrub import Tally


@dataclass(frozen=True)
class LeftOut:
    """Something that could not be processed and was removed, or emptied in place; and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class History:
    """What became of a git repository's history: `removed`, `clean`, `unclean` or `unread`."""

    path: str
    verdict: str
    matches: int = 0
    detail: str = ""


@dataclass
class Report:
    """What was done. Paths are those in the redacted copy, names of outside parts included."""

    rules: list[str] = field(default_factory=list)
    """The names of all rules that were applied."""
    artifacts: dict[str, Tally] = field(default_factory=dict)
    """Matches of each rule in each artifact that had any."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[LeftOut] = field(default_factory=list)
    """What was made otherwise than it was, beyond the secrets: a full-text index, an id."""
    histories: list[History] = field(default_factory=list)
    unprocessed: list[LeftOut] = field(default_factory=list)
    """What is still there although it could not be processed."""
    files: int = 0
    dry_run: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything that can hold text, and is still there, was processed."""
        kept = any(one.verdict in ("unclean", "unread") for one in self.histories)
        return not self.unprocessed and not kept

    @property
    def matches(self) -> int:
        """How many matches there were in all."""
        return sum(sum(one.values()) for one in self.artifacts.values())

    def add(self, path: str, tally: Tally) -> None:
        """Count what was found in an artifact."""
        if tally:
            self.artifacts.setdefault(path, Counter()).update(tally)

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON values, everything in a stable order."""
        return {
            "complete": self.complete,
            "matches": self.matches,
            "rules": self.rules,
            "artifacts": [
                {"path": path, "rules": dict(sorted(tally.items()))}
                for path, tally in sorted(self.artifacts.items())
            ],
            "left_out": _plain(self.left_out),
            "notes": _plain(self.notes),
            "unprocessed": _plain(self.unprocessed),
            "history": [
                {"path": one.path, "verdict": one.verdict, "matches": one.matches,
                 "detail": one.detail}
                for one in sorted(self.histories, key=lambda one: one.path)
            ],
        }  # fmt: skip


def _plain(found: list[LeftOut]) -> list[dict[str, str]]:
    ordered = sorted(found, key=lambda one: (one.path, one.reason))
    return [{"path": one.path, "reason": one.reason} for one in ordered]
