"""What tests of the tools' formats share: palaces, what is said of them, archives opened."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from tests.support import Place

from palatine.bundle.formats.base import About, Format, Found, StreamFormat
from palatine.bundle.formats.registry import opener
from palatine.bundle.limits import Limits
from palatine.testing.builders import State, state_of
from palatine.testing.families import FAMILIES, Made

TIME_US = 1_778_288_523_123_456  # 2026-05-09T01:02:03.123456Z
LIMITS = Limits()


def make(family: str, root: Path, seed: int = 1) -> Made:
    """Write a palace of a family."""
    return FAMILIES[family](root, Random(seed))


def about(made: Made, **changed: Any) -> About:
    """Say what a snapshot of a palace would say."""
    values: dict[str, Any] = {
        "palace": made.name, "tenant": "default", "layout": made.layout, "snapshot": "ab" * 32,
        "time_us": TIME_US, "program": "0.1.0", "path": bytes(made.palace),
    }  # fmt: skip
    return About(**values | changed)


def read(
    format_: Format,
    source: Path,
    staging: Path,
    skip_verify: bool = False,
    limits: Limits = LIMITS,
) -> Found:
    """Read an archive into a new directory."""
    staging.mkdir()
    return format_.read(source, staging, opener(limits, None, skip_verify), skip_verify)


def written(format_: StreamFormat, directory: Path, said: About) -> tuple[bytes, tuple[str, ...]]:
    """Return an archive's bytes, and the notes."""
    sink = io.BytesIO()
    notes = format_.write(directory, said, sink)
    return sink.getvalue(), notes


def rows(path: Path) -> dict[str, list[Any]]:
    """Return all rows of all tables of a database, as SQLite reads it where it lies."""
    with closing(sqlite3.connect(path)) as db:
        names = [
            name for (name,) in
            db.execute("SELECT name FROM sqlite_master WHERE type='table' AND rootpage > 0")
        ]  # fmt: skip
        return {
            name: sorted(db.execute(f'SELECT rowid, * FROM "{name}"').fetchall(), key=repr)
            for name in names
            if not name.endswith(("_idx", "_config"))
        }


def kept_and_restored(place: Place, found: Found) -> Path:
    """Snapshot what was found in a repository, and restore that to a new directory."""
    with place.open() as repository:
        done = repository.snapshot(found.path, palace="imported")
        assert done.stored.snapshot.healthy, done.stored.snapshot.missing
    return place.restored("imported")


def content(root: Path) -> dict[bytes, State]:
    """Return what lies in a directory, without what is only said of it."""
    return {
        path: one._replace(mode=0, mtime_ns=0, xattrs=()) for path, one in state_of(root).items()
    }
