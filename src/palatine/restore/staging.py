"""Private directories beside a target, in which what it becomes is built.

After an exchange such a directory holds the palace that was there. It is removed, unless somebody
has written to it after it was last looked at: killed between exchange and look, a restore leaves
that to the next one. What the palace added up to is noted beside it for that, before the exchange.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from palatine import fsio
from palatine.events import Reporter
from palatine.restore.survey import survey

_MARK = ".pal-restore-"
_NOTE = ".note"
OLD = "-old"
"""What is appended to a staging's name for what was there, where directories are not exchanged."""


@contextlib.contextmanager
def staging_beside(
    target: Path, reporter: Reporter, keep: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """Make a private directory beside `target`; what is left of it at the end is removed.

    Unless `keep` says then that somebody needs it still.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(target, reporter)
    staging = target.parent / f".{target.name}{_MARK}{secrets.token_hex(8)}"
    try:
        staging.mkdir(mode=0o700)
        with fsio.opened(staging, os.O_RDONLY | os.O_DIRECTORY) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield staging
    finally:
        if not keep():
            _discard(target, staging, reporter)


def remove_stale(target: Path, reporter: Reporter) -> None:
    """Remove what restores to the same target left behind that were killed: nobody locks it."""
    for left in target.parent.glob(f".{glob_escape(target.name)}{_MARK}*"):
        with contextlib.suppress(OSError), fsio.opened(left, os.O_RDONLY | os.O_DIRECTORY) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _discard(target, left, reporter)


def note_old(target: Path, staging: Path, total: int) -> None:
    """Note that the directory at `target`, which adds up to `total`, is going to be in `staging`.

    From then on it is removed only as long as it adds up to that. Raises OSError.
    """
    fsio.write_new(_note(staging), f"{_identity(target)} {total}\n".encode())


def forget_old(staging: Path) -> None:
    """Take the note back: what is in `staging` may go."""
    fsio.remove(_note(staging))


def aside(target: Path, why: str) -> Path:
    """Return a free name beside a target for what must not be removed."""
    return target.with_name(f"{target.name}.{why}-{secrets.token_hex(4)}")


def glob_escape(name: str) -> str:
    """Return a name in which no character means more than itself to glob."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)


def _discard(target: Path, staging: Path, reporter: Reporter) -> None:
    try:
        identity, _, total = _note(staging).read_text().strip().rpartition(" ")
    except (FileNotFoundError, NotADirectoryError):
        fsio.remove_tree(staging)
        return
    if staging.exists() and identity == _identity(staging) and total != str(survey(staging)):
        kept = aside(target, "changed")
        fsio.rename_directory(staging, kept)
        reporter.notice(f"{target} was written to while it was replaced: what it held is {kept}")
        forget_old(staging)
        return
    forget_old(staging)  # first: half removed it would be taken for written to
    fsio.remove_tree(staging)


def _note(staging: Path) -> Path:
    return staging.with_name(staging.name.removesuffix(OLD) + _NOTE)


def _identity(directory: Path) -> str:
    status = directory.stat()
    return f"{status.st_dev}:{status.st_ino}"
