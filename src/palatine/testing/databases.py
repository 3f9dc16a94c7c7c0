"""SQLite databases of a palace: remembered texts with embeddings, and a store of triples.

Each lives in WAL mode and is closed with a TRUNCATE checkpoint, so that between two days nothing
but the main file remains. Days touch rows all over the tables, as recall and dreaming do.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from palatine.testing.text import Prose, hex_id, log_normal_size, stamp
from palatine.testing.vectors import Vectors

_TEXT_ROW_BYTES = 4_520  # measured: bytes of database per remembered text
_TRIPLE_BYTES = 210  # measured: bytes of database per triple, with its entities
_TEXT_MEAN = 900
_TRANSACTIONS = 6  # a day's work is committed in several pieces

_MEMORIES = """
CREATE TABLE memories(
  id TEXT PRIMARY KEY, tier TEXT NOT NULL, namespace TEXT NOT NULL, title TEXT NOT NULL,
  content TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '[]', priority INTEGER NOT NULL,
  access_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  metadata TEXT NOT NULL DEFAULT '{}', embedding BLOB);
CREATE INDEX idx_memories_namespace ON memories(namespace, updated_at);
CREATE VIRTUAL TABLE memories_fts USING fts5(
  title, content, tags, content=memories, content_rowid=rowid);
CREATE TRIGGER memories_ai AFTER INSERT ON memories BEGIN
  INSERT INTO memories_fts(rowid, title, content, tags)
  VALUES (new.rowid, new.title, new.content, new.tags); END;
CREATE TRIGGER memories_ad AFTER DELETE ON memories BEGIN
  INSERT INTO memories_fts(memories_fts, rowid, title, content, tags)
  VALUES ('delete', old.rowid, old.title, old.content, old.tags); END;
CREATE TRIGGER memories_au AFTER UPDATE OF title, content, tags ON memories BEGIN
  INSERT INTO memories_fts(memories_fts, rowid, title, content, tags)
  VALUES ('delete', old.rowid, old.title, old.content, old.tags);
  INSERT INTO memories_fts(rowid, title, content, tags)
  VALUES (new.rowid, new.title, new.content, new.tags); END;
"""
_TRIPLES = """
CREATE TABLE entities(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, entity_type TEXT NOT NULL, properties TEXT);
CREATE TABLE triples(
  id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, predicate TEXT NOT NULL,
  object TEXT NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT,
  confidence REAL NOT NULL DEFAULT 1.0, provenance TEXT);
CREATE INDEX idx_triples_subj_active ON triples(subject) WHERE valid_to IS NULL;
CREATE INDEX idx_triples_object ON triples(object);
"""
_PREDICATES = ("knows", "part_of", "prefers", "works_on", "located_in", "depends_on", "said")


class Texts:
    """A database of remembered texts with full-text index and embeddings."""

    def __init__(self, prose: Prose, vectors: Vectors) -> None:
        self._prose = prose
        self._vectors = vectors

    def create(self, path: Path, rng: Random, size: int) -> None:
        """Write a new database of about `size` bytes."""
        with _new_database(path, _MEMORIES) as db:
            rows = (self._row(rng, 0) for _ in range(max(4, size // _TEXT_ROW_BYTES)))
            db.executemany("INSERT INTO memories VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)

    def live_a_day(self, path: Path, rng: Random, day: int, share: float) -> None:
        """Add, change, recall and delete `share` (0 to 1) of the rows."""
        with _database(path) as db:
            count = _rows(db, "memories")
            for part in _parts(rng, max(2, round(count * share))):
                with db:
                    for action in part:
                        self._act(db, rng, day, action)

    def _act(self, db: sqlite3.Connection, rng: Random, day: int, action: float) -> None:
        rowid = _any_row(db, rng, "memories")
        now = stamp(day, int(rng.random() * 86_400))
        if action < 0.35:
            values = self._row(rng, day)
            db.execute("INSERT INTO memories VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", values)
        elif action < 0.60:
            note = self._prose.note(rng, log_normal_size(rng, _TEXT_MEAN, 60, 12_000))
            vector = self._vectors.draw(rng)
            db.execute(
                "UPDATE memories SET content = ?, updated_at = ?, embedding = ? WHERE rowid = ?",
                (note.body, now, vector, rowid),
            )
        elif action < 0.85:
            db.execute(
                "UPDATE memories SET access_count = access_count + 1, updated_at = ?"
                " WHERE rowid = ?",
                (now, rowid),
            )
        else:
            db.execute("DELETE FROM memories WHERE rowid = ?", (rowid,))

    def _row(self, rng: Random, day: int) -> tuple[Any, ...]:
        note = self._prose.note(rng, log_normal_size(rng, _TEXT_MEAN, 60, 12_000))
        created = stamp(day, int(rng.random() * 86_400))
        tier = ("short", "mid", "long")[int(rng.random() * 3)]
        return (
            hex_id(rng), tier, note.tags[0][:1], note.title, note.body, json.dumps(note.tags),
            int(rng.random() * 10), 0, created, created, "{}", self._vectors.draw(rng),
        )  # fmt: skip


class Triples:
    """A knowledge graph: facts between entities, each with the time in which it held."""

    def __init__(self, prose: Prose) -> None:
        self._prose = prose

    def create(self, path: Path, rng: Random, size: int) -> None:
        """Write a new database of about `size` bytes."""
        count = max(16, size // _TRIPLE_BYTES)
        names = [self._name(rng) for _ in range(max(4, count // 8))]
        with _new_database(path, _TRIPLES) as db:
            entities = (self._entity(name, rng) for name in dict.fromkeys(names))
            db.executemany("INSERT INTO entities VALUES (?,?,?,?)", entities)
            triples = (self._triple(rng, names, 0) for _ in range(count))
            db.executemany("INSERT INTO triples VALUES (NULL,?,?,?,?,NULL,?,?)", triples)

    def live_a_day(self, path: Path, rng: Random, day: int, share: float) -> None:
        """Add, end and delete `share` (0 to 1) of the facts."""
        with _database(path) as db:
            names = [name for (name,) in db.execute("SELECT id FROM entities ORDER BY id")]
            count = _rows(db, "triples")
            for part in _parts(rng, max(2, round(count * share))):
                with db:
                    for action in part:
                        self._act(db, rng, names, day, action)

    def _act(
        self, db: sqlite3.Connection, rng: Random, names: list[str], day: int, action: float
    ) -> None:
        if action < 0.45:
            triple = self._triple(rng, names, day)
            db.execute("INSERT INTO triples VALUES (NULL,?,?,?,?,NULL,?,?)", triple)
            return
        rowid = _any_row(db, rng, "triples")
        if action < 0.8:
            now = stamp(day, int(rng.random() * 86_400))
            db.execute("UPDATE triples SET valid_to = ? WHERE id = ?", (now, rowid))
        else:
            db.execute("DELETE FROM triples WHERE id = ?", (rowid,))

    def _name(self, rng: Random) -> str:
        return f"{self._prose.name(rng)}-{int(rng.random() * 1000)}"

    def _entity(self, name: str, rng: Random) -> tuple[str, str, str, str]:
        properties = json.dumps({"note": self._prose.sentences(rng, 60)})
        kind = ("project", "place", "tool")[int(rng.random() * 3)]
        return name, name.replace("-", " ").title(), kind, properties

    def _triple(self, rng: Random, names: list[str], day: int) -> tuple[Any, ...]:
        count = len(names)
        return (
            names[int(rng.random() * count)],
            _PREDICATES[int(rng.random() * len(_PREDICATES))],
            names[int(rng.random() ** 2 * count)],
            stamp(day, int(rng.random() * 86_400)),
            round(rng.random(), 3),
            f"drawer:{rng.randbytes(6).hex()}",
        )


@contextmanager
def _new_database(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """A new database filled without a journal, which nobody can see yet, and then left in WAL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -65536")
        db.executescript(schema)
        with db:
            yield db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA synchronous = OFF")
        yield db
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def _parts(rng: Random, count: int) -> Iterator[list[float]]:
    """A day's actions, each a number from 0 to 1, in the pieces in which they are committed."""
    step = -(-count // _TRANSACTIONS)
    for start in range(0, count, step):
        yield [rng.random() for _ in range(min(step, count - start))]


def _rows(db: sqlite3.Connection, table: str) -> int:
    """The greatest rowid: near enough to the count, and free of a scan."""
    (last,) = db.execute(f"SELECT max(rowid) FROM {table}").fetchone()
    return int(last or 0)


def _any_row(db: sqlite3.Connection, rng: Random, table: str) -> int:
    """A rowid anywhere in the table (some gaps make their follower likelier, which is fine)."""
    start = int(rng.random() * _rows(db, table)) + 1
    row = db.execute(f"SELECT min(rowid) FROM {table} WHERE rowid >= ?", (start,)).fetchone()
    return int(row[0] or 0)
