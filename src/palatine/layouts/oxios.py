"""oxios: a workspace of categories of JSON and Markdown, two databases, and a log outside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from palatine.layouts.base import Image, Layout, OutsidePart, has_file, query_counts
from palatine.layouts.merging import OWN, Table, Treatment

_MEMORY = (
    "conversations", "sessions", "facts", "episodes", "knowledge", "skills", "preferences",
    "decisions", "profiles",
)  # fmt: skip
CATEGORIES = (
    "sessions", "agents", "agent_groups", "evals", "seeds", "personas/index", "config", "cron",
    "email_sent", "knowledge-saves", "token-maxing", "skills",
    *(f"memory/{name}" for name in _MEMORY),
)  # fmt: skip
"""What oxios calls sections: each entry is a file `NAME.json` or `NAME.md` in its directory."""
_KINDS = {
    b"memory.db": "memories",
    b"tasks.db": "tasks",
    b"memory": "memories",
    b"sessions": "chat",
    b"personas": "config",
    b"config": "config",
    b"skills": "text",
    b"backups": "set-aside",
    b"@agent-log": "log",
}


_TABLES = {
    "memories": Table(greatest=frozenset({"access_count", "accessed_at"})),
    "embedding_cache": OWN,
    "dream_state": OWN,
}
_STATE = {b"memory/.dream_checkpoint.json", b"memory/.dream.lock"}


class Oxios(Layout):
    """Workspaces of oxios."""

    name = "oxios"

    def recognise(self, path: Path) -> bool:
        """A directory with both databases, or with sections of memory beside others."""
        if has_file(path, "memory.db") and has_file(path, "tasks.db"):
            return True
        memory = any(os.path.isdir(path / "memory" / name) for name in _MEMORY)
        others = ("sessions", "agents", "agent_groups", "evals", "seeds", "personas")
        return memory and (
            has_file(path, "memory.db", "tasks.db")
            or any(os.path.isdir(path / name) for name in others)
        )

    def is_home(self, directory: Path) -> bool:
        """`~/.oxios`: the workspace lies beside logs, state and credentials."""
        return self.recognise(directory / "workspace")

    def palace_name(self, path: Path) -> str | None:
        """Return the name of what `workspace` belongs to: that word says nothing."""
        return path.parent.name.lstrip(".") or None if path.name == "workspace" else None

    def outside(self, path: Path) -> list[OutsidePart]:
        """Return the agents' log, which lies beside the workspace."""
        place = path.parent / "state" / "agent_log.db"
        return [OutsidePart("agent-log", place)] if os.path.isfile(place) else []

    def artifact_kind(self, path: bytes) -> str | None:
        """Name databases and sections."""
        return _KINDS.get(path.partition(b"/")[0] if path.startswith(b"@") else path)

    def is_derived(self, path: bytes) -> bool:
        """The snapshot of the vector index is made from the memories."""
        return path == b"memory/vector_index_snapshot.json"

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """How often a memory was read makes no difference; caches and dreams are this palace's."""
        return _TABLES if path == b"memory.db" else {}

    def merge_file(self, path: bytes) -> Treatment:
        """Where its dreams are is this palace's alone, and so are files half written."""
        if path in _STATE or path.endswith(b".tmp"):
            return Treatment.OWN
        return super().merge_file(path)

    def counts(self, image: Image) -> dict[str, int]:
        """Count each section that is not empty, and the rows of the databases."""
        counts = {}
        for category in CATEGORIES:
            paths = image.files(category.encode())
            if found := sum(path.endswith((b".json", b".md")) for path in paths):
                counts[category] = found
        counts |= query_counts(
            image,
            b"memory.db",
            {
                "memories": "SELECT count(*) FROM memories",
                "projects": "SELECT count(*) FROM projects",
            },
        )
        return counts
