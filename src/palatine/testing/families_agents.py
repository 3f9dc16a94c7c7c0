"""Palaces of nexo: what its runtime writes, what its snapshotter expects, and a memdir in git."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from palatine.testing.families_stores import Made, database, sentence, uuid, write_json
from palatine.testing.files import create_memdir
from palatine.testing.text import Prose

_MEMORIES = """
CREATE TABLE memories(id TEXT PRIMARY KEY, agent_id TEXT, content TEXT, tags TEXT,
  created_at INTEGER, concept_tags TEXT, memory_type TEXT);
CREATE VIRTUAL TABLE memories_fts USING fts5(content, id UNINDEXED, agent_id UNINDEXED);
"""
_COMPACTIONS = """
CREATE TABLE compactions_v1(session_id TEXT, compacted_at INTEGER, summary TEXT,
  PRIMARY KEY(session_id, compacted_at));
CREATE TABLE compaction_locks_v1(session_id TEXT PRIMARY KEY);
"""
_DREAMS = "CREATE TABLE dream_runs(id TEXT PRIMARY KEY, goal_id TEXT, status TEXT);"


def _memories(rng: Random, count: int) -> list[tuple[object, ...]]:
    return [
        (uuid(rng), ("ana", "bob")[n % 2], sentence(rng), "[]", 1_700_000_000 + n, "[]", "fact")
        for n in range(count)
    ]


def _compactions(rng: Random, count: int) -> list[tuple[object, ...]]:
    return [(uuid(rng), 1_700_000_000 + n, sentence(rng)) for n in range(count)]


def make_nexo_runtime(root: Path, rng: Random) -> Made:
    """What the runtime writes: one memory.db for all agents, compactions and dreams beside it."""
    palace = root / "nexo" / "data"
    database(palace / "memory.db", _MEMORIES, {"memories": _memories(rng, 25)})
    database(palace / "compactions.db", _COMPACTIONS, {"compactions_v1": _compactions(rng, 6)})
    database(palace / "dream_runs.db", _DREAMS, {"dream_runs": [(uuid(rng), "g", "done")]})
    counts = {"memories": 25, "agents": 2, "compactions": 6, "dreams": 1}
    return Made(palace, "nexo", "nexo", {}, counts)


def make_nexo_snapshots(root: Path, rng: Random) -> Made:
    """What the snapshotter expects: four databases, and state beside them."""
    palace = root / "ana"
    database(palace / "long_term.sqlite", _MEMORIES, {"memories": _memories(rng, 14)})
    database(palace / "vector.sqlite", "CREATE TABLE vectors(id TEXT, v BLOB);", {})
    database(palace / "concepts.sqlite", "CREATE TABLE concepts(id TEXT);", {})
    compactions = {"compactions_v1": _compactions(rng, 2)}
    database(palace / "compactions.sqlite", _COMPACTIONS, compactions)
    write_json(palace / "state" / "extract_cursor.json", {"cursor": 17})
    write_json(palace / "state" / "dream_run.json", {"last": uuid(rng)})
    return Made(palace, "ana", "nexo", {}, {"memories": 14, "agents": 2, "compactions": 2})


def make_nexo_memdir(root: Path, rng: Random) -> Made:
    """A memdir in git, packed, with a transcript that its .gitignore names."""
    palace = root / "bob"
    create_memdir(palace, rng, _prose(), 20_000)
    notes = sum(1 for path in palace.rglob("*.md") if path.is_file())
    (palace / "transcripts").mkdir()
    (palace / "transcripts" / "today.json").write_text(sentence(rng, 400))
    (palace / "facts.yaml").write_text("name: bob\n")
    linked = sum(1 for path in palace.rglob("*.md") if path.is_symlink())
    return Made(palace, "bob", "nexo", {}, {"memory_files": notes - linked + 1})


@cache
def _prose() -> Prose:
    return Prose(1)
