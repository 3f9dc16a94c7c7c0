"""restore: what can be asked for, and what is told of it; `ops/restore.py` is the verb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from palatine.errors import UsageError
from palatine.model.tree import EntryKind
from palatine.ops.palacelock import LOCK_TIMEOUT
from palatine.restore.identity import Renamed
from palatine.store.snapshots import Stored

if TYPE_CHECKING:
    from palatine.restore.merge.report import Report


class Mode(Enum):
    """How a snapshot is put back."""

    NEW = "new"
    """The target is not there, or empty."""
    REPLACE = "replace"
    """The target is exchanged for what is wanted, whole."""
    LIVE = "live"
    """The target changes under a service that keeps running."""
    MERGE = "merge"
    """What the target lacks is added; conflicts are told."""
    UNDO = "undo"
    """The target gets the newest `pre-restore` snapshot of it."""


Prefer = Literal["theirs", "ours"]
"""Who wins where a merge finds a conflict: the snapshot (theirs) or what is there (ours)."""


@dataclass(frozen=True)
class Request:
    """What to restore, where to and how.

    `paths` (from the palace's root, `@NAME/…` in outside parts) and `kinds` of artifacts choose
    some of it. `delete` (live): also remove what the snapshot lacks. `as_name` (new): a new name
    for the copy. `outside`: outside parts go to their recorded places, not beside the target.
    `lock_timeout` is how many seconds the palace's lock is waited for.
    """

    target: Path
    mode: Mode = Mode.NEW
    paths: Sequence[bytes] = ()
    kinds: Sequence[str] = ()
    dry_run: bool = False
    delete: bool = False
    prefer: Prefer | None = None
    as_name: str | None = None
    outside: bool = False
    lock_timeout: float = LOCK_TIMEOUT

    @property
    def partial(self) -> bool:
        """Whether only some of the snapshot is wanted."""
        return bool(self.paths or self.kinds)


@dataclass(frozen=True)
class Action:
    """What restoring does for one path: its kind, its size in bytes, the deed (a word)."""

    path: bytes
    kind: EntryKind
    size: int
    deed: str = "add"


@dataclass(frozen=True)
class RestoredPart:
    """An outside part: its name, where it was, and the directory (or file) it is in now."""

    name: str
    place: bytes
    target: Path


@dataclass(frozen=True)
class PreRestore:
    """The snapshot of what was there: itself, whether it is new, and the seconds it took."""

    stored: Stored
    fresh: bool
    seconds: float


@dataclass(frozen=True)
class Restored:
    """What was restored, or would be (`actions`, only of a dry run); `size` in bytes written.

    `stored` is the snapshot that was put back, `before` the one of what was there before it.
    `removed` counts paths that went, `changed` those of which only metadata changed. `renamed` is
    what a copy with a new name has of its own. `finished`
    says in words what of an earlier, killed restore was found and done first. Of a merge: what it
    did, and the snapshot of what has come of it.
    """

    stored: Stored
    target: Path
    mode: Mode
    files: int
    directories: int
    symlinks: int
    size: int
    actions: tuple[Action, ...] = ()
    outside: tuple[RestoredPart, ...] = ()
    before: PreRestore | None = None
    removed: int = 0
    changed: int = 0
    renamed: tuple[Renamed, ...] = ()
    finished: str = ""
    merged: Report | None = None
    after: Stored | None = None
    notices: tuple[str, ...] = field(default=())


_ALLOWED: dict[Mode, set[str]] = {
    Mode.NEW: {"paths", "kinds", "dry_run", "as_name", "outside"},
    Mode.REPLACE: {"paths", "kinds", "dry_run", "outside"},
    Mode.LIVE: {"paths", "kinds", "dry_run", "outside", "delete"},
    Mode.MERGE: {"paths", "kinds", "dry_run", "outside", "prefer"},
    Mode.UNDO: {"outside"},
}
"""What each mode can be asked for besides."""

_FLAGS = {
    "paths": "--path", "kinds": "--kind", "dry_run": "--dry-run", "delete": "--delete",
    "prefer": "--prefer", "as_name": "--as", "outside": "--outside",
}  # fmt: skip


def check_mixture(request: Request) -> None:
    """Raise UsageError for what does not go together."""
    for name, flag in _FLAGS.items():
        if getattr(request, name) and name not in _ALLOWED[request.mode]:
            modes = [mode for mode in Mode if name in _ALLOWED[mode]]
            raise UsageError(
                f"{flag} does not go with {_spoken(request.mode)}",
                f"{flag} goes with {' and '.join(_spoken(mode) for mode in modes)}",
            )


def one_mode(replace: bool, live: bool, merge: bool, undo: bool) -> Mode:
    """Return the mode that flags name; raises UsageError for more than one."""
    named = zip((Mode.REPLACE, Mode.LIVE, Mode.MERGE, Mode.UNDO), (replace, live, merge, undo),
                strict=True)  # fmt: skip
    modes = [mode for mode, flag in named if flag]
    if len(modes) > 1:
        raise UsageError(
            f"{_spoken(modes[0])} and {_spoken(modes[1])} exclude each other", "choose one"
        )
    return modes[0] if modes else Mode.NEW


def _spoken(mode: Mode) -> str:
    return "a new target" if mode == Mode.NEW else f"--{mode.value}"
