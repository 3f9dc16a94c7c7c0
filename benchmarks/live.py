"""What capturing live palaces costs them, and the capture: every measured claim with its limit.

    python benchmarks/live.py --out docs/benchmarks
    python benchmarks/live.py --only commits,root --megabytes 200

What was measured before at the same commit stays in the results, so that it can be done in parts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pages
from facts import facts
from live_commits import measure_commits
from live_databases import measure_changed, measure_unchanged
from live_root import measure_root
from table import Verdict, row

_TITLE = "Live capture"
_COMMAND = (
    "`python benchmarks/live.py --out docs/benchmarks`"
    " ([how](../benchmarks/README.md#live-palaces))"
)
_SECONDS = 4.0
"""How long a phase lasts in which commits are measured."""
_CLAIMS: dict[str, tuple[Callable[..., tuple[list[Verdict], list[str]]], float, int]] = {
    "commits": (lambda *given: measure_commits(given[0], given[1], _SECONDS, given[2]), 0.064, 12),
    "unchanged": (measure_unchanged, 0.25, 31),
    "changed": (measure_changed, 0.25, 11),
    "root": (measure_root, 1.0, 7),
}
"""What measures each claim, the share of `--megabytes` it takes, and how many rounds."""


def main() -> int:
    """Measure what is asked for; 1 if a limit is missed."""
    arguments = _arguments()
    results = _kept(arguments.out)
    for name in arguments.only or _CLAIMS:
        measure, share, rounds = _CLAIMS[name]
        with tempfile.TemporaryDirectory(dir=arguments.work, prefix="live-") as work:
            verdicts, lines = measure(
                Path(work) / name,
                arguments.megabytes * share,
                max(2, round(rounds * arguments.rounds)),
            )
        results["claims"][name] = {"verdicts": [asdict(one) for one in verdicts], "lines": lines}
    text = _section(results)
    print(text)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        _file(arguments.out).write_text(json.dumps(results, indent=1) + "\n")
        pages.write(arguments.out.with_suffix(".md"), text, (_TITLE,))
    return int(any("MISS" in one.word for one in _verdicts(results)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=1000, help="size of the data root")
    parser.add_argument("--rounds", type=float, default=1, help="times the usual number of rounds")
    parser.add_argument("--only", type=lambda text: text.split(","), help=",".join(_CLAIMS))
    parser.add_argument("--out", type=Path, help="directory for results (its .md is beside it)")
    parser.add_argument("--work", type=Path, help="where to work (default: the system's temporary)")
    chosen = parser.parse_args()
    if unknown := set(chosen.only or ()) - set(_CLAIMS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(_CLAIMS)}")
    return chosen


def _kept(out: Path | None) -> dict[str, Any]:
    """What was measured before at this commit, or nothing."""
    known = facts() | {"claims": {}}
    if out is None or not _file(out).exists():
        return known
    before: dict[str, Any] = json.loads(_file(out).read_text())
    return known | ({"claims": before["claims"]} if before["commit"] == known["commit"] else {})


def _file(out: Path) -> Path:
    return out / "live.json"


def _verdicts(results: dict[str, Any]) -> list[Verdict]:
    claims = [results["claims"][name] for name in _CLAIMS if name in results["claims"]]
    return [Verdict(**one) for claim in claims for one in claim["verdicts"]]


def _section(results: dict[str, Any]) -> str:
    rows = [row(verdict) for verdict in _verdicts(results)]
    lines = [
        f"- {line}"
        for name in _CLAIMS
        for line in results["claims"].get(name, {"lines": []})["lines"]
    ]
    return "\n".join(
        [
            f"## {_TITLE}\n",
            f"Measured on {results['date']} at commit {results['commit']}, on {results['cores']}"
            f" cores, with Python\n{results['python']}, by {_COMMAND}.\n",
            "| | compared with | found | limit | |",
            "|---|---|--:|--:|---|",
            *rows,
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
