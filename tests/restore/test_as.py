"""A renamed copy: what says its name and its place follows, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import Place, as_nobody, count

import palatine
from palatine.errors import Refused, SourceError, UsageError
from palatine.layouts.base import Held, Identity
from palatine.layouts.trusty import Trusty
from palatine.ops.restoring import Restored
from palatine.restore.identity import Identities
from palatine.restore.jsontext import strings, with_strings
from palatine.testing.builders import State, differences, state_of
from palatine.testing.families import FAMILIES
from palatine.testing.families_stores import write_json

SEEDS = range(count(3, 40))


def restored_as(place: Place, revision: str, name: str, target: Path, **more: Any) -> Restored:
    with place.open() as repository:
        return repository.restore(revision, target, as_name=name, **more)


def snapshotted(place: Place, palace: Path, name: str | None = None) -> str:
    with place.open() as repository:
        return repository.snapshot(palace, palace=name).stored.id.hex()


def bytes_of(root: Path) -> dict[bytes, bytes]:
    return {path: state.data for path, state in state_of(root).items() if state.kind == "file"}


def settled(state: dict[bytes, State], *changed: bytes) -> dict[bytes, State]:
    """Return a directory's state without the bytes and times of the files that may change."""
    return {
        path: one._replace(data=b"", mtime_ns=0) if path in changed else one
        for path, one in state.items()
    }


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute(sql).fetchall()


# What changes, by family


def test_trusty_says_its_new_name_and_place_and_finds_its_recalls(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    target = place.root / "palaces" / "beta"
    done = restored_as(place, revision, "beta", target)
    before, after = (json.loads((one / "palace.json").read_text()) for one in (made.palace, target))
    assert after == {**before, "id": "beta", "name": "beta", "data_dir": str(target)}
    assert list(after) == list(before)
    recalls = "SELECT palace_id, id, query_hash, drawer_id, occurred_at FROM recall_events"
    old = rows(made.palace / "recall.db", recalls)
    assert {row[0] for row in old} == {made.name}
    assert rows(target / "recall.db", recalls) == [("beta", *row[1:]) for row in old]
    changed = (b"palace.json", b"recall.db")
    assert (
        differences(settled(state_of(made.palace), *changed), settled(state_of(target), *changed))
        == []
    )
    assert {(one.path, one.key, one.new, one.rows) for one in done.renamed} == {
        (b"palace.json", "id", "beta", None),
        (b"palace.json", "name", "beta", None),
        (b"palace.json", "data_dir", str(target), None),
        (b"recall.db", "palace_id", "beta", len(old)),
    }
    assert done.notices == ()


def test_nexo_renames_the_agent_whose_palace_it_is_and_full_text_follows(place: Place) -> None:
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    with closing(sqlite3.connect(made.palace / "long_term.sqlite")) as db, db:
        db.execute("INSERT INTO memories_fts SELECT content, id, agent_id FROM memories")
    revision = snapshotted(place, made.palace)
    target = place.root / "carl"
    done = restored_as(place, revision, "carl", target)
    all_rows = "SELECT id, agent_id, content FROM memories ORDER BY id"
    old = rows(made.palace / "long_term.sqlite", all_rows)
    assert {agent for _, agent, _ in old} == {"ana", "bob"}
    expected = [(one, "carl" if agent == "ana" else agent, text) for one, agent, text in old]
    assert rows(target / "long_term.sqlite", all_rows) == expected
    found = rows(
        target / "long_term.sqlite",
        "SELECT id, agent_id FROM memories_fts WHERE memories_fts MATCH 'note OR agent'"
        " ORDER BY id",
    )
    assert found == [row[:2] for row in expected if {"note", "agent"} & set(row[2].split())]
    with closing(sqlite3.connect(target / "long_term.sqlite")) as db:
        db.execute("INSERT INTO memories_fts(memories_fts) VALUES('integrity-check')")
    assert [(one.path, one.old, one.rows) for one in done.renamed] == [
        (b"long_term.sqlite", "ana", sum(agent == "ana" for _, agent, _ in old))
    ]
    untouched = [name for name in bytes_of(made.palace) if name != b"long_term.sqlite"]
    assert {name: bytes_of(target)[name] for name in untouched} == {
        name: bytes_of(made.palace)[name] for name in untouched
    }


def test_mempalace_points_its_configuration_at_the_copy(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    write_json(made.palace / "@config" / "config.json", {"palace_path": "of the palace itself"})
    revision = snapshotted(place, made.palace)
    target = place.root / "other"
    restored_as(place, revision, "other", target)
    assert differences(state_of(made.palace), state_of(target)) == []
    copy = place.root / "other.outside" / "config" / "config.json"
    before = made.outside["config"].read_text()
    assert str(made.palace) in before
    assert copy.read_text() == before.replace(str(made.palace), str(target))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    for name, path in made.outside.items():
        if name != "config":
            assert (target.with_name("other.outside") / name / path.name).read_bytes() == (
                path.read_bytes()
            )


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"trusty-sqlite", "trusty-redb"}))
def test_of_other_families_a_copy_under_its_own_name_is_what_was_captured(
    place: Place, family: str
) -> None:
    made = FAMILIES[family](place.root / "data", Random(family))
    revision = snapshotted(place, made.palace)
    done = restored_as(place, revision, made.name, place.root / made.name)
    assert differences(state_of(made.palace), state_of(place.root / made.name)) == []
    assert [one for one in done.renamed if not one.path.startswith(b"@")] == []


# Names


@pytest.mark.parametrize("family", FAMILIES)
def test_a_snapshot_of_the_copy_is_of_the_new_name(place: Place, family: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(family))
    target = place.root / "fresh-one"
    done = restored_as(place, snapshotted(place, made.palace), "fresh-one", target)
    assert done.notices == ()
    with place.open() as repository:
        stored = repository.snapshot(target).stored
    assert (stored.snapshot.palace, stored.snapshot.layout) == ("fresh-one", made.layout)
    assert stored.snapshot.parents == ()


def test_a_palace_that_its_directory_names_is_told_of(place: Place) -> None:
    made = FAMILIES["generic"](place.root / "data", Random(1))
    done = restored_as(place, snapshotted(place, made.palace), "one", place.root / "two")
    (notice,) = done.notices
    assert "--palace one" in notice


@pytest.mark.parametrize("name", ["", "-x", ".x", "a/b", "a b", "ä", "x" * 129])
def test_names_that_no_palace_has_are_refused_first(place: Place, name: str) -> None:
    made = FAMILIES["generic"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    for dry_run in (False, True):
        with pytest.raises(UsageError):
            restored_as(place, revision, name, place.root / "t", dry_run=dry_run)
    assert not (place.root / "t").exists()


@pytest.mark.parametrize("name", ["Ana", "_ana", "ana-", "a.b", "x" * 65])
def test_names_that_nexo_gives_no_agent_are_refused(place: Place, name: str) -> None:
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    with pytest.raises(UsageError, match="nexo"):
        restored_as(place, snapshotted(place, made.palace), name, place.root / "t")


def test_two_agents_never_become_one(place: Place) -> None:
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    for dry_run in (True, False):
        with pytest.raises(Refused, match="'bob' already"):
            restored_as(place, revision, "bob", place.root / "bob", dry_run=dry_run)
    assert sorted(os.listdir(place.root)) == ["cache", "data", "palace", "repository"]


def test_one_agent_is_renamed_and_the_same_in_all_databases(place: Place) -> None:
    """What the rows of one database call it decides for all; none is taken for another."""
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    database(
        made.palace / "concepts.sqlite",
        "CREATE TABLE more(agent_id TEXT)",
        "INSERT INTO more VALUES('ana'), ('eve')",
    )
    revision = snapshotted(place, made.palace, "bob")
    (one,) = restored_as(place, revision, "carl", place.root / "carl").renamed
    assert (one.path, one.old) == (b"long_term.sqlite", "bob")
    more = rows(place.root / "carl" / "concepts.sqlite", "SELECT agent_id FROM more")
    assert more == [("ana",), ("eve",)]
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"'concepts\.sqlite' has rows .* 'eve'"):
            restored_as(place, revision, "eve", place.root / "eve", dry_run=dry_run)


def test_the_directory_tells_whose_rows_they_are_where_the_name_does_not(place: Place) -> None:
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace, "work")
    (one,) = restored_as(place, revision, "carl", place.root / "carl").renamed
    assert (one.old, one.new) == ("ana", "carl")


def test_the_id_tells_whose_rows_they_are_where_nothing_else_does(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    palace = made.palace.rename(place.root / "data" / "moved")
    revision = snapshotted(place, palace, "work")
    done = restored_as(place, revision, "beta", place.root / "beta")
    assert [(one.old, one.rows) for one in done.renamed if one.rows] == [(made.name, 7)]


def test_a_chosen_name_tells_whose_rows_they_are(place: Place) -> None:
    """The palace's name, which somebody chose, counts before that of its directory."""
    made = FAMILIES["nexo-snapshots"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace, "bob")
    restored_as(place, revision, "carl", place.root / "carl")
    agents = rows(
        place.root / "carl" / "long_term.sqlite", "SELECT DISTINCT agent_id FROM memories"
    )
    assert set(agents) == {("ana",), ("carl",)}


# Hostile palaces


def trusty(place: Place, **other: Any) -> Path:
    """Make a palace that is nothing but JSON, called by its directory."""
    palace = place.root / "data" / "alpha"
    said = {"id": "alpha", "name": "alpha", "description": None, "created_at": "2026",
            "data_dir": str(palace), "schema_version": 1}  # fmt: skip
    write_json(palace / "palace.json", {**said, **other})
    return palace


def test_a_symlink_is_not_followed(place: Place) -> None:
    palace = trusty(place)
    victim = place.root / "victim.json"
    shutil.move(palace / "palace.json", victim)
    (palace / "palace.json").symlink_to(victim)
    before = victim.read_bytes()
    restored_as(place, snapshotted(place, palace, "alpha"), "beta", place.root / "beta")
    assert victim.read_bytes() == before
    assert os.readlink(place.root / "beta" / "palace.json") == str(victim)


@pytest.mark.parametrize("text", ['{"id": "a"', "[" * 100_000, '["id"]', "7"])
def test_what_is_no_json_object_is_refused_and_nothing_is_left(place: Place, text: str) -> None:
    palace = trusty(place)
    revision = snapshotted(place, palace)
    (palace / "palace.json").write_text(text)
    broken = snapshotted(place, palace, "alpha")
    with place.open() as repository:
        assert repository.resolve(broken).snapshot.layout == "generic"
    # a layout that was configured, or recognised before, meets such a file
    with place.open() as repository:
        planned = repository.plan([palace], palace="alpha")[0]
        request = palatine.ops.snapshot.Request(
            planned.source, "default", "alpha", layout="trusty", force=True
        )
        broken = repository.snapshot_planned(planned, request).stored.id.hex()
    for dry_run in (True, False):
        with pytest.raises(SourceError, match=r"palace\.json"):
            restored_as(place, broken, "beta", place.root / "beta", dry_run=dry_run)
    assert revision != broken
    assert not (place.root / "beta").exists()


@pytest.mark.parametrize(
    "text", ["\\u0000", "\\ud800", "/a\\u0000b", "/x\\udcff", "~", "~nobody/x", ""]
)
def test_what_is_no_path_or_no_text_is_replaced_and_told(place: Place, text: str) -> None:
    palace = trusty(place)
    said = f'{{"id": "{text}", "name": "{text}", "created_at": "", "data_dir": "{text}"}}'
    (palace / "palace.json").write_text(said)
    database(
        palace / "recall.db",
        "CREATE TABLE recall_events(palace_id TEXT)",
        "INSERT INTO recall_events VALUES('alpha')",
    )
    revision = snapshotted(place, palace, "alpha")
    with place.open() as repository:
        plain = repository.restore(revision, place.root / "plain")
    assert (place.root / "plain" / "palace.json").read_text() == said
    assert len(plain.notices) == text.startswith(("/", "~"))
    done = restored_as(place, revision, "beta", place.root / "beta")
    assert json.loads((place.root / "beta" / "palace.json").read_text())["data_dir"] == str(
        place.root / "beta"
    )
    assert json.dumps([one.old for one in done.renamed], ensure_ascii=False).encode()
    assert ("alpha", 1) in {(one.old, one.rows) for one in done.renamed}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that are another's")
@pytest.mark.filterwarnings("ignore:This process")
def test_strict_modes_are_no_obstacle_and_stay() -> None:
    """Whoever restores may own what he may not write to."""
    with tempfile.TemporaryDirectory() as root:
        made = FAMILIES["trusty-sqlite"](Path(root), Random(1))
        palace = made.palace
        (palace / "palace.json").chmod(0o200)
        (palace / "recall.db").chmod(0o400)
        palace.chmod(0o555)
        for path in (Path(root), *Path(root).rglob("*")):
            os.chown(path, 65534, 65534)
        before = state_of(palace)
        held = Trusty().identity()

        def as_another() -> None:
            identities = Identities(held, "beta", "/new/place", [made.name])
            identities.put(palace)
            assert len(identities.changed) == 4

        assert as_nobody(as_another) == 0
        changed = (b"palace.json", b"recall.db")
        assert differences(settled(before, *changed), settled(state_of(palace), *changed)) == []
        assert json.loads((palace / "palace.json").read_text())["id"] == "beta"


def test_a_place_that_is_not_text_is_refused(place: Place) -> None:
    revision = snapshotted(place, trusty(place))
    target = Path(os.fsdecode(os.fsencode(place.root) + b"/caf\xe9"))
    with pytest.raises(UsageError, match="UTF-8"):
        restored_as(place, revision, "beta", target)


def test_a_dry_run_tells_what_would_be_renamed(place: Place) -> None:
    for family in ("trusty-sqlite", "nexo-snapshots", "mempalace"):
        made = FAMILIES[family](place.root / family, Random(family))
        revision = snapshotted(place, made.palace)
        target = place.root / f"new-{family}"
        plan = restored_as(place, revision, "new", target, dry_run=True)
        assert plan.renamed
        assert not target.exists()
        assert plan.renamed == restored_as(place, revision, "new", target).renamed


def test_only_what_is_chosen_is_renamed(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    for dry_run in (True, False):
        done = restored_as(
            place, revision, "beta", place.root / "beta", paths=["recall.db"], dry_run=dry_run
        )
        assert [(one.path, one.key) for one in done.renamed] == [(b"recall.db", "palace_id")]


# There and back


@pytest.mark.parametrize("seed", SEEDS)
def test_there_and_back_again_is_byte_for_byte_what_it_was(place: Place, seed: int) -> None:
    """Of palaces that are JSON only, where both names say the same and the place was their own.

    Not so: a display name that is not the id becomes the id; a `data_dir` that already led
    elsewhere leads to the palace afterwards; a database has other pages and the same rows.
    """
    rng = Random(seed)
    palace = trusty(place)
    text = json.dumps(
        json.loads((palace / "palace.json").read_text()),
        indent=rng.choice([None, 1, 2, 7]),
        separators=(rng.choice([",", " , "]), rng.choice([":", ": ", "\t:\n"])),
    )
    extra = f'{{"big": 1e400, "n": 12345678901234567890, "id ": "{rng.random()}", '
    (palace / "palace.json").write_text(rng.choice(["", "\n "]) + extra + text[1:] + "\r\n")
    write_json(palace / "l1_cache.json", [{"id": "alpha", "content": str(palace)}])
    before = bytes_of(palace)
    there = place.root / rng.choice(["ü/there", "a b/'c\"/there", "there"])
    restored_as(place, snapshotted(place, palace), "beta", there)
    assert json.loads((there / "palace.json").read_text())["data_dir"] == str(there)
    shutil.rmtree(palace)
    restored_as(place, snapshotted(place, there), "alpha", palace)
    assert bytes_of(palace) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("id", "name", "data_dir", 'with " and \\')


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(), JSON | st.text(), max_size=6),
    st.dictionaries(st.sampled_from(KEYS), st.text(), max_size=3),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
def test_only_strings_at_the_top_change(
    value: dict[str, Any], new: dict[str, str], indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    try:
        changed = with_strings(data, new)
    except UnicodeEncodeError:
        return
    expected = {
        key: new[key] if key in new and isinstance(old, str) else old for key, old in value.items()
    }
    assert json.loads(changed) == expected
    assert list(json.loads(changed)) == list(expected)
    assert strings(data) == {key: old for key, old in value.items() if isinstance(old, str)}
    if not ascii_only:
        assert with_strings(changed, strings(data)) == data


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b'{"a": "b"} x', b"\xff{}", b"\xef\xbb\xbf{}"]
)
def test_what_is_no_object_has_no_strings(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever json says
        strings(data)


# Databases


def database(path: Path, *statements: str, mode: str = "WAL") -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        for statement in statements:
            db.execute(statement)
    return path


def renamed(path: Path, old: str = "ana", new: str = "carl") -> list[int | None]:
    """Rename the agents of the one database in a directory; return how many rows it were."""
    held = (Held(path.name.encode(), "agent_id", Identity.NAME, database=True),)
    identities = Identities(held, new, "/", ["palace", old])
    identities.put(path.parent)
    return [one.rows for one in identities.changed]


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE"])
def test_every_table_with_the_column_and_no_sidecar(tmp_path: Path, mode: str) -> None:
    path = database(
        tmp_path / "a.db",
        "CREATE TABLE one(id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT)",
        "CREATE TABLE two(agent_id TEXT, n INT, PRIMARY KEY(agent_id, n)) WITHOUT ROWID",
        "CREATE TABLE three(meta TEXT, agent_id TEXT GENERATED ALWAYS AS (meta) VIRTUAL)",
        'CREATE TABLE "od""d"(agent_id TEXT, note TEXT)',
        "CREATE INDEX by_agent ON one(agent_id)",
        "INSERT INTO one(agent_id) VALUES('ana'), ('bob'), (NULL), ('ana')",
        "INSERT INTO two VALUES('ana', 1), ('bob', 1)",
        "INSERT INTO three(meta) VALUES('ana')",
        "INSERT INTO \"od\"\"d\" VALUES('bob', 'ana'), ('ana', 'x')",
        mode=mode,
    )
    assert renamed(path) == [4]
    assert os.listdir(tmp_path) == ["a.db"]
    assert rows(path, "SELECT agent_id FROM one ORDER BY id") == [
        ("carl",), ("bob",), (None,), ("carl",),
    ]  # fmt: skip
    assert rows(path, "SELECT agent_id FROM one WHERE agent_id = 'carl'") == [("carl",)] * 2
    assert rows(path, "SELECT * FROM two") == [("bob", 1), ("carl", 1)]
    assert rows(path, "SELECT agent_id FROM three") == [("ana",)]
    assert rows(path, 'SELECT * FROM "od""d"') == [("bob", "ana"), ("carl", "x")]


def test_a_database_without_the_name_keeps_every_byte(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "CREATE TABLE t(agent_id)", "INSERT INTO t VALUES('bob')")
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert renamed(path) == []
    assert renamed(path, "bob", "bob") == []
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(tmp_path) == ["a.db"]


def test_full_text_over_another_table_is_indexed_anew(tmp_path: Path) -> None:
    path = database(
        tmp_path / "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, agent_id TEXT, text TEXT)",
        "CREATE VIRTUAL TABLE f USING fts5(agent_id, text, content = t, content_rowid = id)",
        "INSERT INTO t VALUES(1, 'ana', 'hello'), (2, 'bob', 'hello')",
        "INSERT INTO f(f) VALUES('rebuild')",
    )
    assert renamed(path) == [1]
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO f(f, rank) VALUES('integrity-check', 1)")
        assert db.execute("SELECT rowid FROM f WHERE f MATCH 'agent_id:carl'").fetchall() == [(1,)]
        assert db.execute("SELECT rowid FROM f WHERE f MATCH 'agent_id:ana'").fetchall() == []


def forged(path: Path, sql: str) -> None:
    """Put a virtual table into a schema whose module nobody has."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        row = "INSERT INTO sqlite_schema VALUES('table', 'vec', 'vec', 0, ?)"
        db.execute(row, (sql,))


def test_a_vector_table_without_the_column_is_no_obstacle(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "CREATE TABLE t(agent_id)", "INSERT INTO t VALUES('ana')")
    forged(path, "CREATE VIRTUAL TABLE vec USING vec0(memory_id TEXT PRIMARY KEY, e FLOAT[4])")
    assert renamed(path) == [1]


def test_a_vector_table_with_the_column_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "CREATE TABLE t(agent_id)", "INSERT INTO t VALUES('ana')")
    forged(path, "CREATE VIRTUAL TABLE vec USING vec0(agent_id TEXT PARTITION KEY, e FLOAT[4])")
    before = path.read_bytes()
    with pytest.raises(Refused, match="vec"):
        renamed(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"SQLite format 3\0" + bytes(4080), b"\x9d" * 8192])
def test_a_database_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.db").write_bytes(data)
    with pytest.raises(SourceError, match="cannot be changed"):
        renamed(tmp_path / "a.db")
