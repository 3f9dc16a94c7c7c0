"""The entry point of `pal`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    if sys.stdout is None or sys.stderr is None:
        # Closed by whoever started us. The first file we open would take its number.
        from palatine.cli.output import fill_closed_streams

        fill_closed_streams()
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        # Without typer, which alone takes half of what a start may cost.
        return _version()
    try:
        from palatine.cli import quick

        begun = quick.begin(arguments)
        from palatine.cli.runner import run

        code = run(arguments, begun)
    except KeyboardInterrupt:
        sys.stderr.write("pal: interrupted\n")
        return 130
    if quick.is_awaited(arguments):
        quick.leave(code)
    return code


def _version() -> int:
    from palatine import __version__

    sys.stdout.write(f"palatine {__version__}\n")
    return 0
