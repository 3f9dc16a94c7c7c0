"""Secrets in names: of files and directories, in the targets of symlinks, in extended attributes.

A name gets its placeholder like any text, and a number where that name is taken.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from palatine.fsio import rename
from palatine.redact.blobs import Hidden, scrub_bytes
from palatine.redact.jsontext import numbered
from palatine.redact.scrub import Scrubber, Tally

_NAME_MAX = 255


def scrub_path(scrubber: Scrubber, path: bytes, tally: Tally | None = None) -> bytes:
    """Return a path with each of its names scrubbed."""
    found = Counter[str]() if tally is None else tally
    parts = (os.fsdecode(one) for one in path.split(b"/"))
    return b"/".join(os.fsencode(scrubber.scrub(one, found, structured=False)) for one in parts)


def rename_entry(scrubber: Scrubber, directory: bytes, name: bytes, tally: Tally) -> bytes | None:
    """Return what an entry has to be called instead, a name that is free; None if it may stay."""
    new = os.fsdecode(scrub_path(scrubber, name, tally))
    if new == os.fsdecode(name):
        return None
    taken = {one for one in os.listdir(os.fsdecode(directory)) if one != os.fsdecode(name)}
    while len(os.fsencode(new)) > _NAME_MAX:
        new = new[: -len(new) // 8]
    return os.fsencode(numbered(new, taken))


def move(directory: bytes, old: bytes, new: bytes) -> None:
    """Give an entry its new name."""
    source, target = (os.fsdecode(directory + b"/" + one) for one in (old, new))
    rename(Path(source), Path(target))


def scrub_link(scrubber: Scrubber, path: bytes, tally: Tally, dry_run: bool) -> None:
    """Scrub the target of a symlink."""
    target = os.readlink(path)
    new = scrub_path(scrubber, target, tally)
    if new != target and not dry_run:
        facts = os.lstat(path)
        os.unlink(path)
        os.symlink(new, path)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)


def scrub_attributes(scrubber: Scrubber, path: bytes, tally: Tally, dry_run: bool) -> None:
    """Scrub the extended attributes of something; one whose name is a secret, or that cannot be
    scrubbed, is removed. Raises OSError where it may not be written.
    """
    if not hasattr(os, "listxattr"):
        return
    try:
        attributes = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return  # the file system has none
    for name in attributes:
        value = os.getxattr(path, name, follow_symlinks=False)
        named = scrubber.scrub(name, tally, structured=False) != name
        new: bytes | None
        try:
            new = None if named else scrub_bytes(scrubber, value, tally)
        except Hidden:
            new = None
        if dry_run or new == value:
            continue
        if new is None:
            os.removexattr(path, name, follow_symlinks=False)
        else:
            os.setxattr(path, name, new, follow_symlinks=False)
