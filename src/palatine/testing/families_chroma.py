"""A palace of mempalace: Chroma's database and segments, and all that lies beside the palace."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from palatine.testing.families_stores import Made, database, sentence, uuid, write_json

_ELEMENT = 1676
_SPARSE = 8 << 20
"""Bytes of a link_lists.bin that are almost all holes."""
_CHROMA = """
CREATE TABLE migrations(dir TEXT, version INTEGER, filename TEXT, sql TEXT, hash TEXT,
  PRIMARY KEY(dir, version));
CREATE TABLE tenants(id TEXT PRIMARY KEY);
CREATE TABLE databases(id TEXT PRIMARY KEY, name TEXT, tenant_id TEXT);
CREATE TABLE collections(id TEXT PRIMARY KEY, name TEXT, dimension INTEGER, database_id TEXT,
  config_json_str TEXT, schema_str TEXT, UNIQUE(name, database_id));
CREATE TABLE segments(id TEXT PRIMARY KEY, type TEXT, scope TEXT, collection TEXT);
CREATE TABLE embeddings(id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id BLOB,
  created_at TEXT, UNIQUE(segment_id, embedding_id));
CREATE TABLE embedding_metadata(id INTEGER, key TEXT, string_value TEXT, int_value INTEGER,
  float_value REAL, bool_value INTEGER, PRIMARY KEY(id, key));
CREATE TABLE max_seq_id(segment_id TEXT PRIMARY KEY, seq_id INTEGER);
CREATE TABLE embeddings_queue(seq_id INTEGER PRIMARY KEY, created_at TEXT, operation INTEGER,
  topic TEXT, id TEXT, vector BLOB, encoding TEXT, metadata TEXT);
CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram');
"""
_GRAPH = """
CREATE TABLE entities(id TEXT PRIMARY KEY, name TEXT, type TEXT, properties TEXT, created_at TEXT);
CREATE TABLE triples(id TEXT PRIMARY KEY, subject TEXT, predicate TEXT, object TEXT,
  valid_from TEXT, valid_to TEXT, confidence REAL, source_closet TEXT, source_file TEXT,
  source_drawer_id TEXT, adapter_name TEXT, extracted_at TEXT);
"""
_DATABASE = "00000000-0000-0000-0000-000000000000"


def make_mempalace(root: Path, rng: Random) -> Made:
    """`~/.mempalace` with a palace in it, quarantined segments and an earlier backup included."""
    home = root / ".mempalace"
    palace = home / "palace"
    palace.mkdir(parents=True)
    home.chmod(0o700)
    drawers, closets = 33, 5
    _chroma(palace, rng, {"mempalace_drawers": drawers, "mempalace_closets": closets})
    broken = palace / f"{uuid(rng)}.drift-20260509-010203"
    broken.mkdir()
    (broken / "data_level0.bin").write_bytes(rng.randbytes(2 * _ELEMENT))
    for marker in (".blob_seq_ids_migrated", ".collection_type_fixed"):
        (palace / marker).touch()
    outside = _beside(home, palace, rng)
    (home / "wal").mkdir()
    (home / "wal" / "write_log.jsonl").write_text('{"op": "add", "content": "[REDACTED]"}\n')
    (home / "locks").mkdir()
    (home / "palace.backup").mkdir()
    (home / "palace.backup" / "chroma.sqlite3").write_bytes(
        (palace / "chroma.sqlite3").read_bytes()
    )
    counts = {
        "drawers": drawers, "closets": closets, "triples": 21, "entities": 8, "tunnels": 2,
        "hallways": 3,
    }  # fmt: skip
    return Made(palace, "mempalace", "mempalace", outside, counts)


def _chroma(palace: Path, rng: Random, collections: dict[str, int]) -> None:
    rows: dict[str, list[Sequence[Any]]] = {
        "tenants": [("default_tenant",)],
        "databases": [(_DATABASE, "default_database", "default_tenant")],
        "collections": [], "segments": [], "embeddings": [], "embedding_metadata": [],
    }  # fmt: skip
    number = 0
    for name, count in collections.items():
        collection, metadata, vector = uuid(rng), uuid(rng), uuid(rng)
        rows["collections"].append((collection, name, 384, _DATABASE, "{}", None))
        kinds = (("sqlite", "METADATA", metadata), ("hnsw-local-persisted", "VECTOR", vector))
        for kind, scope, segment in kinds:
            urn = f"urn:chroma:segment/{scope.lower()}/{kind}"
            rows["segments"].append((segment, urn, scope, collection))
        for at in range(count):
            number += 1
            drawer = f"drawer_wing_room_{rng.randbytes(12).hex()}"
            rows["embeddings"].append((number, metadata, drawer, at, "2026-05-09 01:02:03"))
            document = (number, "chroma:document", sentence(rng), None, None, None)
            rows["embedding_metadata"].append(document)
        _segment(palace / vector, rng, count)
    database(palace / "chroma.sqlite3", _CHROMA, rows)


def _segment(folder: Path, rng: Random, count: int) -> None:
    """An HNSW segment whose link lists were grown by seeking: nearly all of it is a hole."""
    folder.mkdir()
    (folder / "data_level0.bin").write_bytes(rng.randbytes(count * _ELEMENT))
    (folder / "header.bin").write_bytes(rng.randbytes(100))
    (folder / "length.bin").write_bytes(rng.randbytes(4 * count))
    with (folder / "link_lists.bin").open("wb") as file:
        file.write(rng.randbytes(4096))
        file.seek(_SPARSE - 4096, os.SEEK_SET)
        file.write(rng.randbytes(4096))
    index = {"dimensionality": 384, "total_elements_added": count, "id_to_label": {}}
    (folder / "index_metadata.pickle").write_bytes(pickle.dumps(index))


def _beside(home: Path, palace: Path, rng: Random) -> dict[str, Path]:
    entities = [(f"e{n}", f"Entity {n}", "person", "{}", "2026-05-09") for n in range(8)]
    triples = [
        (f"t_e{n % 8}_knows_{n}_{rng.randbytes(6).hex()}", f"e{n % 8}", "knows", f"e{n % 5}",
         None, None, 1.0, None, None, None, None, "2026-05-09")
        for n in range(21)
    ]  # fmt: skip
    graph = home / "knowledge_graph.sqlite3"
    database(graph, _GRAPH, {"entities": entities, "triples": triples})
    config = {
        "palace_path": str(palace.absolute()), "collection_name": "mempalace_drawers",
        "topic_wings": ["emotions"], "hall_keywords": {},
    }  # fmt: skip
    write_json(home / "config.json", config)
    (home / "config.json").chmod(0o600)
    write_json(home / "tunnels.json", [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}])
    write_json(home / "hallways.json", {"schema_version": 1, "hallways": [{}, {}, {}]})
    write_json(home / "known_entities.json", {"people": ["Ana"]})
    write_json(home / "entity_registry.json", {"Ana": {"type": "person"}})
    (home / "identity.txt").write_text("I assist Ana.\n")
    return {
        "knowledge-graph": graph,
        "config": home / "config.json",
        "tunnels": home / "tunnels.json",
        "hallways": home / "hallways.json",
        "known-entities": home / "known_entities.json",
        "entity-registry": home / "entity_registry.json",
        "identity": home / "identity.txt",
    }
