"""What came of a merge: counts for each table, every conflict, and what is stale now."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.invocation import Invocation
from palatine.errors import Refused

if TYPE_CHECKING:
    from palatine.ops.restoring import Restored
    from palatine.restore.merge.report import Conflict, Counts, Report

_WHY = {
    "both-changed": "changed on both sides",
    "changed-here-removed-there": "changed here, removed there",
    "removed-here-changed-there": "removed here, changed there",
    "unique": "not the only one",
    "only-one": "only one may hold",
    "refers-to-missing": "speaks of what is not here",
    "referred-to": "removed there, still spoken of here",
    "constraint": "not taken by the database here",
    "schema": "no place for it here",
    "unreadable": "cannot be read",
    "kind": "a file on one side, a directory on the other",
    "git": "a git repository on both sides: merge it with git",
    "database": "a database that was left alone",
    "changed-meanwhile": "changed while it was merged: merge again",
}


class ConflictsLeft(Refused):
    """A merge left conflicts that nobody decided."""

    code = "conflicts"


def tell(run: Invocation, done: Restored, dry_run: bool) -> None:
    """Tell people what was merged, or would be."""
    out, report = run.output, _report(done)
    for path, group in itertools.groupby(_telling(report), key=lambda one: one.path):
        out.line(text.name(path))
        for one in group:
            out.line(f"  {text.sentence(one.table) + '  ' if one.table else ''}{_counts(one)}")
    for sign, paths in (("+", report.added), ("M", report.updated), ("-", report.removed)):
        for path in paths:
            out.line(f"{sign} {text.name(path)}")
    for conflict in out.while_open(report.conflicts):
        out.line(f"{out.colour('conflict', 'yellow')}  {_conflict(conflict)}")
    for stale in report.stale:
        table = f": {text.sentence(stale.table)}" if stale.table else ""
        out.notice(f"stale: {text.name(stale.path)}{table} has to be made anew by its system")
    for note in report.notes:
        out.notice(text.sentence(note))
    stored = done.stored
    out.say(
        f"{'would merge' if dry_run else 'merged'} {stored.palace} {stored.id.hex()[:16]} of"
        f" {text.local_time(stored.snapshot.time_us)} into {text.name(str(done.target))}:"
        f" {_sum(report)}"
    )
    if done.after is not None:
        both = len(done.after.snapshot.parents) > 1
        out.say(
            f"after it: {done.after.palace} {done.after.id.hex()[:16]}"
            f"{', with both sides as parents' if both else ''}"
        )


def shape(done: Restored) -> shapes.Shape:
    """Return what programs are told of a merge."""
    report = _report(done)
    return {
        "tables": [
            {
                "path": shapes.name(one.path),
                "table": one.table or None,
                "added": one.added,
                "kept": one.kept,
                "updated": one.updated,
                "removed": one.removed,
                "conflicting": one.conflicting,
            }
            for one in report.counts
        ],
        "files": {
            "added": [shapes.name(path) for path in report.added],
            "updated": [shapes.name(path) for path in report.updated],
            "removed": [shapes.name(path) for path in report.removed],
        },
        "conflicts": [
            {
                "path": shapes.name(one.path),
                "table": one.table or None,
                "key": one.key or None,
                "why": one.why,
                "words": one.words,
                "won": one.won or None,
            }
            for one in report.conflicts
        ],
        "conflicts_left": report.conflicts.left,
        "stale": [
            {"path": shapes.name(one.path), "table": one.table or None} for one in report.stale
        ],
        "notes": list(report.notes),
        "longest_lock_us": int(report.longest_lock * 1_000_000),
        "snapshot": None if done.after is None else shapes.reference(done.after),
    }


def finish(done: Restored) -> None:
    """Raise what the exit code shall tell, when conflicts are left."""
    left = _report(done).conflicts.left
    if left:
        what = f"{text.count(left, 'conflict')} left: what is here stayed, the rest is merged"
        hint = "merge again with --prefer theirs or --prefer ours to decide them"
        raise ConflictsLeft(what, hint)


def _report(done: Restored) -> Report:
    assert done.merged is not None
    return done.merged


def _telling(report: Report) -> list[Counts]:
    """Return the tables in which anything happened."""
    return [one for one in report.counts if one.changed or one.conflicting]


def _counts(one: Counts) -> str:
    told = [
        f"{number} {word}"
        for number, word in (
            (one.added, "added"), (one.updated, "updated"), (one.removed, "removed"),
            (one.conflicting, "conflicting"),
        )
        if number
    ]  # fmt: skip
    return ", ".join([*told, f"{one.kept} kept"])


def _conflict(one: Conflict) -> str:
    where = ": ".join(filter(None, (text.name(one.path), one.table, one.key)))
    words = f" ({one.words})" if one.words else ""
    won = f" -> {one.won}" if one.won else ""
    return text.sentence(f"{where}: {_WHY.get(one.why, one.why)}{words}{won}")


def _sum(report: Report) -> str:
    verbs = ("added", "updated", "removed")
    rows = [sum(getattr(one, verb) for one in report.counts) for verb in verbs]
    files = [len(report.added), len(report.updated), len(report.removed)]
    told = [
        f"{text.count(count, one, many)} {verb}"
        for counts, one, many in ((rows, "entry", "entries"), (files, "path", "paths"))
        for count, verb in zip(counts, verbs, strict=True)
        if count
    ]
    if len(report.conflicts):
        told.append(text.count(len(report.conflicts), "conflict"))
    return ", ".join(told) or "there was nothing to merge"
