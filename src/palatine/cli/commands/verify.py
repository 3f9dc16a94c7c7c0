"""pal verify: check that everything is there, and is what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from palatine.cli import filing, shapes, text, verified
from palatine.cli.failures import Incomplete, Reported
from palatine.cli.invocation import Invocation, invocation
from palatine.errors import Damaged, UsageError

if TYPE_CHECKING:
    from palatine.ops.verify import Report

EXAMPLES = (
    "pal verify",
    "pal verify --data",
    "pal verify --sample 5%",
    "pal verify alpha.tar.zst --check",
    "pal verify alpha.tar.zst.age --identity ~/.config/age/key.txt",
)
EXIT_CODES = {
    3: "something could not be checked",
    4: "damage was found",
    5: "refused: FILE goes beyond a limit; the message says how to raise it",
    10: "",
}
_FEW = 20
"""How many paths of a snapshot are named without --verbose."""


def verify(  # noqa: PLR0913 - each parameter is an option
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A bundle; of a directory the newest one.", show_default=False
        ),
    ] = None,
    data: Annotated[bool, typer.Option("--data", help="Read and check every byte.")] = False,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="SHARE", help="Read and check a part, such as 5%."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="With FILE: have SQLite check the databases in it.")
    ] = False,
    identity: filing.Identity = None,
    passphrase_file: filing.PassphraseFile = None,
    format: filing.Format = None,
    max_size: filing.MaxSize = None,
    max_ratio: filing.MaxRatio = None,
) -> None:
    """Check the repository, or a bundle.

    Always: every snapshot, index and pack is there, and each snapshot has all it needs. What the
    packs hold is read only with --data or --sample. Damage is named down to the snapshots and
    paths that it hits. Of a bundle every byte is read; that needs no repository.
    """
    run = invocation(context)
    if file is not None:
        if data or sample is not None:
            raise UsageError("--data and --sample go without FILE", "of a bundle all is read")
        from palatine.ops.intake import Request

        verified.verify(
            run,
            Request(
                filing.path(file), keys=filing.keys(identity, passphrase_file),
                limits=filing.limits(max_size, max_ratio), format=format,
            ),
            check,
        )  # fmt: skip
        return
    if check or identity or passphrase_file or format or max_size or max_ratio:
        raise UsageError("these options go with FILE", "pal verify --help shows how")
    share = None if sample is None else _share(sample)
    with run.open() as repository:
        report = repository.verify(data=data, sample=share)
        depth = "data" if data else "sample" if share else "structure"
        if run.output.json:
            run.output.result({"checked": depth, **_shape(report)})
        elif not (run.output.quiet and report.ok and not report.unchecked):
            _print(run, report, depth)
        if not report.ok:
            raise Reported(Damaged(_damage(report), "pal restore gets what is not hit"))
        if report.unchecked:
            raise Reported(Incomplete(_unchecked(report), "see to it that it can be read"))


def _share(sample: str) -> float:
    try:
        share = float(sample.removesuffix("%")) / (100 if sample.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{sample!r} is not a share", "write 5% or 0.05, up to 100%")
    return share


def _print(run: Invocation, report: Report, depth: str) -> None:
    out = run.output
    for sentence in report.damage:
        out.line(out.colour("damaged", "red") + f"  {text.sentence(sentence)}")
    for hit in report.hits:
        stored = hit.stored
        when = text.local_time(stored.snapshot.time_us)
        out.line(f"hit      {stored.id.hex()[:16]}  {when}  {stored.palace}")
        shown = hit.paths if out.verbose else hit.paths[:_FEW]
        for path in shown:
            out.line(f"           {text.name(path)}")
        if len(shown) < len(hit.paths):
            out.line(f"           … and {len(hit.paths) - len(shown)} more (--verbose names them)")
    for warning in report.warnings:
        out.line(f"note     {text.sentence(warning)}")
    for sentence in report.unchecked:
        out.line(out.colour("not read", "yellow") + f" {text.sentence(sentence)}")
    if report.ok and report.unchecked:
        out.line(out.colour(_unchecked(report), "yellow", "bold"))
    elif report.ok:
        out.line(out.colour("no damage found", "green") + f": {_extent(report, depth)}")
    else:
        out.line(out.colour(_damage(report), "red", "bold"))


def _extent(report: Report, depth: str) -> str:
    whole = f"{text.count(report.snapshots, 'snapshot')}, {text.count(report.packs, 'pack')}"
    if depth == "structure":
        return f"the structure of {whole}; contents were not read (--data reads them)"
    read = f"{text.count(report.objects, 'object')}, {text.size(report.bytes_read)}"
    if depth == "sample":
        packs = f"{report.packs_read:,} of {text.count(report.packs, 'pack')}"
        return f"the structure of {whole}; of the contents a sample only: {packs}, {read}"
    return f"{whole}, every byte: {read}"


def _damage(report: Report) -> str:
    paths = sum(len(hit.paths) for hit in report.hits)
    reach = (
        f"{text.count(paths, 'path')} in {text.count(len(report.hits), 'snapshot')} cannot be read"
        if report.hits
        else "no snapshot's content is hit"
    )
    return f"damage found in {text.count(len(report.damage), 'place')}; {reach}"


def _unchecked(report: Report) -> str:
    places = text.count(len(report.unchecked), "place")
    return f"no damage found, but {places} could not be checked"


def _shape(report: Report) -> shapes.Shape:
    return {
        "ok": report.ok,
        "snapshots": report.snapshots,
        "packs": report.packs,
        "packs_read": report.packs_read,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "damage": [text.sentence(one) for one in report.damage],
        "hits": [
            {
                "snapshot": shapes.reference(hit.stored),
                "paths": [shapes.name(path) for path in hit.paths],
            }
            for hit in report.hits
        ],
        "unchecked": [text.sentence(one) for one in report.unchecked],
        "warnings": [text.sentence(one) for one in report.warnings],
    }
