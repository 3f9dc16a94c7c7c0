"""nexo: what its runtime writes (`memory.db`, `compactions.db`), what its snapshotter expects
(`long_term.sqlite` and its sisters, JSON of state), and memdirs kept in git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from palatine.layouts.base import Held, Identity, Image, Layout, has_file, query_counts
from palatine.layouts.merging import OWN, Owned, Table, Treatment

_RUNTIME = ("compactions.db", "dream_runs.db")
_SNAPSHOTTED = ("long_term.sqlite", "vector.sqlite", "concepts.sqlite", "compactions.sqlite")
_STATE = ("extract_cursor.json", "dream_run.json")
_DATABASES = ("memory.db", *_RUNTIME, *_SNAPSHOTTED)
_AGENT = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?\Z")
_NOTES = (b".md", b".json", b".yaml", b".yml")
_KINDS = {
    b"memory.db": "memories",
    b"compactions.db": "compactions",
    b"dream_runs.db": "dreams",
    b"long_term.sqlite": "memories",
    b"vector.sqlite": "vector-index",
    b"concepts.sqlite": "knowledge-graph",
    b"compactions.sqlite": "compactions",
    b".git": "git",
    b"MEMORY.md": "text",
    b"transcripts": "chat",
    b"state": "state",
    b"extract_cursor.json": "state",
    b"dream_run.json": "state",
}


_TABLES = {
    "memories": Table(owned=(Owned("memories_fts", "id", "id"),)),
    "compaction_locks_v1": OWN,
}


class Nexo(Layout):
    """Palaces of nexo: an agent's memdir, its databases, its state, or all in one directory."""

    name = "nexo"

    def recognise(self, path: Path) -> bool:
        """A directory with the runtime's databases, the snapshotter's, its state, or a memdir."""
        return (
            (has_file(path, "memory.db") and (has_file(path, *_RUNTIME) or path.name == "data"))
            or has_file(path, *_SNAPSHOTTED)
            or has_file(path, *_STATE)
            or has_file(path / "state", *_STATE)
            or (os.path.isdir(path / ".git") and has_file(path, "MEMORY.md"))
        )

    def palace_name(self, path: Path) -> str | None:
        """Return the name of what `data` belongs to: that word says nothing."""
        return path.parent.name.lstrip(".") or None if path.name == "data" else None

    def against_name(self, name: str) -> str | None:
        """Take what nexo takes for an agent."""
        if _AGENT.match(name):
            return None
        return "1 to 64 small letters, digits, '_' or '-', with a letter or digit at both ends"

    def identity(self) -> Sequence[Held]:
        """Return the columns that say whose the rows are: a palace may be one agent's."""
        return tuple(
            Held(os.fsencode(name), "agent_id", Identity.NAME, database=True) for name in _DATABASES
        )

    def artifact_kind(self, path: bytes) -> str | None:
        """Name databases and state by their last name; a memdir's notes are text."""
        name = path.rpartition(b"/")[2]
        if name in _KINDS:
            return _KINDS[name]
        return "text" if b"/" not in path and name.endswith(_NOTES) else None

    def is_derived(self, path: bytes) -> bool:
        """Vectors can be computed anew from the memories, the index of git from the files."""
        return path == b"vector.sqlite" or path.endswith(b".git/index")

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """A memory's full text is found by its id; locks are this palace's."""
        return _TABLES

    def merge_file(self, path: bytes) -> Treatment:
        """How far its runs are is this palace's alone."""
        if path.rpartition(b"/")[2] in map(os.fsencode, _STATE):
            return Treatment.OWN
        return super().merge_file(path)

    def counts(self, image: Image) -> dict[str, int]:
        """Count memories and agents, compactions, dreams, and the files of memdirs."""
        counts: dict[str, int] = {}
        memories = {
            "memories": "SELECT count(*) FROM memories",
            "agents": "SELECT count(DISTINCT agent_id) FROM memories",
        }
        for path in (b"long_term.sqlite", b"memory.db"):
            counts |= query_counts(image, path, memories)
        compactions = {"compactions": "SELECT count(*) FROM compactions_v1"}
        for path in (b"compactions.sqlite", b"compactions.db"):
            counts |= query_counts(image, path, compactions)
        counts |= query_counts(
            image, b"dream_runs.db", {"dreams": "SELECT count(*) FROM dream_runs"}
        )
        notes = sum(_is_note(path) for path in image.walk())
        if notes:
            counts["memory_files"] = notes
        return counts


def _is_note(path: bytes) -> bool:
    *directories, name = path.split(b"/")
    if ".git" in map(os.fsdecode, directories) or directories[:1] in ([b"state"], [b"transcripts"]):
        return False
    return name.endswith(_NOTES) and os.fsdecode(name) not in _STATE
