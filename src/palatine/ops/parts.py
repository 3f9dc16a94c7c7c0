"""What a layout adds to a snapshot: its parts that live outside of the palace, and their kinds.

And where these parts go when they are restored.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from palatine.capture.excludes import matching
from palatine.capture.outcomes import Taken
from palatine.capture.palace import Captured
from palatine.capture.pieces import Counts
from palatine.errors import Exists, PathNotFound, Refused, SourceError, UsageError
from palatine.ids import ObjectId
from palatine.layouts.base import Layout, OutsidePart
from palatine.model.names import check_label
from palatine.model.snapshot import Artifact, CapturedAs, Missing, Outside, Snapshot
from palatine.model.tree import Entry, EntryKind
from palatine.restore.fresh import check_target
from palatine.restore.select import Chosen, Selection
from palatine.sqlite.sidecars import SUFFIXES
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Item, Source, children


class Wanted(NamedTuple):
    """An outside part to capture: its name, where it lies, the tree it had in the parent."""

    name: str
    place: Path
    old: ObjectId | None


class Beside(NamedTuple):
    """An outside part as it was captured."""

    part: Outside
    captured: Captured

    @property
    def prefix(self) -> bytes:
        """How paths in it begin."""
        return b"@" + self.part.name.encode() + b"/"


@dataclass
class Gathered:
    """All outside parts of a palace, and those that could not be had."""

    parts: list[Beside] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def databases(self, main: Captured) -> Iterator[tuple[bytes, Taken]]:
        """Yield the databases that were captured, in the palace and outside, with their paths."""
        for prefix, captured in [(b"", main), *((one.prefix, one.captured) for one in self.parts)]:
            for path, taken in captured.databases.items():
                if isinstance(taken, Taken):
                    yield prefix + path, taken

    def longest_pin(self, main: Captured) -> float:
        """Return for how many seconds databases were held still at the longest."""
        return max(main.longest_pin, *(one.captured.longest_pin for one in self.parts), 0.0)


def places(layout: Layout, named: Path, source: Path) -> list[OutsidePart]:
    """Return a palace's outside parts: beside the path that was named, and where it leads."""
    found: dict[str, OutsidePart] = {}
    for path in dict.fromkeys((named.absolute(), source)):
        for part in layout.outside(path):
            if "/" in check_label(part.name, "outside part"):
                raise UsageError(f"the layout {layout.name} has a part named {part.name!r}")
            found.setdefault(part.name, part)
    return list(found.values())


def outside_of(layout: str, path: Path) -> list[OutsidePart]:
    """Return the outside parts of a palace whose layout has this name."""
    from palatine.layouts import registry

    return places(registry.by_name(layout), path, path.resolve())


def present(snapshot: Snapshot, path: Path) -> dict[str, Path]:
    """Return the places that outside parts have now, of what lies at `path`, by their names.

    Where the snapshot's layout finds them; or where they were, if the palace is where it was; or
    in `PATH.outside`, where a restore leaves them.
    """
    from palatine.layouts import registry

    source = path.resolve()
    found = {}
    for part in snapshot.outside:
        beside = Path(f"{source}.outside") / part.name
        recorded = Path(os.fsdecode(part.place))
        if os.fsencode(source) == snapshot.path and os.path.lexists(recorded):
            found[part.name] = recorded
        elif beside.is_dir():
            found[part.name] = beside
    layout = registry.of_name(snapshot.layout)
    return found | {part.name: part.place.resolve() for part in places(layout, path, source)}


def wanted(
    parts: Sequence[OutsidePart], excludes: Sequence[str], parent: Snapshot | None
) -> list[Wanted]:
    """Return the outside parts to capture; patterns may exclude `@NAME`."""
    exclude = matching(excludes)
    old = {(one.name, one.place): one.root.tree for one in parent.outside} if parent else {}
    found = []
    for part in parts:
        name, place = b"@" + part.name.encode(), part.place.resolve()
        if exclude(name, True) or exclude(name + b"/" + os.fsencode(place.name), place.is_dir()):
            continue
        found.append(Wanted(part.name, place, old.get((part.name, os.fsencode(place)))))
    return found


def gather(
    parts: Sequence[Wanted], results: Sequence[Captured | PathNotFound | SourceError]
) -> Gathered:
    """Return the outside parts by what came of each.

    One that vanished or cannot be read is missing in the snapshot.
    """
    gathered = Gathered()
    for part, captured in zip(parts, results, strict=True):
        if isinstance(captured, Captured):
            place = os.fsencode(part.place)
            outside = Outside(part.name, place, captured.owner, captured.root)
            gathered.parts.append(Beside(outside, captured))
        else:
            gathered.missing.append(Missing(b"@" + part.name.encode(), captured.message))
    return gathered


def completed(
    made: Snapshot,
    layout: Layout,
    gathered: Gathered,
    repository: Repository,
    parent: Snapshot | None,
) -> Snapshot:
    """Return the snapshot with its layout, its outside parts, and the kinds of its artifacts."""
    stats = Counts(*msgspec.structs.astuple(made.stats)[:4])
    artifacts = {one.path: one for one in made.artifacts}
    missing = [*made.missing, *gathered.missing]
    for beside in gathered.parts:
        stats = stats.plus(beside.captured.counts)
        findings = beside.captured.findings
        missing += [Missing(beside.prefix + one.path, one.reason) for one in findings.missing]
        artifacts |= {one.path: one for one in _artifacts_beside(beside)}
    for path in _named_paths(made, layout, repository, parent):
        artifacts.setdefault(path, Artifact(path, "file", CapturedAs.STABLE))
    named = [
        msgspec.structs.replace(one, kind=layout.artifact_kind(one.path) or one.kind)
        for one in artifacts.values()
    ]
    return msgspec.structs.replace(
        made,
        layout=layout.name,
        outside=tuple(beside.part for beside in gathered.parts),
        stats=msgspec.structs.replace(
            made.stats, files=stats.files, directories=stats.directories,
            symlinks=stats.symlinks, size=stats.size,
        ),
        artifacts=tuple(sorted(named, key=lambda one: one.path)),
        missing=tuple(sorted(missing, key=lambda one: one.path)),
    )  # fmt: skip


def _named_paths(
    made: Snapshot, layout: Layout, repository: Repository, parent: Snapshot | None
) -> list[bytes]:
    """Return what lies directly in the palace and has a kind of its own."""
    if type(layout).artifact_kind is Layout.artifact_kind:
        return []
    if parent is not None and (parent.root, parent.layout) == (made.root, layout.name):
        paths = [one.path for one in parent.artifacts]  # sparing us a look at the tree
        return [path for path in paths if b"/" not in path and layout.artifact_kind(path)]
    paths = [item.path for item in children(repository, made.root.tree)]
    return [path for path in paths if layout.artifact_kind(path)]


def _artifacts_beside(beside: Beside) -> list[Artifact]:
    captured = beside.captured
    found = [Artifact(path, "file", CapturedAs.TORN) for path in captured.findings.torn]
    found += [
        Artifact(path, "sqlite", taken.how)
        for path, taken in captured.databases.items()
        if isinstance(taken, Taken)
    ]
    place = os.fsdecode(beside.part.place)
    if not found and captured.counts.files == 1:
        name = os.fsencode(Path(place).name)
        found.append(Artifact(name, "file", CapturedAs.STABLE))
    return [msgspec.structs.replace(one, path=beside.prefix + one.path) for one in found]


class Destination(NamedTuple):
    """Where an outside part is restored to: a directory or, where `is_file`, the file it is."""

    part: Outside
    selection: Selection
    target: Path
    is_file: bool

    @property
    def prefix(self) -> bytes:
        """How paths in the part begin."""
        return b"@" + self.part.name.encode() + b"/"

    @property
    def directory(self) -> Path:
        """The directory below which the part's paths lie."""
        return self.target.parent if self.is_file else self.target


def destinations(
    source: Source, stored: Stored, chosen: Chosen, target: Path, recorded: bool
) -> list[Destination]:
    """Return where the chosen outside parts of a snapshot go.

    To their recorded places, or to directories in `TARGET.outside`. Raises Refused when one place
    lies in another, as a part in the palace.
    """
    found = []
    for part, selection in chosen.parts(stored.snapshot):
        to = Path(f"{target}.outside") / part.name
        is_file = recorded and lone_file(source, part.root, part.place) is not None
        if recorded:
            to = Path(os.fsdecode(part.place))
        found.append(Destination(part, selection, to, is_file))
    _check_apart([target, *(one.target for one in found)])
    return found


def check_vacant(outside: Sequence[Destination], recorded: bool) -> None:
    """Raise Exists when something is where an outside part goes, or would be taken for its own."""
    if outside and not recorded:
        check_target(outside[0].target.parent)
        return
    for one in outside:
        if not one.is_file:
            check_target(one.target)
            continue
        name = os.fsencode(one.target)
        for path in (name, *(name + suffix for suffix in SUFFIXES)):
            if os.path.lexists(path):
                raise Exists(
                    f"{os.fsdecode(path)} is there, where @{one.part.name} goes",
                    "move it away, or leave out --outside",
                )


def _check_apart(places: Sequence[Path]) -> None:
    for one, other in itertools.permutations(places, 2):
        if one.resolve().is_relative_to(other.resolve()):
            raise Refused(
                f"{one} lies in {other}, and each of them is to be restored",
                "choose another target, or leave out --outside",
            )


def lone_file(source: Source, root: Entry, place: bytes) -> Item | None:
    """Return the file that a root stands for when its place was a file, None for a directory.

    Such a root was made up: it has no time, and holds one file, of the place's own name.
    """
    if root.mtime_ns or root.xattrs:
        return None
    found = list(itertools.islice(children(source, root.tree), 2))
    name = place.rpartition(b"/")[2]
    is_file = len(found) == 1 and found[0].entry.kind == EntryKind.FILE
    return found[0] if is_file and found[0].entry.name == name else None
