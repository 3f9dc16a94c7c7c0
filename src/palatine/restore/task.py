"""What a restore over something that is there has to do: the same for every mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from palatine.clock import SYSTEM, Clock
from palatine.events import SILENT, Reporter
from palatine.model.tree import Entry, EntryKind, Owner
from palatine.restore.plan import Deed, Step, compare
from palatine.restore.select import Selection
from palatine.store.trees import Source


@dataclass(frozen=True)
class Root:
    """One side of a place: the root of its tree, and its owner.

    `databases` are paths that the snapshot knows as databases, `torn` those whose captured bytes
    are not what was in the file at any moment.
    """

    entry: Entry
    owner: Owner
    databases: Set[bytes] = frozenset()
    torn: Set[bytes] = frozenset()


@dataclass(frozen=True)
class Place:
    """A directory or a single file that is changed: the palace, or an outside part of it.

    `name` is empty for the palace, else the outside part's. `target` is resolved. A place that is a
    file is a tree of one entry, of the file's own name on both sides; `directory` is where its
    paths begin. `present` is None where nothing is there, `wanted` where nothing shall be.
    `finish` is called with the private directory of what is built, before anybody can see it.
    """

    name: str
    target: Path
    is_file: bool
    present: Root | None
    wanted: Root | None
    selection: Selection
    finish: Callable[[Path], None] | None = None

    @property
    def directory(self) -> Path:
        """The directory below which the paths of the trees lie."""
        return self.target.parent if self.is_file else self.target

    @property
    def prefix(self) -> bytes:
        """How paths of this place begin where several places are told of."""
        return b"@" + self.name.encode() + b"/" if self.name else b""

    def steps(self, source: Source, keep_others: bool, all_steps: bool = False) -> Iterator[Step]:
        """Yield what differs; see `plan.compare`. Paths are without the prefix."""
        present, wanted = self.present, self.wanted
        databases = {*(present.databases if present else ()), *(wanted.databases if wanted else ())}
        for step in compare(
            source,
            present.entry if present else None,
            wanted.entry if wanted else None,
            self.selection.wants,
            keep_others,
            databases,
            all_steps,
        ):
            leads = step.deed == Deed.META and not self.selection.takes(step.path)
            if not leads:  # of a directory that leads to what was chosen nothing was said
                yield step

    @property
    def new_root(self) -> Root:
        """The root of what shall be there; where paths were chosen, the directory keeps its own."""
        present, wanted = self.present, self.wanted
        assert wanted is not None
        if present is None or self.selection.everything:
            return wanted
        entry = msgspec.structs.replace(present.entry, parts=wanted.entry.parts)
        return Root(entry, present.owner)

    def count(self, source: Source, changed: Changed) -> bool:
        """Add up what replacing this place changes; return whether it changes anything at all."""
        found = False
        for step in self.steps(source, keep_others=not self.selection.everything):
            changed.add(step)
            found = True
        if self.is_file or self.present is None or self.wanted is None:
            return found
        mine, its = self.present, self.new_root
        entry = msgspec.structs.replace(mine.entry, parts=its.entry.parts)
        same_time = msgspec.structs.replace(entry, mtime_ns=its.entry.mtime_ns)
        changed.meta += (same_time, mine.owner) != (its.entry, its.owner)
        return found or (entry, mine.owner) != (its.entry, its.owner)


@dataclass(frozen=True)
class Task:
    """All places of a restore, and what everybody who works on it needs.

    `wanted_id` and `before_id` are the ids of the snapshots, for the note of intent: what is
    restored, and the pre-restore snapshot (in a dry run empty, and the present side is a scratch).
    The first place is the palace.
    """

    source: Source
    places: tuple[Place, ...]
    wanted_id: str
    before_id: str
    threads: int = 2
    reporter: Reporter = field(default=SILENT)
    clock: Clock = field(default=SYSTEM)

    @property
    def target(self) -> Path:
        """The palace's path, resolved: the note of intent stands beside it."""
        return self.places[0].target


@dataclass
class Changed:
    """What a mode did, or would do.

    `files` written or added and their `size` in bytes, `removed` paths, `meta` paths of which only
    mode, owner, times or attributes changed; `notices` are sentences for people.
    """

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    size: int = 0
    removed: int = 0
    meta: int = 0
    notices: list[str] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Count one step more."""
        if step.deed == Deed.REMOVE:
            self.removed += 1
        elif step.deed == Deed.META:
            self.meta += 1
        elif step.deed != Deed.KEEP:
            self.files += step.kind == EntryKind.FILE
            self.directories += step.kind == EntryKind.DIRECTORY
            self.symlinks += step.kind == EntryKind.SYMLINK
            self.size += step.size
