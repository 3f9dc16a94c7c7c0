"""Palaces of every family merged: nothing of theirs is lost, and what cannot be merged is told."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from tests.restore.merging import Pair, counts, insert, report_of, rows, whys, write

import palatine
from palatine.testing.families import FAMILIES

WHEN = "2026-05-09T01:02:03+00:00"


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Two palaces of the family that the test names, made apart from each other."""
    make = FAMILIES[request.param]
    ours = make(tmp_path / "ours", Random(f"ours {request.param}"))
    theirs = make(tmp_path / "theirs", Random(f"theirs {request.param}"))
    return Pair(tmp_path, ours.palace, theirs.palace)


def family(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [name], indirect=True, ids=[name])


def triples(path: Path, count: int, of: str, active: bool = True) -> None:
    """Have a graph hold so many triples with numbers from 1, as every palace counts its own."""
    ends = None if active else WHEN
    values = [
        (n, f"{of} {n}", "knows", f"object {n}", WHEN, ends, 1.0, None) for n in range(1, count + 1)
    ]
    write(path, "DELETE FROM triples", insert("triples", values))


@family("trusty-sqlite")
def test_trusty_100_of_100_triples_survive_in_a_palace_with_120(pair: Pair) -> None:
    """The system's own tool, which goes by AUTOINCREMENT ids, loses all 100 and says nothing."""
    triples(pair.ours / "kg.db", 120, "ours")
    triples(pair.theirs / "kg.db", 100, "theirs")
    report = report_of(pair.merge())
    assert counts(report, "triples") == (100, 120, 0, 0, 0)
    subjects = rows(pair.ours / "kg.db", "SELECT subject FROM triples")
    assert sum(one.startswith("theirs") for one in subjects) == 100
    assert sum(one.startswith("ours") for one in subjects) == 120
    assert rows(pair.ours / "kg.db", "SELECT count(DISTINCT id) FROM triples") == [220]
    assert counts(report, "drawers") == (40, 40, 0, 0, 0)
    assert not report_of(pair.merge()).changed


@family("trusty-sqlite")
def test_trusty_recalls_are_told_by_what_they_say(pair: Pair) -> None:
    """One of theirs is one of ours under another number, and each looks for its palace's name."""
    ours, theirs = pair.ours / "recall.db", pair.theirs / "recall.db"
    one = rows(ours, "SELECT * FROM recall_events WHERE id = 3")[0]
    write(theirs, insert("recall_events", [(77, *one[1:])]))
    write(theirs, "UPDATE recall_events SET palace_id = 'elsewhere'")
    report = report_of(pair.merge())
    assert counts(report, "recall_events") == (7, 7, 0, 0, 0)
    assert rows(ours, "SELECT DISTINCT palace_id FROM recall_events") == ["localLLM"]
    assert not report_of(pair.merge()).changed


@family("trusty-sqlite")
def test_trusty_only_one_triple_of_a_subject_and_predicate_is_active(pair: Pair) -> None:
    for path, name in ((pair.ours, "ours"), (pair.theirs, "theirs")):
        triples(path / "kg.db", 5, "same")
        write(path / "kg.db", f"UPDATE triples SET object = '{name}' WHERE id < 3")
    report = report_of(pair.merge())
    assert whys(report) == [("triples", "only-one")] * 2
    active = "SELECT object FROM triples WHERE valid_to IS NULL AND subject = 'same 1'"
    assert rows(pair.ours / "kg.db", active) == ["ours"]
    twice = (
        "SELECT subject FROM triples WHERE valid_to IS NULL"
        " GROUP BY subject, predicate HAVING count(*) > 1"
    )
    assert rows(pair.ours / "kg.db", twice) == []
    report = report_of(pair.merge(prefer="theirs"))
    assert (len(report.conflicts), report.conflicts.left) == (2, 0)
    assert rows(pair.ours / "kg.db", active) == ["theirs"]
    assert rows(pair.ours / "kg.db", twice) == []
    assert rows(pair.ours / "kg.db", "SELECT count(*) FROM triples WHERE object = 'ours'") == [2]


@family("trusty-sqlite")
def test_trusty_the_cache_is_merged_by_ids_and_not_a_byte_else_is_changed(pair: Pair) -> None:
    cache = pair.ours / "l1_cache.json"
    mine, its = (json.loads((one / cache.name).read_bytes()) for one in (pair.ours, pair.theirs))
    mine[0]["importance"] = its[1]["importance"] = 0.1
    cache.write_text(json.dumps([*mine, its[0]], indent=2).replace("0.1", "1.0E-1"))
    (pair.theirs / cache.name).write_text(json.dumps([*its, mine[2]]))
    before = cache.read_text()
    report = report_of(pair.merge())
    assert counts(report, "l1_cache.json") == (14, 16, 0, 0, 0)
    merged = json.loads(cache.read_text())
    assert {one["id"] for one in merged} == {one["id"] for one in (*mine, *its)}
    assert cache.read_text().startswith(before.removesuffix("\n]"))
    assert cache.stat().st_mode == (pair.ours / "palace.json").stat().st_mode


@family("trusty-sqlite")
@pytest.mark.parametrize("broken", ["here", "there"])
def test_trusty_a_broken_cache_is_not_taken_for_an_empty_one(pair: Pair, broken: str) -> None:
    cache = (pair.ours if broken == "here" else pair.theirs) / "l1_cache.json"
    text = cache.read_text()[:-50]
    cache.write_text(text)
    before = (pair.ours / "l1_cache.json").read_bytes()
    report = report_of(pair.merge(prefer="theirs"))
    (conflict,) = (one for one in report.conflicts if one.path == b"l1_cache.json")
    assert (conflict.why, conflict.won) == ("unreadable", "")
    assert (pair.ours / "l1_cache.json").read_bytes() == before


@family("trusty-sqlite")
def test_trusty_what_makes_the_palace_this_one_stays(pair: Pair) -> None:
    before = {name: (pair.ours / name).read_bytes() for name in ("palace.json", "dream_stats.json")}
    indexes = [pair.ours / "index.usearch", pair.ours / "index.usearch.keymap.json"]
    before |= {path.name: path.read_bytes() for path in indexes}
    report = report_of(pair.merge(prefer="theirs"))
    assert {name: (pair.ours / name).read_bytes() for name in before} == before
    assert [os.fsdecode(one.path) for one in report.stale] == [path.name for path in indexes]


@family("trusty-sqlite")
def test_trusty_a_foreign_wal_never_comes_beside_the_database(pair: Pair) -> None:
    """Theirs was taken as files while its service ran: its last commits lie in kg.db-wal."""
    triples(pair.ours / "kg.db", 20, "ours")
    graph = pair.theirs / "kg.db"
    with closing(sqlite3.connect(graph, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE triples SET subject = 'in the WAL ' || id, valid_to = '3000'")
        aside = pair.theirs.with_name("as-files")
        shutil.copytree(pair.theirs, aside)
    assert (aside / "kg.db-wal").stat().st_size
    pair.theirs = aside
    pair.snapshot(unsafe_files=True)
    with pair.open() as repository:
        names = {os.fsdecode(one.path) for one in repository.ls("theirs")}
        assert "kg.db-wal" in names
        report = report_of(repository.restore("theirs", pair.ours, merge=True))
    assert sorted(one for one in os.listdir(pair.ours) if one.startswith("kg.db")) == ["kg.db"]
    assert not any(b"kg.db-" in one.path for one in (*report.conflicts, *report.counts))
    assert counts(report, "triples")[:2] == (60, 20)
    found = rows(pair.ours / "kg.db", "SELECT subject FROM triples")
    assert sum(one.startswith("ours") for one in found) == 20
    assert sum(one.startswith("in the WAL") for one in found) == 60


@family("trusty-redb")
def test_trusty_redb_files_are_opaque_and_locked_ones_are_left(pair: Pair) -> None:
    import fcntl

    report = report_of(pair.merge())
    names = ("chat_sessions.redb", "kg.redb", "kg.redb.v2-incompatible", "payloads.redb",
             "recall.redb")  # fmt: skip
    assert whys(report) == [(name, "both-changed") for name in names]
    before = (pair.ours / "kg.redb").read_bytes()
    with (pair.ours / "kg.redb").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        report = report_of(pair.merge(prefer="theirs"))
    assert (pair.ours / "kg.redb").read_bytes() == before
    assert ("kg.redb", "changed-meanwhile") in whys(report)
    assert (pair.ours / "recall.redb").read_bytes() == (pair.theirs / "recall.redb").read_bytes()


def memories(path: Path, *values: tuple[str, str, str]) -> None:
    """Add memories (id, title, content) to a database of ai-memory."""
    columns = "memories(id, tier, title, content, priority, created_at, metadata)"
    whole = (
        (one, "long", title, text, 5, WHEN, '{"agent_id": "x"}') for one, title, text in values
    )
    write(path, insert(columns, whole))


@family("ai-memory")
def test_ai_memory_is_merged_by_ids_and_titles(pair: Pair) -> None:
    ours, theirs = (one / "ai-memory.db" for one in (pair.ours, pair.theirs))
    memories(ours, ("m1", "my own", "mine"), ("m2", "the same title", "mine"))
    memories(theirs, ("t1", "their own", "quokkas sleep"), ("t2", "the same title", "theirs"))
    write(theirs, "UPDATE memories SET title = 'their ' || title WHERE title LIKE 'title %'")
    write(theirs, insert("memory_links", [("t1", "t1", "about", WHEN), ("t1", "t2", "is", WHEN)]))
    report = report_of(pair.merge())
    assert counts(report, "memories") == (31, 32, 0, 0, 1)
    assert counts(report, "memory_links") == (12, 11, 0, 0, 1)
    reasons = {one.key.partition("'")[2].partition("'")[0]: one.why for one in report.conflicts}
    assert reasons == {"t2": "unique", "t1": "refers-to-missing"}
    assert rows(ours, "SELECT id FROM memories WHERE title = 'the same title'") == ["m2"]
    assert rows(ours, "SELECT agent_id_idx FROM memories WHERE id = 't1'") == ["x"]
    found = "SELECT id FROM memories WHERE rowid IN (SELECT rowid FROM memories_fts('{}'))"
    assert rows(ours, found.format("quokkas")) == ["t1"]
    assert rows(ours, found.format("mine")) == ["m1", "m2"]
    write(ours, "INSERT INTO memories_fts(memories_fts, rank) VALUES('integrity-check', 1)")
    assert rows(ours, "SELECT version FROM schema_version") == [28]
    assert not report_of(pair.merge()).changed


@family("ai-memory")
def test_ai_memory_full_text_follows_changes_although_there_is_no_trigger(pair: Pair) -> None:
    shutil.rmtree(pair.theirs)
    pair.relate()
    ours, theirs = (one / "ai-memory.db" for one in (pair.ours, pair.theirs))
    write(theirs, "UPDATE memories SET content = 'numbats' WHERE title = 'title 3'")
    write(theirs, "DELETE FROM memories WHERE title = 'title 20'")
    report = report_of(pair.merge())
    assert counts(report, "memories") == (0, 28, 1, 1, 0)
    found = "SELECT title FROM memories WHERE rowid IN (SELECT rowid FROM memories_fts('{}'))"
    assert rows(ours, found.format("numbats")) == ["title 3"]
    write(ours, "INSERT INTO memories_fts(memories_fts, rank) VALUES('integrity-check', 1)")


@family("ai-memory")
def test_ai_memory_a_lone_database_file_is_merged(pair: Pair) -> None:
    for one in (pair.ours, pair.theirs):
        memories(one / "ai-memory.db", (one.parent.name, f"of {one.parent.name}", "x"))
    pair.ours, pair.theirs = (one / "ai-memory.db" for one in (pair.ours, pair.theirs))
    write(pair.theirs, "UPDATE memories SET title = 'their ' || title")
    before = sorted(os.listdir(pair.ours.parent))
    report = report_of(pair.merge())
    assert counts(report, "memories") == (31, 31, 0, 0, 0)
    assert sorted(os.listdir(pair.ours.parent)) == before
    assert report.stale == []


@family("oxios")
def test_oxios_a_vector_table_without_its_module_is_stale_and_blocks_nothing(pair: Pair) -> None:
    for one in (pair.ours, pair.theirs):
        write(one / "memory.db", _vectors)
    report = report_of(pair.merge(outside=True))
    assert counts(report, "memories") == (12, 12, 0, 0, 0)
    assert [(os.fsdecode(one.path), one.table) for one in report.stale] == [
        ("memory.db", "memory_vectors"),
        ("memory/vector_index_snapshot.json", ""),
    ]
    assert rows(pair.ours / "memory.db", "SELECT count(*) FROM memory_vectors_rowids") == [1]
    assert counts(report, "@agent-log/agent_log.db") == (9, 9, 0, 0, 0)
    assert sum(one.startswith(b"sessions/") for one in report.added) == 4
    assert not any(one.endswith(b".tmp") for one in report.added)


def _vectors(db: sqlite3.Connection) -> None:
    """Make the tables of sqlite-vec, whose module is not here."""
    db.execute("CREATE TABLE memory_vectors_rowids(id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO memory_vectors_rowids VALUES(1)")
    db.execute("CREATE TABLE memory_vectors_vector_chunks00(vectors BLOB)")
    db.execute("PRAGMA writable_schema = ON")
    sql = "CREATE VIRTUAL TABLE memory_vectors USING vec0(memory_id TEXT, embedding FLOAT[384])"
    row = ("table", "memory_vectors", "memory_vectors", 0, sql)
    db.execute("INSERT INTO sqlite_master VALUES(?, ?, ?, ?, ?)", row)


@family("nexo-runtime")
def test_nexo_full_text_goes_with_its_memory(pair: Pair) -> None:
    copy = "INSERT INTO memories_fts SELECT content, id, agent_id FROM memories"
    for one in (pair.ours, pair.theirs):
        write(one / "memory.db", copy)
    write(pair.theirs / "memory.db", "UPDATE memories_fts SET content = 'wombats' WHERE rowid = 1")
    write(pair.theirs / "memory.db", "UPDATE memories SET agent_id = 'carol' WHERE rowid = 1")
    report = report_of(pair.merge())
    assert counts(report, "memories") == (25, 25, 0, 0, 0)
    assert counts(report, "compactions_v1") == (6, 6, 0, 0, 0)
    found = rows(pair.ours / "memory.db", "SELECT id FROM memories_fts('wombats')")
    assert found == rows(
        pair.ours / "memory.db", "SELECT id FROM memories WHERE agent_id = 'carol'"
    )
    assert len(found) == 1
    both = "SELECT count(*), count(DISTINCT id) FROM memories_fts"
    assert rows(pair.ours / "memory.db", both) == [(50, 50)]
    write(
        pair.ours / "memory.db", "INSERT INTO memories_fts(memories_fts) VALUES('integrity-check')"
    )


@family("nexo-memdir")
def test_nexo_a_git_repository_is_left_to_git(pair: Pair) -> None:
    before = {path: path.read_bytes() for path in (pair.ours / ".git").rglob("*") if path.is_file()}
    (pair.theirs / "a-new-note.md").write_text("new")
    report = report_of(pair.merge(prefer="theirs"))
    assert [one for one in whys(report) if one[1] == "git"] == [(".git", "git")]
    assert b"a-new-note.md" in report.added
    assert {path: path.read_bytes() for path in before} == before


def documents(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Return each drawer's collection and text, as Chroma's own queries find them."""
    query = """
    SELECT e.embedding_id, c.name, m.string_value,
      (SELECT group_concat(f.string_value) FROM embedding_fulltext_search f WHERE f.rowid = e.id)
    FROM embeddings e JOIN segments s ON s.id = e.segment_id AND s.scope = 'METADATA'
    JOIN collections c ON c.id = s.collection
    JOIN embedding_metadata m ON m.id = e.id AND m.key = 'chroma:document'
    """
    return {one: (name, [text, full]) for one, name, text, full in rows(path, query)}


@family("mempalace")
def test_mempalace_drawers_come_with_all_that_belongs_to_them(pair: Pair) -> None:
    """Collections, segments and numbers are others in each palace."""
    full = (
        "INSERT INTO embedding_fulltext_search(rowid, string_value)"
        " SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document'"
    )
    ours, theirs = (one / "chroma.sqlite3" for one in (pair.ours, pair.theirs))
    for path in (ours, theirs):
        write(path, full)
    (shared,) = rows(ours, "SELECT embedding_id FROM embeddings WHERE id = 5")
    write(theirs, f"UPDATE embeddings SET embedding_id = '{shared}' WHERE id = 9")
    expected = documents(theirs) | documents(ours)
    tunnels = [{"from": "a", "to": "b"}, {"from": "c", "to": "d"}]
    (pair.theirs.parent / "tunnels.json").write_text(json.dumps(tunnels))
    report = report_of(pair.merge(outside=True))
    assert counts(report, "embeddings") == (37, 37, 0, 0, 1)
    assert [(one.table, one.why) for one in report.conflicts] == [("embeddings", "both-changed")]
    assert documents(ours) == expected
    assert rows(ours, "SELECT count(*) FROM collections") == [2]
    assert rows(ours, "SELECT count(*) FROM embedding_metadata") == [len(expected)]
    segments = {os.fsdecode(one.path) for one in report.stale}
    assert segments == set(rows(ours, "SELECT id FROM segments WHERE scope = 'VECTOR'"))
    assert not any((pair.ours / one).exists() for one in rows(theirs, "SELECT id FROM segments"))
    graph = pair.ours.parent / "knowledge_graph.sqlite3"
    assert rows(graph, "SELECT count(*) FROM triples") == [42]
    assert counts(report, "@tunnels/tunnels.json")[:2] == (1, 2)
    assert not report_of(pair.merge(outside=True)).changed


@family("mempalace")
def test_mempalace_a_collection_that_is_missing_here_comes_with_its_vectors(pair: Pair) -> None:
    ours, theirs = (one / "chroma.sqlite3" for one in (pair.ours, pair.theirs))
    write(theirs, "UPDATE collections SET name = 'another' WHERE name = 'mempalace_closets'")
    vectors = (
        "SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection"
        " WHERE s.scope = 'VECTOR' AND c.name = 'another'"
    )
    (segment,) = rows(theirs, vectors)
    report = report_of(pair.merge())
    assert counts(report, "collections") == (1, 2, 0, 0, 0)
    assert counts(report, "segments") == (2, 4, 0, 0, 0)
    assert rows(ours, vectors) == [segment]
    for path in (pair.theirs / segment).iterdir():
        assert (pair.ours / segment / path.name).read_bytes() == path.read_bytes()


@family("mempalace")
def test_mempalace_registries_are_merged_by_name_and_its_configuration_stays(pair: Pair) -> None:
    home, their_home = pair.ours.parent, pair.theirs.parent
    people = their_home / "known_entities.json"
    people.write_text(json.dumps({"people": ["Bob"], "projects": ["x"]}))
    (their_home / "entity_registry.json").write_text(json.dumps({"Bob": {}, "Ana": {"type": "?"}}))
    configuration = (home / "config.json").read_bytes()
    report = report_of(pair.merge(outside=True))
    assert json.loads((home / people.name).read_bytes()) == {
        "people": ["Ana", "Bob"], "projects": ["x"],
    }  # fmt: skip
    registry = json.loads((home / "entity_registry.json").read_bytes())
    assert registry == {"Ana": {"type": "person"}, "Bob": {}}
    assert [(one.path, one.key) for one in report.conflicts] == [
        (b"@entity-registry/entity_registry.json", "Ana.type")
    ]
    assert (home / "config.json").read_bytes() == configuration


@pytest.mark.parametrize("name", FAMILIES)
def test_a_palace_merged_with_itself_does_not_change(name: str, tmp_path: Path) -> None:
    made = FAMILIES[name](tmp_path / "root", Random(5))
    palatine.init(tmp_path / "repository")
    with palatine.open_repository(tmp_path / "repository", cache=tmp_path / "cache") as repository:
        repository.snapshot(made.palace, palace="it")
        done = repository.restore("it", made.palace, merge=True, outside=True)
    report = report_of(done)
    assert not report.changed
    assert not len(report.conflicts)
    assert done.after is None


@pytest.mark.parametrize(("name", "other"), [("oxios", "nexo-runtime")])
def test_palaces_of_two_families_are_not_merged(name: str, other: str, tmp_path: Path) -> None:
    ours = FAMILIES[name](tmp_path / "ours", Random(1)).palace
    theirs = FAMILIES[other](tmp_path / "theirs", Random(1)).palace
    with pytest.raises(palatine.PalatineError, match=r"palace of oxios.* one of nexo"):
        Pair(tmp_path, ours, theirs).merge()
