"""pal verify FILE: what is known of a bundle, for people, for programs, as an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palatine.cli import shapes, text
from palatine.cli.failures import Incomplete, Reported
from palatine.cli.invocation import Invocation
from palatine.errors import Damaged

if TYPE_CHECKING:
    from palatine.ops.intake import Request
    from palatine.ops.verify_file import FileReport


def verify(run: Invocation, request: Request, check: bool) -> None:
    """Verify a bundle and tell what was found.

    Raises Reported for damage, and for what could not be checked.
    """
    from palatine import api

    report = api.verify_bundle(request, check=check, reporter=run.watcher)
    if run.output.json:
        run.output.result(_shape(report))
    elif not (run.output.quiet and report.ok and not report.unchecked):
        _print(run, report)
    if report.damage:
        raise Reported(Damaged(_verdict(report), "get a whole copy of it"))
    if report.unchecked:
        raise Reported(Incomplete(_verdict(report), "what was not checked is named"))


def _print(run: Invocation, report: FileReport) -> None:
    out = run.output
    for sentence in report.damage:
        out.line(out.colour("damaged", "red") + f"  {text.sentence(sentence)}")
    for sentence in report.checked:
        out.line(f"checked  {text.sentence(sentence)}")
    for sentence in report.notes:
        out.line(f"note     {text.sentence(sentence)}")
    for sentence in report.unchecked:
        out.line(out.colour("not checked", "yellow") + f" {text.sentence(sentence)}")
    if report.redacted:
        out.line("note     secrets were taken out of it before it was exported")
    style = "red" if report.damage else "yellow" if report.unchecked else "green"
    out.line(out.colour(_verdict(report), style))


def _verdict(report: FileReport) -> str:
    name = text.name(str(report.file))
    if report.damage:
        return f"{name} is damaged"
    what = _what(report)
    if report.unchecked:
        if not report.seen:
            return f"{name} was not verified"
        return f"no damage was found in {name}{what}, but not all could be checked"
    return f"{name} is whole{what}"


def _what(report: FileReport) -> str:
    if not report.palace or report.time_us is None:
        return ""
    files = f", {text.count(report.files, 'file')}, {text.size(report.size)}"
    return (
        f": {text.sentence(report.palace)} of {text.local_time(report.time_us)}"
        f"{files if report.snapshot else ''}"
    )


def _shape(report: FileReport) -> shapes.Shape:
    return {
        "file": shapes.name(str(report.file)),
        "ok": report.ok and not report.unchecked,
        "format": report.format,
        "encrypted": report.encrypted,
        "redacted": report.redacted,
        "palace": report.palace or None,
        "snapshot": report.snapshot or None,
        "time": None if report.time_us is None else shapes.time(report.time_us),
        "files": report.files,
        "bytes": report.size,
        "checked": [text.sentence(one) for one in report.checked],
        "unchecked": [text.sentence(one) for one in report.unchecked],
        "damage": [text.sentence(one) for one in report.damage],
        "notes": [text.sentence(one) for one in report.notes],
    }
