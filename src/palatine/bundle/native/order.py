"""What a manifest's entries must be to each other: in order, in directories, without repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from palatine.errors import Malformed
from palatine.model.tree import check_name

_WHAT = "the bundle's manifest"


class Listed(Protocol):
    """What is looked at of an entry of the manifest."""

    @property
    def kind(self) -> str:
        """What it is: file, directory or symlink."""

    @property
    def raw_path(self) -> bytes:
        """Its path in the archive."""

    @property
    def size(self) -> int:
        """Bytes in a file."""

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """Offsets and lengths."""

    @property
    def target(self) -> object:
        """A symlink's."""

    @property
    def link(self) -> object:
        """The first name of a file with several."""

    @property
    def own(self) -> bool:
        """Whether such a file comes with bytes of its own."""


class Order:
    """Sees to it that each entry comes after the one before, in a directory that was listed."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        """`roots` are the directories that have no other above them, in order."""
        for root in roots:
            for one in root.split(b"/"):
                check_name(one, _WHAT)
        if len(set(roots)) < len(roots):
            raise Malformed(f"{_WHAT} names a part twice")
        self._roots = iter(roots)
        self._root: tuple[bytes, ...] = ()
        self._last: tuple[bytes, ...] = ()
        self._last_kind = ""

    def check(self, entry: Listed) -> None:
        """Raise Malformed for an entry out of its place, or with fields that do not fit."""
        path = entry.raw_path
        names = tuple(path.split(b"/"))
        for one in names:
            check_name(one, _WHAT)
        last = self._last
        inside = self._root and names[: len(self._root)] == self._root
        if not inside or names == self._root:
            if path != next(self._roots, None) or entry.kind != "directory":
                raise _misplaced(path)
            self._root = names
        else:
            # the directory it lies in is the last entry, or leads to it
            at_depth = last[: len(names) - 1] == names[:-1]
            in_directory = len(names) <= len(last) or self._last_kind == "directory"
            if names <= last or not at_depth or not in_directory:
                raise _misplaced(path)
        self._last, self._last_kind = names, entry.kind
        _check_fields(entry, path)

    def finish(self) -> None:
        """Raise Malformed when an outside part was not listed."""
        if next(self._roots, None) is not None:
            raise Malformed(f"{_WHAT} does not list every part that it names")


def _check_fields(entry: Listed, path: bytes) -> None:
    is_file = entry.kind == "file"
    fits = (
        (is_file or not (entry.size or entry.holes or entry.link or entry.own))
        and bool(entry.target) == (entry.kind == "symlink")
        and (bool(entry.link) or not entry.own)
        and entry.size >= 0
    )
    end = 0
    for offset, length in entry.holes:
        fits = fits and offset >= end and length > 0
        end = offset + length
    if not fits or end > entry.size:
        raise Malformed(f"{_WHAT} says what cannot be of {path[:200]!r}")


def _misplaced(path: bytes) -> Malformed:
    return Malformed(f"{_WHAT} lists {path[:200]!r} where it does not belong")
