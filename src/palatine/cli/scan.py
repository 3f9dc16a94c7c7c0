"""Reading a command line that is simple enough to be read without typer, which takes 35 ms."""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Scanned:
    """The words of a command line, the flags that stand in it, and the values of its options."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.flags: set[str] = set()
        self.values: dict[str, list[str]] = {}

    def last(self, option: str) -> str | None:
        """Return the value that counts of an option that takes one."""
        given = self.values.get(option)
        return given[-1] if given else None


def scan(
    arguments: Sequence[str], flags: Collection[str], options: Collection[str]
) -> Scanned | None:
    """Read arguments that are words, flags of these, and options of these with a value each.

    Returns None for anything else, also for what is wrong: typer reads that, and says so.
    """
    found = Scanned()
    rest = iter(arguments)
    for argument in rest:
        name, joined, value = argument.partition("=")
        if not argument.startswith("-"):
            found.words.append(argument)
        elif argument in flags:
            found.flags.add(argument)
        elif name in options and name.startswith("--"):
            given = value if joined else next(rest, "-")
            if given.startswith("-") or not given:
                return None
            found.values.setdefault(name, []).append(given)
        else:
            return None
    return found
