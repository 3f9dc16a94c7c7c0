"""One place of a merge: what is taken there is staged beside it, checked, and then put there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from palatine import fsio
from palatine.layouts.merging import Treatment
from palatine.model.tree import EntryKind
from palatine.restore.carry import Carrier
from palatine.restore.directory import DirectoryWriter
from palatine.restore.inuse import lock_holder
from palatine.restore.ledger import StagedOnly
from palatine.restore.merge.database import DatabaseMerge, Job
from palatine.restore.merge.listing import Listing
from palatine.restore.merge.report import Conflict, Report, Stale, Why, Winner
from palatine.restore.merge.sorting import Sides, Sorter
from palatine.restore.plan import begins_as_database
from palatine.restore.select import Selection
from palatine.restore.task import Task
from palatine.sqlite.fitting import settle
from palatine.sqlite.sidecars import SUFFIXES
from palatine.store.trees import Item, Source, file_bytes, walk

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_INDEXES, _IMAGES, _LISTS = "indexes", "images", "lists"


class Spot:
    """A place, what is done there, and the private directory where that is made ready."""

    def __init__(
        self, task: Task, sides: Sides, staging: Path, prefer: Winner, report: Report
    ) -> None:
        """Decide about everything that differs; nothing is written yet but a ledger."""
        self._task = task
        self._sides = sides
        self._place = sides.place
        self._prefer = prefer
        self._report = report
        self._carrier = Carrier(staging, self._place.directory, task.reporter)
        self._carrier.tree.mkdir()
        with self._carrier.ledger(new=True) as ledger:
            sorter = Sorter(sides, prefer, report, ledger)
            sorter.sort()
            ledger.commit()
            staged = next(ledger.puts(), None)
        found = self._found = sorter.found
        self.is_idle = staged is None and not any(
            (found.databases, found.listed, found.removed, found.emptied, found.indexes)
        )
        """Whether nothing is to be done here."""

    def jobs(self, rehearsed: bool = False) -> Iterator[Job]:
        """Yield the databases to merge, with the images that are needed for that.

        `rehearsed`: ours is an image too, and the real one is not touched.
        """
        for number, path in enumerate(self._found.databases):
            images = self._carrier.staging / _IMAGES / str(number)
            images.mkdir(parents=True)
            theirs, base, ours = (images / name for name in ("theirs", "base", "ours"))
            whole = self._place.prefix + path
            has_base = self._extract(self._sides.old, path, base)
            self._extract(self._sides.theirs, path, theirs)
            if rehearsed:
                self._extract(self._sides.ours, path, ours)
            yield Job(
                whole,
                ours if rehearsed else self._carrier.live(path),
                theirs,
                base if has_base else None,
                self._sides.layout.merge_tables(whole),
            )

    def fill(self) -> None:
        """Write what will be put here into the private directory; raises NoSpace, Damaged."""
        wanted = self._place.wanted
        if wanted is None:
            return
        with self._carrier.ledger() as ledger:
            self._write(self._carrier.tree, StagedOnly(ledger))
            self._carrier.loosen(ledger)
            for put in ledger.puts(databases=True):
                settle(self._carrier.image(put.path))
        if self._found.indexes:
            indexes = self._carrier.staging / _INDEXES
            indexes.mkdir()
            chosen = Selection(self._task.source, wanted.entry.tree, self._found.indexes)
            self._write(indexes, chosen)
        fsio.sync_file_system(self._carrier.staging)

    def choose_indexes(self, merges: Sequence[DatabaseMerge]) -> None:
        """Take those of theirs that are missing here and belong to what has come."""
        chosen = []
        for path in self._found.indexes:
            belongs = self._sides.layout.index_of(self._place.prefix + path)
            if belongs is not None and any(
                one.path == belongs.database and one.has(belongs.query, belongs.values)
                for one in merges
            ):
                chosen.append(path)
                self._report.added.append(self._place.prefix + path)
        self._found.indexes = chosen

    def check(self) -> None:
        """Leave out what was changed here since it was looked at."""
        with self._carrier.ledger() as ledger:
            for put in ledger.puts():
                image = self._carrier.image(put.path)
                if put.kind == EntryKind.DIRECTORY or self._is_still(put.path):
                    continue
                image.unlink()  # what is not staged counts as put
                self._leave(put.path, self._report.updated, self._report.added)

    def put(self) -> None:
        """Change the files of the place."""
        self._carrier.put()
        for path in self._found.indexes:
            staged = self._carrier.staging / _INDEXES / os.fsdecode(path)
            if not os.path.lexists(self._carrier.live(path)):
                fsio.rename(staged, self._carrier.live(path))
        for path in self._found.removed:
            if self._is_still(path):
                self._carrier.live(path).unlink()
            else:
                self._leave(path, self._report.removed)
        for path in reversed(self._found.emptied):
            with contextlib.suppress(OSError):
                self._carrier.live(path).rmdir()
        self.merge_lists(self._carrier.staging / _LISTS)
        fsio.sync_file_system(self._place.directory)

    def merge_lists(self, staging: Path | None) -> None:
        """Merge the JSON files; without a place to stage them only say what would be done."""
        for number, (path, names) in enumerate(self._found.listed):
            sides = (self._sides.theirs(path), self._sides.old(path))
            theirs, base = (one and b"".join(file_bytes(self._task.source, one)) for one in sides)
            assert theirs is not None
            told = self._place.prefix + path
            listing = Listing(told, self._carrier.live(path), names, self._prefer)
            listing.merge(theirs, base, self._report, staging and staging / str(number))

    def stale(self) -> Iterator[Stale]:
        """Yield the indexes here that no longer fit what they are made from."""
        present = self._place.present
        passed = b"/"
        for item in walk(self._task.source, present.entry.tree) if present else ():
            path = self._place.prefix + item.path
            if item.path.startswith(passed):
                continue
            if item.entry.name == b".git":
                passed = item.path + b"/"
            elif self._sides.layout.merge_file(path) == Treatment.INDEX:
                passed = item.path + b"/"
                if not begins_as_database(self._task.source, item):
                    yield Stale(path)

    def _write(self, target: Path, chosen: Selection) -> None:
        wanted, task = self._place.wanted, self._task
        assert wanted is not None
        writer = DirectoryWriter(task.source, chosen, task.threads, task.reporter)
        writer.write(str(target), wanted.entry, wanted.owner)

    def _extract(self, side: Callable[[bytes], Item | None], path: bytes, to: Path) -> bool:
        """Write a side's database to a file, as SQLite would read it; return whether it has one."""
        item = side(path)
        if item is None or not begins_as_database(self._task.source, item):
            return False
        for suffix in (b"", *SUFFIXES):
            found = side(path + suffix)
            if found is not None:
                with Path(f"{to}{os.fsdecode(suffix)}").open("wb") as file:
                    for data in file_bytes(self._task.source, found):
                        file.write(data)
        settle(to)
        return True

    def _is_still(self, path: bytes) -> bool:
        """Whether a path here is what it was when it was captured, and nobody has it locked."""
        ours, live = self._sides.ours(path), self._carrier.live(path)
        if ours is None:
            return not os.path.lexists(live)
        return _holds(live, self._task.source, ours)

    def _leave(self, path: bytes, *told: list[bytes]) -> None:
        """Tell that something stays as it is after all."""
        whole = self._place.prefix + path
        for paths in told:
            if whole in paths:
                paths.remove(whole)
        won: Winner = "ours" if self._prefer == "ours" else ""
        self._report.conflicts.add(Conflict(whole, "", "", Why.MEANWHILE.value, "", won))


def _holds(live: Path, source: Source, item: Item) -> bool:
    """Whether a file has the bytes of an entry, or a symlink its target."""
    try:
        status = live.lstat()
        if item.entry.kind == EntryKind.SYMLINK:
            return os.readlink(os.fsencode(live)) == item.entry.target
        if not stat.S_ISREG(status.st_mode) or status.st_size != item.entry.size:
            return False
        with fsio.opened(live, _OPEN) as fd:
            at = 0
            for data in file_bytes(source, item):
                if os.pread(fd, len(data), at) != data:
                    return False
                at += len(data)
            return lock_holder(fd) is None
    except OSError:
        return False
