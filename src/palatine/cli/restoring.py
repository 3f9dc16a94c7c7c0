"""What came of a restore: for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palatine.cli import merged, shapes, text
from palatine.cli.invocation import Invocation

if TYPE_CHECKING:
    from palatine.ops.restoring import Restored


def tell(run: Invocation, done: Restored, dry_run: bool) -> None:
    """Tell people what was done, or would be: the plan, and then what it comes to."""
    out = run.output
    for action in out.while_open(done.actions):
        slash = "/" if action.kind.name == "DIRECTORY" else ""
        size = text.size(action.size) if action.kind.name == "FILE" and action.size else ""
        deed = f"{action.deed:<6}  " if done.mode.value != "new" else ""
        out.line(f"{deed}{size:>10}  {text.name(action.path)}{slash}")
    if done.finished:
        out.notice(done.finished)
    if done.before is not None:
        before = done.before
        how = "taken" if before.fresh else "nothing had changed since"
        out.say(
            f"before it: {before.stored.palace} {before.stored.id.hex()[:16]}, tagged pre-restore"
            f" ({how}, {before.seconds:.1f} s); pal restore --undo puts it back"
        )
    if done.merged is None:
        out.say(_sentence(done, dry_run))
    else:
        merged.tell(run, done, dry_run)
    for part in done.outside:
        out.say(
            f"@{text.sentence(part.name)}, which was {text.name(part.place)}, "
            f"{'would go' if dry_run else 'went'} to {text.name(str(part.target))}"
        )
    for one in done.renamed:
        rows = f" ({text.count(one.rows, 'row')})" if one.rows is not None else ""
        out.say(
            f"{text.name(one.path)}: {one.key}, which was {text.sentence(one.old)}, "
            f"{'would be' if dry_run else 'is'} {text.sentence(one.new)}{rows}"
        )
    for notice in done.notices:
        out.notice(text.sentence(notice))
    stored = done.stored
    if stored.snapshot.outside and not done.outside and done.mode.value == "new":
        out.notice("parts of it from outside of the palace (pal show) were not restored")
    if not stored.snapshot.complete:
        gaps = text.count(len(stored.snapshot.missing), "path")
        out.notice(f"the snapshot itself is incomplete: it lacks {gaps} (pal show names them)")


def _sentence(done: Restored, dry_run: bool) -> str:
    stored = done.stored
    what = (
        f"{'would restore' if dry_run else 'restored'} {stored.palace} {stored.id.hex()[:16]}"
        f" of {text.local_time(stored.snapshot.time_us)} to {text.name(str(done.target))}"
    )
    told = [f"{text.count(done.files, 'file')}, {text.size(done.size)}"]
    if done.mode.value != "new":
        told[0] += " written"
    if done.removed:
        told.append(f"{text.count(done.removed, 'path')} removed")
    if done.changed:
        told.append(f"{text.count(done.changed, 'path')} with other metadata only")
    if done.mode.value != "new" and not (done.files or done.removed or done.changed):
        told = ["it was so already"]
    return f"{what}: {', '.join(told)}"


def shape(done: Restored, dry_run: bool) -> shapes.Shape:
    """Return the result for programs."""
    found: shapes.Shape = {
        "snapshot": shapes.reference(done.stored),
        "target": shapes.name(str(done.target)),
        "mode": done.mode.value,
        "dry_run": dry_run,
        "files": done.files,
        "directories": done.directories,
        "symlinks": done.symlinks,
        "bytes": done.size,
        "removed": done.removed,
        "metadata": done.changed,
        "pre_restore": None,
        "finished": done.finished or None,
        "notices": list(done.notices),
    }
    if done.before is not None:
        found["pre_restore"] = {
            "snapshot": shapes.reference(done.before.stored),
            "fresh": done.before.fresh,
            "took_us": int(done.before.seconds * 1_000_000),
        }
    if done.outside:
        found["outside"] = [
            {
                "name": part.name,
                "place": shapes.name(part.place),
                "target": shapes.name(str(part.target)),
            }
            for part in done.outside
        ]
    if done.renamed:
        found["renamed"] = [
            {
                "path": shapes.name(one.path),
                "key": one.key,
                "old": one.old,
                "new": one.new,
                "rows": one.rows,
            }
            for one in done.renamed
        ]
    if done.merged is not None:
        found["merged"] = merged.shape(done)
    if dry_run:
        found["actions"] = [
            {
                "path": shapes.name(one.path),
                "kind": one.kind.name.lower(),
                "deed": one.deed,
                "bytes": one.size,
            }
            for one in done.actions
        ]
    return found
