"""Palaces that are a few databases and JSON files: trusty-memory, ai-memory, oxios, and others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

_WORDS = "the agent keeps a note of what it was told and where it found it again".split()
_WHEN = "2026-05-09T01:02:03.123456789"
REDB_MAGIC = b"redb\x1a\x0a\xa9\x0d\x0a"


class Made(NamedTuple):
    """A palace that was made: where, its name and layout, its outside parts, and its counts."""

    palace: Path
    name: str
    layout: str
    outside: dict[str, Path]
    counts: dict[str, int]


def sentence(rng: Random, words: int = 12) -> str:
    """Return some words."""
    return " ".join(rng.choices(_WORDS, k=words)) + f" {rng.randbytes(4).hex()}"


def uuid(rng: Random) -> str:
    """Return a random uuid."""
    text = rng.randbytes(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def write_json(path: Path, value: Any) -> None:
    """Write pretty JSON, and the directory for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))


def database(path: Path, schema: str, rows: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Write a database in WAL mode, closed as a service closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(schema)
        with db:
            for table, values in rows.items():
                for value in values:
                    marks = ",".join("?" * len(value))
                    db.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(value))


def _trusty_files(palace: Path, rng: Random, drawers: list[str], data_dir: str) -> None:
    write_json(
        palace / "palace.json",
        {
            "id": palace.name, "name": palace.name.title(), "description": None,
            "created_at": _WHEN + "Z", "data_dir": data_dir, "schema_version": 1,
        },
    )  # fmt: skip
    (palace / "identity.txt").write_text("I remember “what” I am told.\n")
    cached: list[dict[str, Any]] = [
        {"id": one, "room_id": uuid(rng), "content": sentence(rng), "importance": 0.5,
         "source_file": None, "created_at": _WHEN + "Z", "tags": [], "last_accessed_at": None,
         "access_count": 0}
        for one in drawers[:15]
    ]  # fmt: skip
    write_json(palace / "l1_cache.json", cached)
    write_json(palace / "dream_stats.json", {"last_run_at": _WHEN + "Z", "merged": 1, "pruned": 0})


_KG = """
CREATE TABLE entities(id TEXT PRIMARY KEY, name TEXT NOT NULL, entity_type TEXT NOT NULL,
  properties TEXT);
CREATE TABLE triples(id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL,
  predicate TEXT NOT NULL, object TEXT NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT,
  confidence REAL NOT NULL DEFAULT 1.0, provenance TEXT);
CREATE INDEX idx_triples_subj_active ON triples(subject) WHERE valid_to IS NULL;
CREATE TABLE drawers(id TEXT PRIMARY KEY, room_id TEXT NOT NULL, content TEXT NOT NULL,
  importance REAL NOT NULL DEFAULT 0.5, tags TEXT NOT NULL DEFAULT '[]', source_file TEXT,
  created_at TEXT NOT NULL);
"""


def make_trusty_sqlite(root: Path, rng: Random) -> Made:
    """A palace of the SQLite era: `data_dir` is absolute, two drawers are only in the L1 cache."""
    palace = root / "palaces" / "localLLM"
    palace.mkdir(parents=True)
    (root / "daemon.lock").write_text("4711\n")
    (root / "http_addr").write_text("127.0.0.1:3038")
    drawers = [uuid(rng) for _ in range(40)]
    _trusty_files(palace, rng, [uuid(rng), uuid(rng), *drawers], str(palace.absolute()))
    entities = [(f"e{n}", f"Entity {n}", "tool", None) for n in range(9)]
    triples = [
        (n, f"e{n % 9}", f"p{n}", sentence(rng, 2), _WHEN + "+00:00",
         None if n % 4 else _WHEN + "+00:00", 1.0, None)
        for n in range(1, 61)
    ]  # fmt: skip
    rows = [(one, uuid(rng), sentence(rng), 0.5, "[]", None, _WHEN + "+00:00") for one in drawers]
    database(palace / "kg.db", _KG, {"entities": entities, "triples": triples, "drawers": rows})
    events = [
        (n, palace.name, rng.getrandbits(60), n % 3, drawers[n], 0.5, _WHEN) for n in range(7)
    ]
    database(
        palace / "recall.db",
        "CREATE TABLE recall_events(id INTEGER PRIMARY KEY AUTOINCREMENT, palace_id TEXT,"
        " query_hash INTEGER, layer INTEGER, drawer_id TEXT, score REAL, occurred_at TEXT);",
        {"recall_events": events},
    )
    chats = [(uuid(rng), sentence(rng, 3), _WHEN, _WHEN, "[]") for _ in range(3)]
    database(
        palace / "chat_sessions.db",
        "CREATE TABLE chat_sessions(id TEXT PRIMARY KEY, title TEXT, created_at TEXT,"
        " updated_at TEXT, history TEXT);",
        {"chat_sessions": chats},
    )
    (palace / "index.usearch").write_bytes(b"usearch" + rng.randbytes(42 * 384))
    keymap = [[int.from_bytes(bytes.fromhex(one[:8] + one[9:13] + one[14:18]), "little"), one]
              for one in drawers]  # fmt: skip
    (palace / "index.usearch.keymap.json").write_text(json.dumps(keymap))
    counts = {
        "drawers": 42, "triples": 60, "active_triples": 45, "entities": 9, "recalls": 7, "chats": 3
    }  # fmt: skip
    return Made(palace, "localLLM", "trusty", {}, counts)


def make_trusty_redb(root: Path, rng: Random) -> Made:
    """A palace of the redb era, directly below the root, moved: `data_dir` leads elsewhere."""
    palace = root / "notes"
    palace.mkdir(parents=True)
    _trusty_files(palace, rng, [uuid(rng) for _ in range(5)], "/srv/elsewhere/trusty-memory/notes")
    for name in ("kg", "index.usearch", "recall", "chat_sessions", "payloads"):
        (palace / f"{name}.redb").write_bytes(REDB_MAGIC + rng.randbytes(3 * 4096))
    (palace / "kg.redb.v2-incompatible").write_bytes(REDB_MAGIC + rng.randbytes(4096))
    return Made(palace, "notes", "trusty", {}, {})


_AI_MEMORY = """
CREATE TABLE memories(id TEXT PRIMARY KEY, tier TEXT, namespace TEXT DEFAULT 'global', title TEXT,
  content TEXT, tags TEXT DEFAULT '[]', priority INTEGER, created_at TEXT, expires_at TEXT,
  metadata TEXT DEFAULT '{}', embedding BLOB,
  agent_id_idx TEXT GENERATED ALWAYS AS (json_extract(metadata, '$.agent_id')) VIRTUAL);
CREATE UNIQUE INDEX idx_memories_title_ns ON memories(title, namespace);
CREATE TABLE memory_links(source_id TEXT, target_id TEXT, relation TEXT DEFAULT 'related_to',
  created_at TEXT, PRIMARY KEY(source_id, target_id, relation));
CREATE VIRTUAL TABLE memories_fts USING fts5(title, content, tags, content=memories,
  content_rowid=rowid);
CREATE TRIGGER memories_ai AFTER INSERT ON memories BEGIN
  INSERT INTO memories_fts(rowid, title, content, tags)
  VALUES (new.rowid, new.title, new.content, new.tags); END;
CREATE TABLE archived_memories(id TEXT PRIMARY KEY, content TEXT);
CREATE TABLE schema_version(version INTEGER);
"""


def make_ai_memory(root: Path, rng: Random) -> Made:
    """A database with full text, expired memories, and what a restore of its own left beside."""
    palace = root / "ai-memory"
    memories = [
        (uuid(rng), "long", "global", f"title {n}", sentence(rng), "[]", 5, _WHEN,
         _WHEN if n % 5 == 0 else None, '{"agent_id": "ana"}', rng.randbytes(384 * 4))
        for n in range(30)
    ]  # fmt: skip
    links = [(memories[n][0], memories[n + 1][0], "related_to", _WHEN) for n in range(11)]
    archived = [(uuid(rng), sentence(rng)) for _ in range(4)]
    rows: dict[str, list[Any]] = {
        "memories": memories, "memory_links": links, "archived_memories": archived,
        "schema_version": [(28,)],
    }  # fmt: skip
    database(palace / "ai-memory.db", _AI_MEMORY, rows)
    old = palace / "ai-memory.pre-restore-2026-05-09T010203Z.db"
    database(old, "CREATE TABLE memories(id TEXT);", {})
    counts = {"memories": 30, "links": 11, "archived": 4}
    return Made(palace, "ai-memory", "ai-memory", {}, counts)


def make_oxios(root: Path, rng: Random) -> Made:
    """A workspace with sections, databases, a lock, and the agents' log outside of it."""
    home = root / ".oxios"
    base = home / "workspace"
    sections = {"sessions": 4, "agents": 1, "memory/facts": 3, "memory/conversations": 2}
    for category, count in sections.items():
        for _ in range(count):
            entry = {"id": uuid(rng), "content": sentence(rng), "pinned": False}
            write_json(base / category / f"{uuid(rng)}.json", entry)
    (base / "agents" / f"x.json.4711.{uuid(rng)}.tmp").write_text("{")
    write_json(base / "memory" / "vector_index_snapshot.json", {"vectors": [[0.5] * 8] * 4})
    write_json(base / "memory" / ".dream_checkpoint.json", {"at": _WHEN})
    (base / "memory" / ".dream.lock").touch()
    (base / "memory" / "dream_reports").mkdir()
    memories = [(uuid(rng), "fact", sentence(rng)) for _ in range(12)]
    database(
        base / "memory.db",
        "CREATE TABLE memories(id TEXT PRIMARY KEY, memory_type TEXT, content TEXT);"
        "CREATE TABLE projects(id TEXT PRIMARY KEY);",
        {"memories": memories, "projects": [("one",), ("two",)]},
    )
    database(base / "tasks.db", "CREATE TABLE tasks(id TEXT);", {"tasks": [("t",)]})
    log = home / "state" / "agent_log.db"
    database(log, "CREATE TABLE log(line TEXT);", {"log": [(sentence(rng),) for _ in range(9)]})
    (home / "config.toml").write_text('[llm]\napi_key = "not for a snapshot"\n')
    (home / "logs").mkdir()
    (home / "logs" / "oxios.log").write_text("started\n")
    counts = {**sections, "memories": 12, "projects": 2}
    return Made(base, "oxios", "oxios", {"agent-log": log}, counts)


def make_generic(root: Path, rng: Random) -> Made:
    """A palace that nobody knows: a database, a palace.json that says other things, notes."""
    palace = root / "diary"
    write_json(palace / "palace.json", {"rooms": 12})
    (palace / "notes.md").write_text(sentence(rng))
    database(palace / "things.db", "CREATE TABLE things(id TEXT);", {"things": [("a",)]})
    return Made(palace, "diary", "generic", {}, {})
