"""What is asked of a capture of databases, and what came of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from palatine.capture.files import FileContent
from palatine.clock import Clock
from palatine.ids import ObjectId
from palatine.model.snapshot import CapturedAs, Missing


@dataclass(frozen=True, eq=False)
class Root:
    """A directory below which databases lie: open, and by its path.

    `noted` are the signatures that were noted last time, by path; `old` is the parent's tree.
    """

    directory: int
    place: bytes
    noted: dict[bytes, bytes] = field(default_factory=dict)
    old: ObjectId | None = None


class Target(NamedTuple):
    """A database to capture; `again`: whatever was noted of it."""

    root: Root
    path: bytes
    again: bool = False


@dataclass(frozen=True)
class Terms:
    """What holds for every database of a capture: block size, patience in seconds, the clock, and
    when the capture began.
    """

    block: int
    patience: float
    clock: Clock
    began_ns: int


class Taken(NamedTuple):
    """A database as it was captured; without `content` it is as it was when last captured.

    `signature` tells it from a changed one, `how` how it was held still; `note` is for people.
    """

    signature: bytes
    how: CapturedAs
    content: FileContent | None
    note: str = ""


Outcome = Taken | Missing
