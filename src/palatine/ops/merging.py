"""restore --merge: what a snapshot has and the target lacks is brought there, and conflicts told.

Both sides come from their nearest common ancestor, if they have one: what only one of them changed
since is taken. Afterwards a snapshot of the result is taken. It has both sides as parents only if
all of the snapshot was merged and nothing is left undecided: otherwise the next merge would take
what is left for settled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from palatine.errors import Refused
from palatine.layouts import registry
from palatine.layouts.base import Layout
from palatine.ops import parts, present
from palatine.ops.ancestors import ancestors, common_ancestor
from palatine.ops.palacelock import Patience, palace_lock
from palatine.ops.present import Present
from palatine.ops.restoring import Mode, Request, Restored
from palatine.ops.snapshot import Request as SnapshotRequest
from palatine.ops.snapshot import snapshot
from palatine.restore import intent
from palatine.restore.merge.merge import Terms, rehearse
from palatine.restore.merge.merge import merge as merge_places
from palatine.restore.merge.report import Report
from palatine.restore.merge.tables import Manner
from palatine.restore.renamed import renamed_file
from palatine.restore.task import Root, Task
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored, newest


def merge(
    repository: Repository, stored: Stored, request: Request, now: Present, task: Task
) -> Restored:
    """Merge the wanted side of a task into what is there; a dry run only says what would come.

    Raises Refused, Locked, NoSpace, Damaged, SourceError.
    """
    known = repository.list_snapshots()
    head = now.before.stored if now.before else newest(present.here(repository, request.target))
    base = common_ancestor(known, head, stored) if head is not None else None
    layout = _layout(stored, request.target)
    task, bases = _bases(task, base)
    terms = Terms(
        layout,
        bases,
        Manner(request.prefer or "", layout.palace_name(request.target)),
        frozenset(one.path for one in stored.snapshot.missing),
        _said(request),
        request.lock_timeout,
    )
    if request.dry_run:
        return _restored(stored, request, rehearse(task, terms), None)
    assert head is not None  # what is there was snapshotted, or a killed merge had it snapshotted
    report = merge_places(replace(task, before_id=head.id.hex()), terms)
    if not report.changed:
        present.forget_tag(repository, now)
    after = None
    if stored.id not in ancestors(known, head):
        after = _keep(repository, stored, request, head, report)
    return _restored(stored, request, report, after)


def finish(
    repository: Repository, request: Request, note: intent.Note, again: Callable[..., Restored]
) -> None:
    """Finish a merge that was killed: merge once more what its note says, and take the note away.

    `again` restores: it takes the repository, the snapshot, a request, and what is there. Raises
    Unreadable where the note cannot be followed, and what `merge` raises.
    """
    target = note.target
    found = [one for one in repository.list_snapshots() if one.id.hex() == note.wanted]
    if not found:
        raise intent.unreadable(target, "what it merged is not in this repository")
    try:
        (said,) = note.steps
        once_more = Request(
            target, Mode.MERGE, tuple(os.fsencode(one) for one in said["paths"]),
            tuple(said["kinds"]), prefer=said["prefer"] or None, outside=said["outside"],
            lock_timeout=request.lock_timeout,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise intent.unreadable(target, "its note of intent cannot be followed") from None
    repository.refresh()
    known = present.known_as(repository, target)
    patience = Patience(request.lock_timeout, command="restore")
    with (
        palace_lock(repository, known.tenant, known.palace, target, patience),
        present.looked_at(repository, known, found[0].snapshot, whole=True) as now,
    ):
        again(repository, found[0], once_more, now)
    intent.remove(target)


def _said(request: Request) -> dict[str, object]:
    """Return what a note says of a request; see `finish`."""
    return {
        "paths": [os.fsdecode(path) for path in request.paths],
        "kinds": list(request.kinds),
        "prefer": request.prefer,
        "outside": request.outside,
    }


def _layout(stored: Stored, target: Path) -> Layout:
    """Return the layout that both sides have; one of them may be a palace that nobody knows."""
    ours, theirs = registry.match(target), registry.of_name(stored.snapshot.layout)
    if theirs.name in (ours.name, registry.GENERIC.name):
        return ours
    if ours.name == registry.GENERIC.name:
        return theirs
    raise Refused(
        f"{target} is a palace of {ours.name}, and the snapshot is one of {theirs.name}",
        "only palaces of one kind can be merged",
    )


def _bases(task: Task, base: Stored | None) -> tuple[Task, dict[str, Root]]:
    """Return the base's roots by the names of places, and a task whose source knows them.

    A place that is one file has that file's name of today in its base too.
    """
    if base is None:
        return task, {}
    outside = {part.name: part for part in base.snapshot.outside}
    roots = {}
    for place in task.places:
        part = outside.get(place.name)
        if place.name and part is None:
            continue
        root = present.root_of(base.snapshot, part)
        if place.is_file:
            recorded = part.place if part else base.snapshot.path
            lone = parts.lone_file(task.source, root.entry, recorded)
            if lone is None:
                continue
            name = os.fsencode(place.target.name)
            source, entry = renamed_file(task.source, root.entry, lone, name)
            task, root = replace(task, source=source), replace(root, entry=entry)
        roots[place.name] = root
    return task, roots


def _keep(
    repository: Repository, stored: Stored, request: Request, head: Stored, report: Report
) -> Stored | None:
    """Snapshot what has come of a merge; None where there is nothing to say."""
    left = report.conflicts.left
    everything = not request.partial and (request.outside or not stored.snapshot.outside)
    settled = everything and not left
    if not (settled or report.changed):
        return None
    message = f"merged {stored.palace} {stored.id.hex()[:16]}"
    if left:
        message += f", {left} conflict{'s' if left > 1 else ''} left"
    one = head.snapshot
    asked = SnapshotRequest(
        request.target, one.tenant, one.palace, message=message, layout=one.layout,
        merged=(stored.id,) if settled else (),
    )  # fmt: skip
    return snapshot(repository, asked).stored


def _restored(stored: Stored, request: Request, report: Report, after: Stored | None) -> Restored:
    return Restored(
        stored, request.target, request.mode, report.files, 0, 0, report.size,
        removed=len(report.removed), merged=report, after=after,
    )  # fmt: skip
