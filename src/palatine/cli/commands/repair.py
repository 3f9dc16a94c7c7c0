"""pal repair: after damage, keep everything that can be read, and say exactly what is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import shapes, text
from palatine.cli.failures import Reported
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import Damaged

if TYPE_CHECKING:
    from palatine.ops.repair import Loss, Repaired

EXAMPLES = ("pal repair --dry-run", "pal repair", "pal repair --from /mnt/old-disk/alpha")
EXIT_CODES = {
    0: "nothing was damaged, or all of it was mended",
    4: "something is lost: it says what",
    10: "",
    11: "",
}


def repair(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what is lost.")
    ] = False,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="PALACE",
            help="A palace, or a copy of one, to look for lost parts in; may be repeated.",
        ),
    ] = None,
) -> None:
    """Mend a damaged repository.

    What can be read is kept, and exactly what is lost is said. Lost parts are looked for in the
    palaces as they are now, where they were on this host, and in each --from. A snapshot that lost
    files stays without them; it comes back when they turn up. Nothing is destroyed: what was
    damaged is kept below damaged/ in the repository.
    """
    run = invocation(context)
    with run.open() as repository:
        done = repository.repair(sources=source or [], dry_run=dry_run)
        if run.output.json:
            run.output.result(_shape(done))
        else:
            _tell(run, done)
        if not done.ok:
            raise Reported(Damaged(_lost(done), "pal repair --from PALACE looks in more places"))


def _tell(run: Invocation, done: Repaired) -> None:
    out = run.output
    for sentence in done.damage:
        out.line(out.colour("damaged", "red") + f"  {text.sentence(sentence)}")
    for sentence in done.mended:
        out.line(out.colour("mended", "green") + f"   {text.sentence(sentence)}")
    for stored in done.brought_back:
        out.line(out.colour("whole", "green") + f"    {_named(stored.id, stored.palace)} again")
    for sentence in done.gone:
        out.line(out.colour("lost", "red") + f"     {text.sentence(sentence)}")
    for loss in done.lost:
        _tell_loss(run, loss)
    for stored in done.waiting:
        out.line(f"note     {_named(stored.id, stored.palace)} still lacks what it lost earlier")
    would = "would be " if done.dry_run else ""
    if done.found:
        out.line(f"{text.count(done.found, 'lost object')} {would}found again")
    if done.moved:
        out.line(f"{text.count(done.moved, 'object')} brought to new packs")
    if done.set_aside:
        out.line(f"{text.count(len(done.set_aside), 'file')} kept below damaged/")
    if not done.ok:
        out.line(out.colour(_lost(done), "red", "bold"))
    elif done.damage or done.found:
        out.line(out.colour(f"everything {would or 'was '}mended", "green"))
    else:
        out.line(out.colour("no damage found", "green"))


def _tell_loss(run: Invocation, loss: Loss) -> None:
    out, stored = run.output, loss.stored
    when = text.local_time(stored.snapshot.time_us)
    instead = f", now {loss.replacement.id.hex()[:16]}" if loss.replacement else ""
    out.line(f"hit      {stored.id.hex()[:16]}  {when}  {stored.palace}{instead}")
    for one in loss.missing:
        out.line(f"           {text.name(one.path)}: {text.sentence(one.reason)}")


def _named(object_id: bytes, palace: str) -> str:
    return f"{object_id.hex()[:16]} of {palace}"


def _lost(done: Repaired) -> str:
    paths = sum(len(one.missing) for one in done.lost)
    said = []
    if done.lost:
        count = text.count(len(done.lost), "snapshot")
        said.append(f"{text.count(paths, 'path')} in {count}")
    if done.gone:
        said.append(f"{text.count(len(done.gone), 'file')} of the repository")
    return f"lost: {' and '.join(said)}"


def _shape(done: Repaired) -> shapes.Shape:
    return {
        "dry_run": done.dry_run,
        "ok": done.ok,
        "damage": [text.sentence(one) for one in done.damage],
        "mended": [text.sentence(one) for one in done.mended],
        "lost_files": [text.sentence(one) for one in done.gone],
        "lost": [
            {
                "snapshot": shapes.reference(one.stored),
                "replacement": shapes.reference(one.replacement) if one.replacement else None,
                "missing": [
                    {"path": shapes.name(gap.path), "reason": gap.reason} for gap in one.missing
                ],
            }
            for one in done.lost
        ],
        "brought_back": [shapes.reference(one) for one in done.brought_back],
        "waiting": [shapes.reference(one) for one in done.waiting],
        "objects_found": done.found,
        "objects_moved": done.moved,
        "set_aside": [text.sentence(one) for one in done.set_aside],
    }
