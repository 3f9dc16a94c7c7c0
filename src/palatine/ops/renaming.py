"""restore --as: a copy with a name and a place of its own; and what still names another place."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from palatine.errors import UsageError
from palatine.events import Reporter
from palatine.layouts import registry
from palatine.layouts.base import JSON_MAX
from palatine.layouts.image import SnapshotImage
from palatine.model.names import check_palace
from palatine.model.snapshot import Snapshot
from palatine.ops.history import derived_name
from palatine.ops.restoring import Restored
from palatine.restore.identity import Identities, elsewhere, names_in
from palatine.store.trees import Source


def identities(source: Source, snapshot: Snapshot, name: str, target: Path) -> Identities:
    """Return what a copy of a snapshot at `target` is to say of itself; raises UsageError."""
    check_palace(name)
    layout = registry.of_name(snapshot.layout)
    if rule := layout.against_name(name):
        raise UsageError(f"{name!r} is not a name of the layout {layout.name}", f"use {rule}")
    place = os.fspath(target if ".." not in target.parts else target.resolve())
    try:
        place.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{place!r} is not UTF-8: no palace can name it as its place", "choose another target"
        ) from None
    held = layout.identity()
    own = names_in(held, SnapshotImage(source, snapshot).read)
    place_name = os.fsdecode(snapshot.path.rpartition(b"/")[2])
    old = dict.fromkeys([*own, snapshot.palace, place_name])
    return Identities(held, name, place, list(old))


def called_otherwise(name: str, target: Path, reporter: Reporter) -> list[str]:
    """Return a sentence when a snapshot of `target` would not be called `name`, else nothing."""
    layout = registry.match(target, reporter)
    with contextlib.suppress(UsageError):
        if derived_name(target, layout.palace_name(target)) == name:
            return []
    return [
        f"nothing in {target} says that it is called {name}, and neither does its own name:"
        f" snapshot it with --palace {name}"
    ]


def led_astray(done: Restored) -> list[str]:
    """Return sentences on absolute paths in a restored palace that lead to another place."""
    snapshot, target = done.stored.snapshot, done.target
    places = {part.name: part.target for part in done.outside}

    def read(path: bytes) -> bytes | None:
        part, inner = snapshot.split(path)
        place = places.get(part.name) if part else target
        if place is None or (path.startswith(b"@") and part is None):
            return None
        directory = place if place.is_dir() else place.parent  # a part that is a file
        return _small_file(directory / os.fsdecode(inner))

    held = registry.of_name(snapshot.layout).identity()
    return [
        f"{os.fsdecode(one.path)} says that its {one.key} is {one.place}: its system may open that"
        f" and not {target}; restored to a new target with --as NAME it says where it is"
        for one in elsewhere(held, read, target)
    ]


def _small_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(JSON_MAX + 1)
    except OSError:
        return None
    return data if len(data) <= JSON_MAX else None
