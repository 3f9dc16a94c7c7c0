"""ai-memory: one database, `ai-memory.db`, named by itself or with the directory around it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from palatine.layouts.base import Image, Layout, has_file, query_counts
from palatine.layouts.merging import OWN, Reference, Table

_DATABASE = "ai-memory.db"
_MEMORY = Reference("memories", "id")
_TABLES = {
    "memories": Table(greatest=frozenset({"access_count", "last_accessed_at"})),
    "memory_links": Table(references={"source_id": _MEMORY, "target_id": _MEMORY}),
    "sync_state": OWN,
}


class AiMemory(Layout):
    """Palaces of ai-memory."""

    name = "ai-memory"

    def recognise(self, path: Path) -> bool:
        """The database, or a directory with it."""
        if os.path.isdir(path):
            return has_file(path, _DATABASE)
        return path.name == _DATABASE and os.path.isfile(path)

    def find_in(self, directory: Path) -> Iterator[Path]:
        """Take the directory when all in it is ai-memory's, and else only the database."""
        if has_file(directory, _DATABASE):
            own = all(
                name.startswith("ai-memory") or name == "backups" for name in _names(directory)
            )
            yield directory if own else directory / _DATABASE

    def artifact_kind(self, path: bytes) -> str | None:
        """Name the database, and what restores and backups of its own left beside it."""
        if path == os.fsencode(_DATABASE):
            return "memories"
        if path == b"backups" or path.startswith(b"ai-memory.pre-restore-"):
            return "set-aside"
        return None

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """How often a memory was read makes no difference; how far peers are is this palace's."""
        return _TABLES if path == os.fsencode(_DATABASE) else {}

    def counts(self, image: Image) -> dict[str, int]:
        """Count memories (expired ones too), links, the archive and transcripts."""
        return query_counts(
            image,
            os.fsencode(_DATABASE),
            {
                "memories": "SELECT count(*) FROM memories",
                "links": "SELECT count(*) FROM memory_links",
                "archived": "SELECT count(*) FROM archived_memories",
                "transcripts": "SELECT count(*) FROM memory_transcripts",
            },
        )


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
