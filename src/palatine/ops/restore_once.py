"""restore over what was looked at: which places change to what, the plan, and the doing of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from palatine.errors import Exists, Refused
from palatine.model.snapshot import Missing
from palatine.ops import parts, present
from palatine.ops.present import Present
from palatine.ops.restoring import Action, Mode, Request, Restored, RestoredPart
from palatine.restore.fresh import is_vacant
from palatine.restore.plan import Step
from palatine.restore.renamed import renamed_file
from palatine.restore.replace import replace_places
from palatine.restore.select import Chosen, Selection, choose
from palatine.restore.task import Changed, Place, Root, Task
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Item


def restore_once(
    repository: Repository, stored: Stored, request: Request, now: Present
) -> Restored:
    """Restore over what is there, once it was looked at."""
    return _Restore(repository, stored, request, now).run()


class _Restore:
    """One restore over something: what is wanted, and what is there."""

    def __init__(
        self, repository: Repository, stored: Stored, request: Request, now: Present
    ) -> None:
        self._repository = repository
        self._stored = stored
        self._request = request
        self._now = now
        self._source = now.source
        self._outside: list[RestoredPart] = []

    def run(self) -> Restored:
        """Plan it and, unless that was all, do it."""
        request, now = self._request, self._now
        chosen = choose(self._source, self._stored.snapshot, request.paths, request.kinds)
        places = (self._palace(chosen), *self._parts(chosen))
        task = Task(
            self._source, places, self._stored.id.hex(),
            now.before.stored.id.hex() if now.before else "",
            self._repository.settings.workers, self._repository.reporter, self._repository.clock,
        )  # fmt: skip
        self._check_kept(task)
        if request.mode == Mode.MERGE:
            from palatine.ops.merging import merge

            return merge(self._repository, self._stored, request, now, task)
        if request.dry_run:
            return self._planned(task)
        if request.mode == Mode.LIVE:
            from palatine.restore.live import restore_live

            changed = restore_live(task, request.delete)
        else:
            changed = replace_places(task, now.stamps)
        return self._done(changed)

    def _palace(self, chosen: Chosen) -> Place:
        """Return the palace as a place; it stays as it is where only outside parts are wanted."""
        target, snapshot = self._request.target, self._stored.snapshot
        there = self._now.roots[""]
        lone = parts.lone_file(self._source, snapshot.root, snapshot.path)
        if target.is_file() != (lone is not None):
            name = os.fsdecode(lone.entry.name) if lone else ""
            raise Refused(
                f"the snapshot is of a {'single file' if lone else 'directory'}, and {target} is"
                f" a {'directory' if lone else 'file'}",
                f"name the file: {target / name}" if lone else "name a directory",
            )
        wanted = self._named(present.root_of(snapshot), lone, target)
        if chosen.palace is None:
            wanted = there
        if chosen.palace is None or lone is not None:
            everything = Selection(self._source, there.entry.tree, ())
            return Place("", target, lone is not None, there, wanted, everything)
        return Place("", target, False, there, wanted, chosen.palace)

    def _parts(self, chosen: Chosen) -> Iterator[Place]:
        """Yield the outside parts that go to their places: where they are, or were recorded."""
        if not self._request.outside:
            if chosen.outside:
                self._repository.reporter.notice(
                    "its parts outside of the palace were left alone: --outside restores them"
                )
            return
        places, roots = self._now.places, self._now.roots
        target = self._request.target
        for one in parts.destinations(self._source, self._stored, chosen, target, recorded=True):
            part, to = one.part, places.get(one.part.name, one.target).resolve()
            there = roots.get(part.name)
            other = there is None and not is_vacant(to)
            if other or (there is not None and to.is_dir() == one.is_file):
                raise Exists(f"@{part.name} goes to {to}, where something else is", "move it away")
            lone = parts.lone_file(self._source, part.root, part.place)
            wanted = self._named(present.root_of(self._stored.snapshot, part), lone, to)
            self._outside.append(RestoredPart(part.name, part.place, to))
            selection = Selection(self._source, wanted.entry.tree, ()) if lone else one.selection
            yield Place(part.name, to, one.is_file, there, wanted, selection)

    def _named(self, root: Root, lone: Item | None, target: Path) -> Root:
        """Return a root whose single file has the name it is restored as."""
        name = os.fsencode(target.name)
        if lone is None or lone.entry.name == name:
            return root
        self._source, entry = renamed_file(self._source, root.entry, lone, name)
        return replace(
            root, entry=entry,
            databases=frozenset({name} if root.databases else ()),
            torn=frozenset({name} if root.torn else ()),
        )  # fmt: skip

    def _check_kept(self, task: Task) -> None:
        """Raise Refused when something would be lost that the pre-restore snapshot lacks."""
        missing = tuple(one for one in self._now.missing if self._concerns(one.path))
        if self._request.mode != Mode.REPLACE and missing:
            missing = tuple(_hit(missing, self._changing(task)))
        if missing:
            first = missing[0]
            raise Refused(
                f"{os.fsdecode(first.path)} could not be captured ({first.reason}) and would be"
                f" lost{f', as {len(missing) - 1} more' if len(missing) > 1 else ''}",
                "make it readable or move it away; --live changes only what differs",
            )

    def _concerns(self, path: bytes) -> bool:
        """Whether a path is in the palace, or outside parts are wanted too."""
        if self._request.outside or not path.startswith(b"@"):
            return True
        return os.path.lexists(self._request.target / os.fsdecode(path))

    def _changing(self, task: Task) -> Iterator[bytes]:
        for place in task.places:
            for step in place.steps(self._source, self._keeps_others):
                yield place.prefix + step.path

    @property
    def _keeps_others(self) -> bool:
        request = self._request
        if request.mode == Mode.LIVE:
            return not request.delete
        return request.partial or request.mode == Mode.MERGE

    def _planned(self, task: Task) -> Restored:
        changed, actions = Changed(), []
        for place, step in self._steps(task):
            changed.add(step)
            path = place.prefix + step.path
            actions.append(Action(path, step.kind, step.size, step.deed.value))
        return self._done(changed, tuple(actions))

    def _steps(self, task: Task) -> Iterator[tuple[Place, Step]]:
        if self._request.mode == Mode.LIVE:
            from palatine.restore.liveplan import live_steps

            yield from live_steps(task, self._request.delete)
            return
        for place in task.places:
            for step in place.steps(self._source, self._keeps_others):
                yield place, step

    def _done(self, changed: Changed, actions: tuple[Action, ...] = ()) -> Restored:
        return Restored(
            self._stored, self._request.target, self._request.mode, changed.files,
            changed.directories, changed.symlinks, changed.size, actions, tuple(self._outside),
            removed=changed.removed, changed=changed.meta, notices=tuple(changed.notices),
        )  # fmt: skip


def _hit(missing: Sequence[Missing], changing: Iterable[bytes]) -> Iterator[Missing]:
    """Yield what is missing at a path that changes, or above or below it."""
    left = list(missing)
    for path in changing:
        for one in left:
            shorter, longer = sorted((path, one.path), key=len)
            if longer == shorter or longer.startswith(shorter + b"/"):
                yield one
                left.remove(one)
                break
