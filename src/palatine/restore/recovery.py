"""What an earlier restore of a target left that was killed: finished, or taken away.

Whoever restores calls `recover` first, with the palace's lock held.
"""

from __future__ import annotations

from pathlib import Path

from palatine.events import Reporter
from palatine.restore import intent
from palatine.restore.staging import remove_stale


def recover(target: Path, reporter: Reporter) -> intent.Note | None:
    """Finish what a note of intent beside a target says, and remove stale staging.

    Returns the note that was finished; one of a merge is returned and left in its place: merging
    again finishes it. Raises Unreadable when it cannot be finished, Refused when the palace is in
    use and must not be.
    """
    note = intent.read(target)
    if note is not None:
        if note.mode == "merge":
            return note
        if note.mode == "live":
            from palatine.restore.live import finish
        else:
            from palatine.restore.replace import finish
        finish(note, reporter)
        intent.remove(target)
    remove_stale(target, reporter)
    return note
