"""What every directory of one walk shares, and what a walk finds."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple

from palatine.capture.excludes import Exclude, nothing
from palatine.capture.files import FileReader
from palatine.capture.outcomes import Outcome
from palatine.capture.owners import Owners
from palatine.capture.pieces import Counts
from palatine.capture.signatures import Signatures
from palatine.capture.sink import Sink
from palatine.clock import SYSTEM, Clock
from palatine.events import Reporter
from palatine.ids import ObjectId
from palatine.model.snapshot import Missing
from palatine.model.tree import Entry


@dataclass
class Findings:
    """What a walk found besides the tree: what is missing from it, and what was left out."""

    missing: list[Missing] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    torn: list[bytes] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)

    def mark(self) -> tuple[int, int, int]:
        """Return how much has been found so far."""
        return len(self.missing), len(self.left_out), len(self.torn)


class Subdirectory(NamedTuple):
    """A directory done: its tree and what is in it."""

    tree: ObjectId
    counts: Counts


Walk = Generator["Walk", Subdirectory, Subdirectory]
"""A directory being walked: yields the walk of a subdirectory and is sent what came of it."""


@dataclass
class Context:
    """What every directory of one walk shares.

    `avoid` are (device, inode) of directories that are never entered: the repository, the cache.
    `databases` are those that were captured before the walk, by path; `take_database` captures one
    that the walk came upon, whatever was noted of it.
    """

    sink: Sink
    files: FileReader
    signatures: Signatures
    reporter: Reporter
    began_ns: int
    exclude: Exclude = nothing
    avoid: frozenset[tuple[int, int]] = frozenset()
    unsafe: bool = False
    findings: Findings = field(default_factory=Findings)
    owners: Owners = field(default_factory=Owners)
    first_links: dict[tuple[int, int], bytes] = field(default_factory=dict)
    databases: dict[bytes, Outcome] = field(default_factory=dict)
    take_database: Callable[[bytes], Outcome | None] = lambda _: None
    first_entries: dict[tuple[int, int], tuple[bytes, Entry]] = field(default_factory=dict)
    clock: Clock = SYSTEM

    def take(self, path: bytes) -> Outcome | None:
        """Capture a database that the walk came upon, or that it wants whatever was noted of it."""
        outcome = self.take_database(path)
        if outcome is not None:
            self.databases[path] = outcome
        return outcome

    def miss(self, path: bytes, error: OSError) -> None:
        """Record what cannot be read; raises the error when it is our own disk that is full."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error
        self.findings.missing.append(Missing(path, error.strerror or str(error)))

    def forget(self, path: bytes, found: tuple[int, int, int]) -> None:
        """Take back what a walk of the directory at `path` left here: it is walked again.

        Signatures stay: what they say of a piece is true.
        """
        missing, left_out, torn = found
        del self.findings.missing[missing:]
        del self.findings.left_out[left_out:]
        del self.findings.torn[torn:]
        links = self.first_links
        self.first_links = {at: one for at, one in links.items() if not one.startswith(path)}
        self.first_entries = {}
