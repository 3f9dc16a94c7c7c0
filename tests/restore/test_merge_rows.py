"""Merging tables: rows by their keys against a plain model, and what may be in the way of a row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.restore.merging import Databases, counts, insert, model, rows, whys, write

from palatine.errors import Refused
from palatine.layouts.merging import OnlyOne, Owned, Reference, Table
from palatine.restore.merge.report import Winner

Side = dict[str, tuple[object, ...]]
Rows = list[tuple[object, ...]]
VALUES = st.one_of(
    st.none(), st.integers(-2, 2), st.sampled_from([0.1, 1.0, 1e300, -0.0]), st.just(2**62),
    st.sampled_from(["", "a", "A", "1", "é", "a\0b", "a\0c"]), st.sampled_from([b"", b"a", b"1"]),
)  # fmt: skip
SIDE = st.dictionaries(st.sampled_from("abcdefg"), st.tuples(VALUES, VALUES), max_size=7)
PREFERENCES: list[Winner] = ["", "ours", "theirs"]
PREFER = st.sampled_from(PREFERENCES)


def told(row: tuple[object, ...]) -> tuple[object, ...]:
    """Return values so that 1, 1.0, '1' and b'1' are not equal, as far as SQLite tells them."""
    return tuple((type(one).__name__ if isinstance(one, str | bytes) else "", one) for one in row)


def side(data: Side) -> Side:
    return {key: told(value) for key, value in data.items()}


def content(path: Path) -> Side:
    return {key: told(rest) for key, *rest in rows(path, "SELECT id, v, w FROM t")}


@given(ours=SIDE, theirs=SIDE, base=SIDE, prefer=PREFER, has_base=st.booleans())
@pytest.mark.torture
def test_rows_are_merged_as_the_model_says(
    tmp_path: Path, ours: Side, theirs: Side, base: Side, prefer: Winner, has_base: bool
) -> None:
    three = Databases(tmp_path, "CREATE TABLE t(id TEXT PRIMARY KEY, v, w)")
    for path, data in ((three.ours, ours), (three.theirs, theirs), (three.base, base)):
        write(path, insert("t", ((key, *value) for key, value in data.items())))
    report = three.merge(prefer=prefer, base=has_base)
    expected, conflicts = model(side(ours), side(theirs), side(base) if has_base else {}, prefer)
    assert content(three.ours) == expected
    assert {one.key for one in report.conflicts} == {f"id='{key}'" for key in conflicts}
    assert report.conflicts.left == (0 if prefer else len(conflicts))
    added, kept, updated, removed, conflicting = counts(report, "t")
    assert (added, removed) == (len(expected.keys() - ours.keys()), len(ours.keys() - expected))
    assert updated == sum(
        expected[key] != value for key, value in side(ours).items() if key in expected
    )
    lost = sum(key in ours for key in conflicts) if prefer != "theirs" else 0
    assert (kept, conflicting) == (len(ours) - updated - removed - lost, len(conflicts))
    again = three.merge(prefer=prefer, base=has_base)
    assert not again.changed
    assert content(three.ours) == expected


@given(ours=SIDE, base=SIDE, has_base=st.booleans())
def test_merging_a_palace_with_itself_changes_nothing(
    tmp_path: Path, ours: Side, base: Side, has_base: bool
) -> None:
    three = Databases(tmp_path, "CREATE TABLE t(id TEXT PRIMARY KEY, v, w)")
    for path, data in ((three.ours, ours), (three.theirs, ours), (three.base, base)):
        write(path, insert("t", ((key, *value) for key, value in data.items())))
    report = three.merge(base=has_base)
    assert not report.changed
    assert not len(report.conflicts)
    assert content(three.ours) == side(ours)


BAG = st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.integers(0, 1)), max_size=6)


@given(ours=BAG, theirs=BAG, base=BAG, has_base=st.booleans())
@pytest.mark.torture
def test_rows_without_a_key_are_counted(
    tmp_path: Path, ours: Rows, theirs: Rows, base: Rows, has_base: bool
) -> None:
    """Numbers that the database gave them say nothing, also where they are the same."""
    three = Databases(tmp_path, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v, w)")
    for path, data in ((three.ours, ours), (three.theirs, theirs), (three.base, base)):
        write(path, insert("t(v, w)", data))
    three.merge(base=has_base)
    sides = [Counter(one) for one in (ours, theirs, base if has_base else [])]
    expected: Counter[tuple[object, ...]] = Counter()
    for row in sides[0] | sides[1] | sides[2]:
        mine, its, old = (one[row] for one in sides)
        expected[row] = mine if its == old else its if mine == old else max(mine, its)
    found = Counter(rows(three.ours, "SELECT v, w FROM t"))
    assert found == +expected
    assert not three.merge(base=has_base).changed


def test_columns_go_by_name_whatever_their_order(tmp_path: Path) -> None:
    three = Databases(tmp_path)
    write(three.ours, "CREATE TABLE t(id TEXT PRIMARY KEY, title TEXT, body TEXT)")
    write(three.theirs, "CREATE TABLE t(body TEXT, Title TEXT, id TEXT PRIMARY KEY)")
    write(three.theirs, insert("t(id, title, body)", [("1", "a title", "a body")]))
    assert not len(three.merge(base=False).conflicts)
    assert rows(three.ours, "SELECT id, title, body FROM t") == [("1", "a title", "a body")]


def test_what_has_no_place_here_is_told_and_the_rest_is_merged(tmp_path: Path) -> None:
    three = Databases(tmp_path)
    write(three.ours, "CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT, mine INT DEFAULT 7)")
    new = "CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT, theirs TEXT DEFAULT 'x', unused);"
    write(three.theirs, new, "CREATE TABLE other(id TEXT PRIMARY KEY); CREATE TABLE empty(id);")
    write(three.theirs, "INSERT INTO t VALUES('1', 'v', 'set', NULL); INSERT INTO other VALUES(1)")
    report = three.merge(base=False)
    assert sorted(whys(report)) == [("other", "schema"), ("t", "schema")]
    assert rows(three.ours, "SELECT * FROM t") == [("1", "v", 7)]
    write(three.theirs, "UPDATE t SET theirs = 'x'; DELETE FROM other")
    assert not len(three.merge(base=False).conflicts)


def test_a_column_that_the_base_lacks_is_not_overwritten(tmp_path: Path) -> None:
    """Ours was upgraded and has set it: theirs only has what every new row gets."""
    three = Databases(tmp_path)
    three.both("CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT)")
    three.both("INSERT INTO t VALUES('set', 'old'), ('not', 'old'), ('gone', 'old')")
    for path in (three.ours, three.theirs):
        write(path, "ALTER TABLE t ADD COLUMN mark TEXT DEFAULT ''")
    write(three.ours, "UPDATE t SET mark = 'mine' WHERE id <> 'not'")
    write(three.theirs, "UPDATE t SET v = 'new'; DELETE FROM t WHERE id = 'gone'")
    report = three.merge()
    assert sorted(one.key for one in report.conflicts) == ["id='gone'", "id='set'"]
    assert sorted(rows(three.ours, "SELECT * FROM t")) == [
        ("gone", "old", "mine"), ("not", "new", ""), ("set", "old", "mine"),
    ]  # fmt: skip


def test_a_schema_of_another_version_is_noted_and_never_merged(tmp_path: Path) -> None:
    three = Databases(tmp_path, "CREATE TABLE schema_version(version INTEGER)")
    write(three.ours, "INSERT INTO schema_version VALUES(28)")
    write(three.theirs, "INSERT INTO schema_version VALUES(54)")
    report = three.merge(base=False)
    assert rows(three.ours, "SELECT version FROM schema_version") == [28]
    assert any("schema_version" in note for note in report.notes)


UNIQUE = "CREATE TABLE t(id TEXT PRIMARY KEY, title TEXT, UNIQUE(title))"


def test_one_title_under_two_ids_is_a_conflict(tmp_path: Path) -> None:
    three = Databases(tmp_path, UNIQUE)
    write(three.ours, "INSERT INTO t VALUES('1', 'same'), ('2', 'mine')")
    write(three.theirs, "INSERT INTO t VALUES('3', 'same'), ('4', 'theirs')")
    report = three.merge(base=False)
    assert [(one.key, one.why) for one in report.conflicts] == [("id='3'", "unique")]
    assert sorted(rows(three.ours, "SELECT id FROM t")) == ["1", "2", "4"]
    report = three.merge(base=False, prefer="theirs")
    assert [(one.key, one.won) for one in report.conflicts] == [("id='3'", "theirs")]
    assert sorted(rows(three.ours, "SELECT id FROM t")) == ["2", "3", "4"]


def test_what_is_in_the_way_only_for_now_is_no_conflict(tmp_path: Path) -> None:
    """Theirs passed titles on: each is free once the row that had it has the next."""
    three = Databases(tmp_path, UNIQUE)
    three.both("INSERT INTO t VALUES('1', 'a'), ('2', 'b'), ('3', 'c'), ('4', 'd')")
    write(three.theirs, "DELETE FROM t WHERE id = '4'")
    for number, title in (("3", "d"), ("2", "c"), ("1", "b"), ("0", "a")):
        write(three.theirs, f"INSERT OR REPLACE INTO t VALUES('{number}', '{title}')")
    report = three.merge()
    assert not len(report.conflicts)
    assert sorted(rows(three.ours, "SELECT * FROM t")) == [
        ("0", "a"), ("1", "b"), ("2", "c"), ("3", "d"),
    ]  # fmt: skip


def test_rows_whose_key_comes_twice_or_is_lacking_are_all_there_afterwards(tmp_path: Path) -> None:
    three = Databases(tmp_path, "CREATE TABLE t(id TEXT PRIMARY KEY, k TEXT, v TEXT)")
    known = {"t": Table(key=("k",), local={"id": None})}
    plain = {"t": Table(key=("k",))}
    write(three.ours, "INSERT INTO t VALUES('1', 'x', 'a'), ('2', 'x', 'b'), ('3', 'y', 'a')")
    write(three.theirs, "INSERT INTO t VALUES('4', 'x', 'c'), ('5', NULL, 'd'), ('6', 'z', 'e')")
    assert whys(three.merge(known, base=False)) == [("t", "constraint")]
    assert sorted(rows(three.ours, "SELECT v FROM t")) == ["a", "a", "b", "e"]
    assert not len(three.merge(plain, base=False).conflicts)
    assert sorted(rows(three.ours, "SELECT v FROM t")) == ["a", "a", "b", "c", "d", "e"]
    assert not three.merge(plain, base=False).changed


FAMILY = """
CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT {unique});
CREATE TABLE child(id INTEGER PRIMARY KEY, of INTEGER REFERENCES parent(id), text TEXT);
"""
CHILDREN = "SELECT name, text FROM child LEFT JOIN parent ON parent.id = child.of ORDER BY 1, 2"


@pytest.mark.parametrize("unique", ["UNIQUE", ""])
def test_numbers_that_speak_of_rows_follow_them(tmp_path: Path, unique: str) -> None:
    three = Databases(tmp_path, FAMILY.format(unique=unique))
    write(three.ours, "INSERT INTO parent VALUES(1, 'a'), (2, 'b')")
    write(three.ours, "INSERT INTO child VALUES(1, 1, 'of a'), (2, 2, 'of b'), (3, NULL, 'lone')")
    write(three.theirs, "INSERT INTO parent VALUES(1, 'c'), (2, 'a')")
    write(three.theirs, "INSERT INTO child VALUES(1, 1, 'of c'), (2, 2, 'of a'), (9, 2, 'more')")
    report = three.merge(base=False)
    assert not len(report.conflicts)
    assert rows(three.ours, CHILDREN) == [
        (None, "lone"), ("a", "more"), ("a", "of a"), ("b", "of b"), ("c", "of c"),
    ]  # fmt: skip
    assert not three.merge(base=False).changed


def test_nothing_speaks_of_a_row_that_is_not_here(tmp_path: Path) -> None:
    """Ours removed a parent to which theirs added a child, and theirs one that ours still uses."""
    three = Databases(tmp_path, FAMILY.format(unique="UNIQUE"))
    three.both("INSERT INTO parent VALUES(1, 'mine'), (2, 'theirs'), (3, 'nobody''s')")
    write(three.ours, "DELETE FROM parent WHERE id = 1; INSERT INTO child VALUES(1, 2, 'new here')")
    write(three.theirs, "DELETE FROM parent WHERE id > 1")
    write(three.theirs, "INSERT INTO child VALUES(1, 1, 'new there')")
    report = three.merge()
    assert sorted(whys(report)) == [("child", "refers-to-missing"), ("parent", "referred-to")]
    assert rows(three.ours, "SELECT name FROM parent") == ["theirs"]
    assert rows(three.ours, CHILDREN) == [("theirs", "new here")]


def test_a_row_goes_with_what_theirs_removed_of_it(tmp_path: Path) -> None:
    three = Databases(tmp_path, FAMILY.format(unique="UNIQUE"))
    three.both("INSERT INTO parent VALUES(1, 'a')", "INSERT INTO child VALUES(1, 1, 'of a')")
    write(three.theirs, "DELETE FROM child; DELETE FROM parent")
    assert not len(three.merge().conflicts)
    assert rows(three.ours, "SELECT * FROM child") == rows(three.ours, "SELECT * FROM parent") == []


FACTS = "CREATE TABLE fact(id INTEGER PRIMARY KEY, s TEXT, o TEXT, since TEXT, ends TEXT)"
KNOWN = {"fact": Table(key=("s", "o", "since"), only_one=OnlyOne(("s",), "ends", "since"))}


def test_only_one_fact_holds(tmp_path: Path) -> None:
    three = Databases(tmp_path, FACTS)
    three.both("INSERT INTO fact VALUES(1, 'x', 'old', '1', NULL), (2, 'y', 'old', '1', NULL)")
    # theirs went on with both; ours with y only
    for path, name in ((three.ours, "mine"), (three.theirs, "theirs")):
        what = "s = 'y'" if name == "mine" else "1"
        write(path, f"UPDATE fact SET ends = '{name}' WHERE {what}")
        write(path, f"INSERT INTO fact SELECT NULL, s, '{name}', '2', NULL FROM fact WHERE {what}")
    report = three.merge(KNOWN)
    assert sorted(whys(report)) == [("fact", "both-changed"), ("fact", "only-one")]
    holding = "SELECT s, o FROM fact WHERE ends IS NULL ORDER BY s"
    assert rows(three.ours, holding) == [("x", "theirs"), ("y", "mine")]
    assert three.merge(KNOWN, prefer="theirs").conflicts.left == 0
    assert rows(three.ours, holding) == [("x", "theirs"), ("y", "theirs")]
    assert ("y", "mine", "2") in rows(three.ours, "SELECT s, o, ends FROM fact")


def test_what_only_grows_makes_no_difference(tmp_path: Path) -> None:
    three = Databases(tmp_path, "CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT, seen INT)")
    known = {"t": Table(greatest=frozenset({"seen"}))}
    three.both("INSERT INTO t VALUES('a', '1', 1), ('b', '1', 1), ('c', '1', NULL)")
    write(three.ours, "UPDATE t SET seen = 5 WHERE id = 'a'; UPDATE t SET seen = 2 WHERE id = 'b'")
    write(three.theirs, "UPDATE t SET seen = 3; UPDATE t SET v = '2' WHERE id = 'a'")
    assert not len(three.merge(known).conflicts)
    assert rows(three.ours, "SELECT * FROM t") == [("a", "2", 5), ("b", "1", 3), ("c", "1", 3)]
    assert not three.merge(known).changed


TEXTS = """
CREATE TABLE note(id TEXT PRIMARY KEY, body TEXT);
CREATE VIRTUAL TABLE note_fts USING fts5(body, content=note, content_rowid=rowid);
"""
TRIGGERS = """
CREATE TRIGGER note_ai AFTER INSERT ON note BEGIN
  INSERT INTO note_fts(rowid, body) VALUES (new.rowid, new.body); END;
CREATE TRIGGER note_ad AFTER DELETE ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, body) VALUES ('delete', old.rowid, old.body); END;
CREATE TRIGGER note_au AFTER UPDATE OF body ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, body) VALUES ('delete', old.rowid, old.body);
  INSERT INTO note_fts(rowid, body) VALUES (new.rowid, new.body); END;
"""


@pytest.mark.parametrize(
    "triggers", [TRIGGERS, TRIGGERS.partition("CREATE TRIGGER note_ad")[0], ""]
)
def test_full_text_follows_its_content(tmp_path: Path, triggers: str) -> None:
    three = Databases(tmp_path, TEXTS + triggers)
    three.both("INSERT INTO note VALUES('1', 'apple'), ('2', 'pear'), ('3', 'plum')")
    if not triggers:
        three.both("INSERT INTO note_fts(note_fts) VALUES('rebuild')")
    write(three.ours, "INSERT INTO note VALUES('4', 'mine')")
    write(three.theirs, "UPDATE note SET body = 'quince' WHERE id = '2'")
    write(three.theirs, "DELETE FROM note WHERE id = '3'; INSERT INTO note VALUES('5', 'fig')")
    three.merge()
    write(three.ours, "INSERT INTO note_fts(note_fts, rank) VALUES('integrity-check', 1)")
    for word, found in (("quince", ["2"]), ("pear", []), ("plum", []), ("fig", ["5"])):
        query = f"SELECT id FROM note WHERE rowid IN (SELECT rowid FROM note_fts('{word}'))"
        assert rows(three.ours, query) == found


def test_full_text_with_content_of_its_own_is_a_table(tmp_path: Path) -> None:
    three = Databases(tmp_path, "CREATE VIRTUAL TABLE note USING fts5(body, id UNINDEXED)")
    write(three.ours, "INSERT INTO note VALUES('apple', '1'), ('both', '0')")
    write(three.theirs, "INSERT INTO note VALUES('pear', '2'), ('both', '0')")
    three.merge(base=False)
    assert rows(three.ours, "SELECT id FROM note('pear OR apple') ORDER BY id") == ["1", "2"]
    assert rows(three.ours, "SELECT count(*) FROM note") == [3]
    write(three.ours, "INSERT INTO note(note) VALUES('integrity-check')")


OWNER = """
CREATE TABLE thing(n INTEGER PRIMARY KEY, id TEXT UNIQUE, v TEXT);
CREATE TABLE fact(thing INTEGER, key TEXT, value TEXT, PRIMARY KEY(thing, key));
CREATE VIRTUAL TABLE said USING fts5(words, id UNINDEXED);
"""
OWNING = {"thing": Table(owned=(Owned("fact", "thing", "n"), Owned("said", "id", "id")))}


def own(path: Path, number: int, name: str, *facts: str) -> None:
    write(path, f"DELETE FROM fact WHERE thing = {number}; DELETE FROM said WHERE id = '{name}'")
    write(path, f"INSERT OR REPLACE INTO thing VALUES({number}, '{name}', 'v')")
    write(path, insert("fact", ((number, f"k{n}", one) for n, one in enumerate(facts))))
    write(path, insert("said", [(one, name) for one in facts]))


def test_what_belongs_to_a_row_goes_with_it(tmp_path: Path) -> None:
    three = Databases(tmp_path, OWNER)
    for path in (three.ours, three.base):
        own(path, 1, "a", "one")
        own(path, 2, "b", "two", "too")
        own(path, 3, "c", "three")
    own(three.theirs, 7, "a", "one")
    own(three.theirs, 1, "b", "changed")
    own(three.theirs, 2, "c", "changed")
    own(three.theirs, 3, "d", "new", "newer")
    own(three.ours, 3, "c", "changed here")
    report = three.merge(OWNING)
    assert [(one.key, one.why) for one in report.conflicts] == [("id='c'", "both-changed")]
    assert counts(report, "thing") == (1, 1, 1, 0, 1)
    expected = [
        ("a", "one"), ("b", "changed"), ("c", "changed here"), ("d", "new"), ("d", "newer")
    ]  # fmt: skip
    of_things = "SELECT id, value FROM thing JOIN fact ON thing = n ORDER BY 1, 2"
    assert rows(three.ours, of_things) == rows(
        three.ours, "SELECT id, words FROM said ORDER BY 1, 2"
    )
    assert rows(three.ours, of_things) == expected
    assert rows(three.ours, "SELECT id FROM said('newer')") == ["d"]
    assert not three.merge(OWNING).changed


def test_what_belongs_to_a_row_is_compared_behind_a_nul_too(tmp_path: Path) -> None:
    three = Databases(tmp_path, OWNER)
    for path in (three.ours, three.base):
        own(path, 1, "a", "one\0two")
    own(three.theirs, 1, "a", "one\0three")
    assert counts(three.merge(OWNING), "thing") == (0, 0, 1, 0, 0)
    assert rows(three.ours, "SELECT value FROM fact") == ["one\0three"]


def test_a_row_that_theirs_removed_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    three = Databases(tmp_path, OWNER)
    for path in (three.ours, three.base):
        own(path, 1, "a", "one")
    own(three.theirs, 5, "b", "two")
    three.merge(OWNING)
    assert (
        rows(three.ours, "SELECT id FROM said") == rows(three.ours, "SELECT id FROM thing") == ["b"]
    )
    assert rows(three.ours, "SELECT value FROM fact") == ["two"]


def test_names_that_must_be_quoted_and_tables_without_rowids(tmp_path: Path) -> None:
    schema = """
    CREATE TABLE "or""der"("group" TEXT, "select me" TEXT, rowid TEXT, number INT, clean INT,
      up TEXT GENERATED ALWAYS AS (upper("select me")) VIRTUAL, PRIMARY KEY("group", number));
    CREATE TABLE "wéird"(id INTEGER, v TEXT, PRIMARY KEY(id)) WITHOUT ROWID;
    CREATE INDEX up ON "or""der"(up);
    """
    three = Databases(tmp_path, schema)
    columns = '"or""der"("group", "select me", rowid, number, clean)'
    three.both(insert(columns, [("a", "b", "c", 1, 2), ("a", "gone", "c", 2, 2)]))
    three.both("INSERT INTO wéird VALUES(1, 'x'), (2, 'y')")
    write(three.theirs, insert(columns, [("n", "new", "c", 1, 2)]))
    write(three.theirs, 'UPDATE "or""der" SET "select me" = \'z\' WHERE number = 1')
    write(three.theirs, 'DELETE FROM "or""der" WHERE number = 2; DELETE FROM wéird WHERE id = 1')
    write(three.theirs, "INSERT INTO wéird VALUES(3, 'z'); UPDATE wéird SET v = 'Y' WHERE id = 2")
    assert not len(three.merge().conflicts)
    assert sorted(rows(three.ours, "SELECT \"group\", up FROM \"or\"\"der\"")) == [
        ("a", "Z"), ("n", "Z"),
    ]  # fmt: skip
    assert rows(three.ours, "SELECT * FROM wéird") == [(2, "Y"), (3, "z")]


def test_a_constraint_or_a_trigger_that_refuses_is_told(tmp_path: Path) -> None:
    three = Databases(tmp_path)
    write(three.ours, "CREATE TABLE t(id TEXT PRIMARY KEY, v INT CHECK (v < 10))")
    write(three.ours, "CREATE TRIGGER r BEFORE INSERT ON t WHEN new.v = 5 BEGIN"
          " SELECT RAISE(IGNORE); END; CREATE TRIGGER s BEFORE INSERT ON t WHEN new.v = 6 BEGIN"
          " SELECT RAISE(ABORT, 'not six'); END;")  # fmt: skip
    write(three.theirs, "CREATE TABLE t(id TEXT PRIMARY KEY, v INT)")
    write(three.theirs, insert("t", [("1", 1), ("5", 5), ("6", 6), ("99", 99)]))
    report = three.merge(base=False)
    assert [one.why for one in report.conflicts] == ["constraint"] * 3
    assert any("not six" in one.words for one in report.conflicts)
    assert rows(three.ours, "SELECT id FROM t") == ["1"]


def test_rows_that_speak_of_each_other_in_a_circle_are_left_and_told(tmp_path: Path) -> None:
    tree = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, up INTEGER REFERENCES t(id))"
    three = Databases(tmp_path, tree)
    write(three.theirs, "INSERT INTO t VALUES(1, 'top', NULL), (2, 'below', 1)")
    assert whys(three.merge(base=False)) == [("t", "schema")]
    assert rows(three.ours, "SELECT count(*) FROM t") == [0]


def test_rows_that_speak_of_each_other_by_names_of_their_own_are_merged(tmp_path: Path) -> None:
    tree = "CREATE TABLE t(id TEXT PRIMARY KEY, up TEXT REFERENCES t(id))"
    three = Databases(tmp_path, tree)
    write(three.theirs, "INSERT INTO t VALUES('c', 'b'), ('b', 'a'), ('a', 'a'), ('x', 'no such')")
    assert [one.key for one in three.merge(base=False).conflicts] == ["id='x'"]
    assert sorted(rows(three.ours, "SELECT id FROM t")) == ["a", "b", "c"]


def test_a_module_that_is_not_here_keeps_nothing_else_from_being_merged(tmp_path: Path) -> None:
    three = Databases(tmp_path, "CREATE TABLE note(id TEXT PRIMARY KEY)")
    three.both(a_virtual_table_of_vec0)
    write(three.theirs, "INSERT INTO note VALUES('new')", "INSERT INTO vec_rowids VALUES(2)")
    report = three.merge(base=False)
    assert rows(three.ours, "SELECT id FROM note") == ["new"]
    assert rows(three.ours, "SELECT * FROM vec_rowids") == [1]
    assert [(one.path, one.table) for one in report.stale] == [(b"a.db", "vec")]


def a_virtual_table_of_vec0(db: sqlite3.Connection) -> None:
    """Make what sqlite-vec makes, without it."""
    db.execute("CREATE TABLE vec_rowids(rowid_of INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO vec_rowids VALUES(1)")
    db.execute("PRAGMA writable_schema = ON")
    sql = "CREATE VIRTUAL TABLE vec USING vec0(id TEXT PRIMARY KEY, embedding FLOAT[8])"
    db.execute("INSERT INTO sqlite_master VALUES('table', 'vec', 'vec', 0, ?)", (sql,))


def test_databases_that_hold_text_otherwise_are_refused(tmp_path: Path) -> None:
    three = Databases(tmp_path)
    write(three.ours, "CREATE TABLE t(id TEXT PRIMARY KEY)")
    write(three.theirs, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(id TEXT PRIMARY KEY)")
    with pytest.raises(Refused, match="UTF-16le"):
        three.merge(base=False)


def test_a_reference_that_only_the_layout_knows(tmp_path: Path) -> None:
    schema = (
        "CREATE TABLE note(id TEXT PRIMARY KEY);"
        "CREATE TABLE link(a TEXT, b TEXT, PRIMARY KEY(a, b))"
    )
    known = {"link": Table(references={"a": Reference("note", "id"), "b": Reference("note", "id")})}
    three = Databases(tmp_path, schema)
    three.both("INSERT INTO note VALUES('1'), ('2')")
    write(three.ours, "DELETE FROM note WHERE id = '2'")
    write(
        three.theirs, "INSERT INTO note VALUES('3'); INSERT INTO link VALUES('1', '3'), ('1', '2')"
    )
    assert [one.key for one in three.merge(known).conflicts] == ["a='1' b='2'"]
    assert rows(three.ours, "SELECT * FROM link") == [("1", "3")]
