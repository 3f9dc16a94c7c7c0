"""One place of a live restore, from the plan to what is staged: nothing in the place is changed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from palatine import fsio
from palatine.model.tree import EntryKind
from palatine.restore import intent
from palatine.restore.admit import Admission, Fate
from palatine.restore.carry import Carrier
from palatine.restore.directory import DirectoryWriter
from palatine.restore.fresh import translated
from palatine.restore.ledger import Ledger, Role, StagedOnly
from palatine.restore.livesteps import LiveSteps, database_facts
from palatine.restore.plan import Deed, Step
from palatine.restore.staging import staging_beside
from palatine.restore.task import Changed, Place, Task
from palatine.sqlite.fitting import fit, settle
from palatine.sqlite.sidecars import SUFFIXES
from palatine.sqlite.transplant import translated_error


@dataclass
class Stage:
    """What is staged for a place, and the databases that SQLite changes there.

    `cookies` are the schema cookies of those before the change, by path.
    """

    carrier: Carrier
    cookies: dict[bytes, int] = field(default_factory=dict)


class LivePlan:
    """What is going to be done at one place."""

    def __init__(self, task: Task, place: Place, delete: bool, carrier: Carrier, root: int) -> None:
        self.place = place
        self.stage = Stage(carrier)
        self.needed = 0
        """Bytes that its disk must have free."""
        self._task = task
        self._delete = delete
        self._admission = Admission(place, root, task.clock)
        self._steps = LiveSteps(task.source, place, task.reporter)
        self._touched: bytes | None = None
        self._exclusive: list[tuple[bytes, str]] = []

    @classmethod
    @contextlib.contextmanager
    def begun(cls, task: Task, place: Place, delete: bool) -> Iterator[LivePlan]:
        """Begin at a place, with a staging directory that goes at the end unless a note stands."""

        def keep() -> bool:
            return intent.stands(task.target)

        with translated(place.target), staging_beside(place.target, task.reporter, keep) as staging:
            carrier = Carrier(staging, place.directory, task.reporter)
            carrier.tree.mkdir()
            there = place.directory if place.directory.is_dir() else carrier.tree
            with fsio.opened(there, os.O_RDONLY | os.O_DIRECTORY) as root:
                yield cls(task, place, delete, carrier, root)

    def decide(self, changed: Changed) -> None:
        """Write into the ledger what is done; raises what `Admission.judge` raises."""
        with self.stage.carrier.ledger(new=True) as ledger:
            for step, fate in judged(self._steps.steps(self._delete), self._admission):
                self._do(ledger, step, fate, changed)
            self._do_root(ledger)
            ledger.commit()
        found = self._admission.open_files
        if found:
            more = f", and {len(found) - 1} more like that" if len(found) > 1 else ""
            changed.notices.append(
                f"{found[0]}{more}: it goes on with the old file until it opens that again"
            )

    def fill(self) -> None:
        """Write what is put there, and the databases' content, into the staging directory.

        Raises NoSpace, Damaged, SourceError, and Refused for what SQLite cannot rebuild.
        """
        carrier, wanted, task = self.stage.carrier, self.place.wanted, self._task
        with carrier.ledger() as ledger:
            if wanted is not None:
                chosen = StagedOnly(ledger)
                writer = DirectoryWriter(task.source, chosen, task.threads, task.reporter)
                writer.past_cache = False  # SQLite reads the images at once
                writer.write(str(carrier.tree), wanted.entry, wanted.owner)
            carrier.loosen(ledger)
            for path in self.stage.cookies:
                with _told(carrier, path):
                    carrier.image(path).chmod(fsio.FILE_MODE)
                    fit(carrier.image(path), carrier.live(path))
            for put in ledger.puts(databases=True):
                with _told(carrier, put.path):
                    settle(carrier.image(put.path))
        fsio.sync_file_system(carrier.staging)

    def look_again(self) -> None:
        """Refuse, at the last moment, what nobody may have open and somebody opened meanwhile."""
        self._admission.looked_again()
        for path, what in self._exclusive:
            self._admission.refuse_use(path, what)

    def _do(self, ledger: Ledger, step: Step, fate: Fate, changed: Changed) -> None:
        changed.add(step)
        path, wanted = step.path, step.wanted
        if fate in (Fate.IMAGE, Fate.PUT_DATABASE):
            self._stage_sidecars(ledger, path)
        if fate == Fate.IMAGE:
            ledger.stage(path, Role.IMAGE)
            self.stage.cookies[path] = 0
            # staged, then as much in the live WAL or journal, or while it is rebuilt
            self.needed += 2 * step.size
        elif fate in (Fate.PUT, Fate.PUT_DATABASE):
            ledger.stage(path, Role.PUT, step.kind, fate == Fate.PUT_DATABASE)
            self.needed += step.size
        elif fate != Fate.FACTS:
            ledger.remove(path, step.kind, fate == Fate.REMOVE_DATABASE)
        if wanted is not None and (fate == Fate.FACTS or _sets_facts(step, fate)):
            database = step.kind == EntryKind.FILE and step.database
            ledger.set_facts(path, wanted.entry, wanted.owner, database)
        if fate in (Fate.PUT_DATABASE, Fate.REMOVE_DATABASE):
            self._exclusive.append((path, "removed" if wanted is None else "exchanged"))
        if fate not in (Fate.IMAGE, Fate.FACTS):
            self._touch(ledger, path.rpartition(b"/")[0])

    def _stage_sidecars(self, ledger: Ledger, path: bytes) -> None:
        """Have staged what was captured beside a database as files."""
        for suffix in SUFFIXES:
            if self._steps.wanted(path + suffix) is not None:
                ledger.stage(path + suffix, Role.IMAGE)

    def _touch(self, ledger: Ledger, directory: bytes) -> None:
        """Have a directory's time set again that changes with what is in it."""
        if directory == self._touched or not self.place.selection.everything:
            return
        self._touched = directory
        item = self._steps.wanted(directory) if directory else None
        if item is not None and item.entry.kind == EntryKind.DIRECTORY:
            ledger.set_facts(directory, item.entry, item.owner)

    def _do_root(self, ledger: Ledger) -> None:
        root = self.place.wanted
        if self.place.is_file:
            return
        if root is None:
            if self._delete:
                ledger.remove(b"", EntryKind.DIRECTORY, False)
        elif self.place.selection.everything:
            ledger.set_facts(b"", root.entry, root.owner)


def judged(steps: Iterator[Step], admission: Admission) -> Iterator[tuple[Step, Fate]]:
    """Yield steps with their fates. What gives way to something of its name is only judged.

    Raises Refused and SourceError as `Admission.judge` does.
    """
    leaving = b"/"
    held: tuple[Step, Fate] | None = None
    for step in steps:
        gives_way = held is not None and held[0].path == step.path
        if gives_way:
            leaving = step.path + b"/"
        elif held is not None:
            yield held
        held = None
        fate = admission.judge(step, gives_way)
        if step.deed != Deed.REMOVE:
            yield step, fate
        elif not step.path.startswith(leaving):
            held = step, fate
    if held is not None:
        yield held


def live_steps(task: Task, delete: bool) -> Iterator[tuple[Place, Step]]:
    """Yield what a live restore would do, place by place; raises what it would be refused for."""
    for place in task.places:
        with contextlib.ExitStack() as stack:
            steps = LiveSteps(task.source, place, task.reporter).steps(delete)
            if not place.directory.is_dir():
                yield from ((place, step) for step in steps)
                continue
            flags = os.O_RDONLY | os.O_DIRECTORY
            root = stack.enter_context(fsio.opened(place.directory, flags))
            for step, _ in judged(steps, Admission(place, root, task.clock)):
                yield place, step


@contextlib.contextmanager
def _told(carrier: Carrier, path: bytes) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translated_error(error, carrier.live(path)) from error


def _sets_facts(step: Step, fate: Fate) -> bool:
    """Whether metadata does not come with what is renamed."""
    if fate == Fate.IMAGE:
        sides = step.present, step.wanted
        return sides[0] is None or database_facts(sides[0]) != database_facts(sides[1])  # type: ignore[arg-type]
    return fate == Fate.PUT and step.kind == EntryKind.DIRECTORY
