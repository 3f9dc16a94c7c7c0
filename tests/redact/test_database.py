"""SQLite: every table, the schema, full text, and nothing left in what takes the place."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard
from tests.redact.planted import hits, redacted, secret

GONE = "[REDACTED:openai-api-key]"


class Base:
    """A database to plant secrets in, in a palace of its own."""

    def __init__(self, root: Path) -> None:
        self.rng = Random(5)
        self.secrets: list[str] = []
        self.root = root
        self.path = root / "palace" / "a.db"
        self.path.parent.mkdir()

    def new(self) -> str:
        self.secrets.append(secret(self.rng, "openai-api-key"))
        return self.secrets[-1]

    @contextlib.contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA secure_delete = OFF")
            yield db

    def run(self, script: str) -> None:
        with self.open() as db:
            db.executescript(script)

    def put(self, table: str, *values: Any) -> None:
        with self.open() as db:
            db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(values))})", values)

    def all(self, sql: str) -> list[Any]:
        with self.open() as db:
            return db.execute(sql).fetchall()

    def redact(self, *rules: str) -> Any:
        report = redacted(self.path.parent, self.root / "scratch", *rules)
        if self.path.exists():
            assert hits(self.path.parent, self.secrets) == []
            assert self.all("PRAGMA integrity_check") == [("ok",)]
        again = redacted(self.path.parent, self.root / "scratch", *rules)
        assert again.matches == 0
        return report


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_texts_and_bytes_in_tables_of_every_sort(base: Base, encoding: str) -> None:
    base.run(f"""PRAGMA encoding = '{encoding}'; PRAGMA journal_mode = WAL; PRAGMA user_version = 7;
        CREATE TABLE plain(a TEXT, b, n INTEGER, r REAL);
        CREATE TABLE made(a TEXT, up TEXT GENERATED ALWAYS AS (upper(a)) STORED,
          twice TEXT AS (a || a));
        CREATE INDEX made_up ON made(up, lower(a));
        CREATE TABLE keyed(k TEXT, n INT, v TEXT, PRIMARY KEY(k DESC, n)) WITHOUT ROWID;
        CREATE TABLE strict(a TEXT NOT NULL, z BLOB) STRICT;
        CREATE TABLE rowid(rowid TEXT, _rowid_ TEXT);""")
    long = "x" * 9000 + " " + base.new()
    base.put("plain", long, base.new().encode(), 5, 1.5)
    base.put("plain", None, b"\0\1\2", 6, None)
    base.put("made(a)", base.new())
    for n in range(3):
        base.put("keyed", base.new(), n, base.new())
    base.put("strict", base.new(), zstandard.compress(base.new().encode()))
    base.put("rowid", base.new(), base.new())
    report = base.redact()
    assert report.complete
    assert not report.left_out
    assert report.artifacts["a.db"] == {"openai-api-key": 13}
    assert base.all("SELECT * FROM plain") == [
        ("x" * 9000 + " " + GONE, GONE.encode(), 5, 1.5), (None, b"\0\1\2", 6, None)
    ]  # fmt: skip
    assert base.all("SELECT up, twice FROM made") == [(GONE.upper(), GONE * 2)]
    assert sorted(row[1:] for row in base.all("SELECT * FROM keyed")) == [
        (n, GONE) for n in range(3)
    ]
    assert zstandard.decompress(base.all("SELECT z FROM strict")[0][0]) == GONE.encode()
    assert base.all("PRAGMA encoding") == [(encoding,)]
    assert base.all("PRAGMA user_version") == [(7,)]
    assert base.all("PRAGMA journal_mode") == [("wal",)]


def test_unique_secrets_stay_apart_and_what_refers_to_them_follows(base: Base) -> None:
    base.run("""CREATE TABLE parent(id TEXT PRIMARY KEY ON CONFLICT REPLACE, n INT);
        CREATE TABLE child(parent TEXT REFERENCES parent(id), n INT);
        CREATE TABLE pairs(a TEXT, b TEXT, UNIQUE(a, b) ON CONFLICT IGNORE);""")
    base.put("parent", f"{GONE}-2", -1)
    for n in range(20):
        one = base.new()
        base.put("parent", one, n)
        base.put("child", one, n)
        base.put("pairs", one, json.dumps({"x": one}))
    base.put("child", base.new(), -5)  # refers to nothing
    base.redact()
    joined = "SELECT parent.n, child.n FROM parent JOIN child ON child.parent = parent.id"
    assert base.all(joined + " ORDER BY 1") == [(n, n) for n in range(20)]
    assert base.all("SELECT count(*) FROM parent") == [(21,)]
    assert base.all("SELECT count(*), sum(json_valid(b)) FROM pairs") == [(20, 20)]


def test_what_counts_as_equal_for_the_database_stays_apart_too(base: Base) -> None:
    base.run("""CREATE TABLE parent(id TEXT COLLATE NOCASE UNIQUE ON CONFLICT REPLACE, n INT);
        CREATE TABLE child(parent TEXT, n INT)""")
    base.put("parent", f"{GONE}-2".lower(), 1)
    one = base.new()
    base.put("parent", one, 2)
    base.put("child", one, 2)
    base.redact()
    assert base.all("SELECT n FROM parent ORDER BY n") == [(1,), (2,)]
    assert base.all("SELECT p.n FROM parent AS p JOIN child ON child.parent = p.id") == [(2,)]


def test_schema_views_and_triggers(base: Base) -> None:
    base.run(f"""CREATE TABLE t(a TEXT DEFAULT '{base.new()}', api_key TEXT /* {base.new()} */);
        CREATE TABLE log(what TEXT);
        CREATE TRIGGER grow AFTER UPDATE ON t BEGIN INSERT INTO log VALUES('{base.new()}'); END;
        CREATE TRIGGER also AFTER INSERT ON log BEGIN UPDATE t SET api_key = new.what; END;
        CREATE VIEW seen AS SELECT a, '{base.new()}' AS b FROM t;""")
    base.put("t", base.new(), "hunter2")
    base.redact()
    assert base.all("SELECT * FROM log") == []  # no trigger ran
    assert base.all("SELECT * FROM t") == [(GONE, "[REDACTED:secret-keyword]")]
    assert base.all("SELECT b FROM seen") == [(GONE,)]
    base.run("INSERT INTO t(api_key) VALUES('x'); UPDATE t SET a = a")
    assert base.all("SELECT DISTINCT a, api_key FROM t") == [(GONE, GONE)]  # both triggers are back


def test_what_the_schema_asked_of_a_secret_is_told_of_its_placeholder(base: Base) -> None:
    base.run("CREATE TABLE t(a TEXT CHECK (length(a) = 35))")
    base.put("t", base.new())
    report = redacted(base.path.parent, base.root / "scratch")
    assert [one.reason for one in report.notes] == ["CHECK constraint failed in t"]
    assert base.all("SELECT a FROM t") == [(GONE,)]


def test_rows_of_names_and_values(base: Base) -> None:
    base.run("CREATE TABLE embedding_metadata(id INT, key TEXT, string_value TEXT, int_value INT,"
             " PRIMARY KEY(id, key))")  # fmt: skip
    base.put("embedding_metadata", 1, "api_key", "plain words", 3)
    base.put("embedding_metadata", 1, "chroma:document", "plain words", 3)
    base.redact()
    assert base.all("SELECT string_value FROM embedding_metadata ORDER BY key") == [
        ("[REDACTED:secret-keyword]",), ("plain words",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "emptied"),
    [
        ("fts5(x, y UNINDEXED)", False),
        ("fts5(x, tokenize='trigram')", False),
        ("fts5(x, content=docs, content_rowid=rowid)", False),
        ("fts5(x, content='')", True),
        ("fts4(x)", False),
        ("fts4(content=\"docs\", x)", False),
        ("fts4(content=\"\", x)", True),
        ("fts3(x)", False),
    ],
)  # fmt: skip
def test_full_text(base: Base, table: str, emptied: bool) -> None:
    base.run(f"CREATE TABLE docs(x TEXT); CREATE VIRTUAL TABLE text USING {table};")
    for n in range(30):
        one = f"note {base.new()} number{n}"
        with base.open() as db:
            db.execute("INSERT INTO docs(rowid, x) VALUES (?, ?)", (3 * n + 2, one))
            db.execute("INSERT INTO text(rowid, x) VALUES (?, ?)", (3 * n + 2, one))
    base.run("DELETE FROM docs WHERE rowid = 8")
    with contextlib.suppress(sqlite3.OperationalError):  # not all of them can
        base.run("DELETE FROM text WHERE rowid = 8")
    words = [one[3:].lower() for one in base.secrets]
    report = base.redact()
    assert hits(base.path.parent, words) == []
    assert bool(report.notes) is emptied
    found = base.all("SELECT rowid FROM text WHERE text MATCH 'number7' ORDER BY 1")
    assert found == ([] if emptied else [(23,)])
    if not emptied:
        assert len(base.all("SELECT rowid FROM text WHERE text MATCH 'redacted'")) == 29


def test_what_was_deleted_is_gone_from_free_pages_wal_and_statistics(base: Base) -> None:
    base.run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a TEXT);"
             "CREATE INDEX i ON t(a)")  # fmt: skip
    held = sqlite3.connect(base.path, isolation_level=None)
    held.execute("PRAGMA secure_delete = OFF")
    with contextlib.closing(held):
        for _ in range(60):
            held.execute("INSERT INTO t VALUES (?)", (base.new() * 3,))
        held.execute("ANALYZE")
        held.execute("DELETE FROM t WHERE rowid > 20")
        left = [one.name for one in base.path.parent.iterdir()]
        copies = {name: (base.path.parent / name).read_bytes() for name in left}
    assert len(copies["a.db-wal"]) > 4096
    for name, data in copies.items():
        (base.path.parent / name).write_bytes(data)
    assert hits(base.path.parent, base.secrets)
    base.redact()
    assert [one.name for one in base.path.parent.iterdir()] == ["a.db"]
    assert base.all("SELECT count(*), count(DISTINCT a) FROM t") == [(20, 1)]


def test_samples_of_the_planner_are_gone(base: Base) -> None:
    """As a library with ENABLE_STAT4 leaves them, which Python's may not have."""
    base.run("CREATE TABLE samples(tbl, idx, neq, nlt, ndlt, sample)")
    base.put("samples", "t", "i", "1", "0", "0", b"\x02\x53" + base.new().encode())
    with base.open() as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET name = 'sqlite_stat4', tbl_name = 'sqlite_stat4',"
                   " sql = replace(sql, 'samples', 'sqlite_stat4')")  # fmt: skip
    assert base.redact().complete
    assert base.all("SELECT * FROM sqlite_stat4") == []


def test_modules_that_are_not_here(base: Base) -> None:
    base.run("CREATE TABLE vec_auxiliary(rowid INTEGER PRIMARY KEY, value00 TEXT);"
             "CREATE TABLE vec_rowids(rowid INTEGER PRIMARY KEY, id TEXT UNIQUE)")  # fmt: skip
    base.put("vec_auxiliary", 1, base.new())
    base.put("vec_rowids", 1, base.new())
    sql = "CREATE VIRTUAL TABLE vec USING vec0(id TEXT PRIMARY KEY, embedding FLOAT[8])"
    with base.open() as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_schema VALUES ('table', 'vec', 'vec', 0, ?)", (sql,))
    assert base.redact().complete
    assert base.all("SELECT value00 FROM vec_auxiliary") == [(GONE,)]
    assert base.all("SELECT sql FROM sqlite_schema WHERE name = 'vec'") == [(sql,)]


@pytest.mark.parametrize("why", ["damaged", "tokenizer", "function", "encrypted"])
def test_databases_that_cannot_be_processed_are_left_out_and_named(base: Base, why: str) -> None:
    base.run("CREATE TABLE t(a TEXT); CREATE VIRTUAL TABLE f USING fts5(x)")
    base.put("t", base.new())
    base.put("t", "x" * 50_000)
    with base.open() as db:
        db.execute("PRAGMA writable_schema = ON")
        if why == "tokenizer":
            db.execute("UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE f USING fts5(x,"
                       " tokenize=''mine'')' WHERE name = 'f'")  # fmt: skip
        if why == "function":
            index = "CREATE INDEX i ON t(a)"
            db.execute(index)
            db.execute(
                "UPDATE sqlite_schema SET sql = ? WHERE name = 'i'", (index[:-1] + "||mine(a))",)
            )
    data = base.path.read_bytes()
    if why == "damaged":
        base.path.write_bytes(data[:4096] + b"\xff" * 4096 + data[8192:])
    if why == "encrypted":
        base.path.write_bytes(base.rng.randbytes(8192))
    report = base.redact()
    assert report.complete
    assert [one.path for one in report.left_out] == ["a.db"]
    assert not base.path.exists()
    assert not any(one in repr(report) for one in base.secrets)


def test_values_that_cannot_be_read_are_emptied_and_named(base: Base) -> None:
    base.run("CREATE TABLE t(a BLOB)")
    base.put("t", zstandard.compress(base.new().encode() * 9)[:-3])
    base.put("t", b"\0\1" + base.new().encode("utf-16-le") + b"\0\xff")
    base.put("t", base.rng.randbytes(1536))
    report = base.redact()
    assert [one.path for one in report.left_out] == ["a.db!t.a", "a.db!t.a"]
    assert [len(one[0]) for one in base.all("SELECT a FROM t")] == [0, 0, 1536]
