"""Palatine against restic, borg and tar: the command that runs the race and writes it down.

python benchmarks/race.py --megabytes 954 --small-files 100000 --days 30 --out docs/benchmarks
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pages
from facts import facts
from peers import CONTESTANTS
from stages import Options, Race, say
from table import SECTIONS, Medians, page, verdicts

_STAGES = {
    "palaces": Race.palaces,
    "small": Race.small_files,
    "days": Race.thirty_days,
    "startup": Race.start_up,
}


def main() -> int:
    """Run the stages asked for; 1 if any step of any contestant failed."""
    arguments = _arguments()
    stages = arguments.only or list(_STAGES)
    with TemporaryDirectory(dir=arguments.work, prefix="race-") as work:
        race = Race(_options(arguments, Path(work)))
        for stage in stages:
            _STAGES[stage](race)
    medians = Medians(race.samples)
    _write(arguments.out, race, medians)
    print(page(medians, _facts(race)))
    return 1 if medians.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=954, help="size of the palaces")
    parser.add_argument("--small-files", type=int, default=100_000, help="number of small files")
    parser.add_argument("--days", type=int, default=30, help="days that palatine alone runs")
    parser.add_argument("--changed", type=int, default=3, help="days measured on everybody")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each other step")
    parser.add_argument("--out", type=Path, help="directory for results (its .md is beside it)")
    parser.add_argument("--work", type=Path, help="where to work (default: the system's temporary)")
    parser.add_argument("--only", type=_choice(list(_STAGES)), help="stages, with commas between")
    parser.add_argument(
        "--contestants",
        type=_choice(list(CONTESTANTS)),
        default=list(CONTESTANTS),
        help="contestants, with commas between",
    )
    return parser.parse_args()


def _choice(known: list[str]) -> Any:
    """A type for argparse: some of the known words, with commas between."""

    def parse(text: str) -> list[str]:
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return words

    return parse


def _options(arguments: argparse.Namespace, work: Path) -> Options:
    present = [name for name in arguments.contestants if CONTESTANTS[name].version()]
    for name in sorted(set(arguments.contestants) - set(present)):
        say(f"NOT HERE: {name}: it takes no part in this race")
    return Options(
        work=work,
        contestants=tuple(present),
        megabytes=arguments.megabytes,
        small_files=arguments.small_files,
        changed=arguments.changed,
        days=arguments.days,
        repeat=arguments.repeat,
    )


def _facts(race: Race) -> dict[str, Any]:
    """What one has to know to judge the figures."""
    return facts() | {
        "repeat": race.options.repeat,
        "changed": race.options.changed,
        "days": race.options.days,
        "sources": race.sources,
        "peers": {
            name: {
                "version": CONTESTANTS[name].version(),
                "settings": CONTESTANTS[name].settings,
            }
            for name in race.options.contestants
        },
    }


def _write(out: Path | None, race: Race, medians: Medians) -> None:
    """Write `OUT/race.json`, `OUT/race.svg` and the race's sections of the page `OUT.md`."""
    if out is None:
        return
    from chart import draw

    out.mkdir(parents=True, exist_ok=True)
    known = _facts(race)
    results = known | {
        "verdicts": [asdict(verdict) | {"word": verdict.word} for verdict in verdicts(medians)],
        "samples": [asdict(sample) for sample in race.samples],
    }
    (out / "race.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(out.with_suffix(".md"), page(medians, known), SECTIONS)
    draw(medians, out / "race.svg")


if __name__ == "__main__":
    sys.exit(main())
