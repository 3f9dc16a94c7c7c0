"""Every family is recognised, found, named, captured with its outside parts, and counted."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from tests.support import Place

import palatine
from palatine import api
from palatine.events import SILENT
from palatine.layouts import registry
from palatine.layouts.base import Image, query_counts
from palatine.model.snapshot import CapturedAs
from palatine.ops import restore_new
from palatine.ops.diff import ChangeKind
from palatine.ops.planning import plan
from palatine.restore import fresh
from palatine.restore.directory import Written
from palatine.restore.fresh import Selected
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES, Made, make_all


@pytest.fixture(params=FAMILIES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A palace of each family."""
    return FAMILIES[request.param](tmp_path / "data", Random(request.param))


def snapshotted(place: Place, palace: Path) -> str:
    with place.open() as repository:
        done = repository.snapshot(palace)
        assert done.fresh
        assert done.stored.snapshot.complete
        return done.stored.id.hex()


def stats(root: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what is there, without opening a database whose locks this process holds."""
    found = {path: path.lstat() for path in root.rglob("*")}
    return {path: (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in found.items()}


def test_recognised_and_by_no_other(made: Made) -> None:
    takers = [one.name for one in registry.BUILT_IN if one.recognise(made.palace)]
    assert takers == [made.layout] * (made.layout != "generic")
    assert registry.match(made.palace).name == made.layout


def test_named(made: Made) -> None:
    (planned,) = plan([made.palace], None, SILENT)
    assert (planned.palace, planned.layout) == (made.name, made.layout)


def test_found_below_its_root_and_nothing_else(made: Made, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "data"):
        if made.layout == "generic" and root == tmp_path:
            continue  # whoever names a directory of directories gets each of these
        found = api.discover(root)
        assert [(one.source, one.palace) for one in found] == [(made.palace, made.name)]


@pytest.mark.parametrize(
    ("family", "home"),
    [("mempalace", ".mempalace"), ("oxios", ".oxios"), ("trusty-sqlite", ".")],
)
def test_in_a_systems_home_only_palaces_are_taken(tmp_path: Path, family: str, home: str) -> None:
    made = FAMILIES[family](tmp_path, Random(1))
    (tmp_path / home / "cache").mkdir()
    (tmp_path / home / "cache" / "file").touch()
    assert [one.source for one in api.discover(tmp_path / home)] == [made.palace]


def test_each_layout_finds_its_own(made: Made, tmp_path: Path) -> None:
    for layout in registry.BUILT_IN:
        assert list(layout.find(tmp_path)) == [made.palace] * (layout.name == made.layout)


def test_looking_leaves_no_trace(made: Made, tmp_path: Path) -> None:
    before = state_of(tmp_path)
    layout = registry.match(made.palace)
    layout.outside(made.palace)
    registry.discover(tmp_path)
    assert differences(before, state_of(tmp_path)) == []


def test_captured_and_restored_with_all_its_parts(made: Made, place: Place) -> None:
    before = state_of(place.root / "data")
    revision = snapshotted(place, made.palace)
    assert differences(before, state_of(place.root / "data")) == []
    with place.open() as repository:
        one = repository.resolve(revision).snapshot
        assert (one.palace, one.layout) == (made.name, made.layout)
        assert {part.name: Path(os.fsdecode(part.place)) for part in one.outside} == made.outside
        restored = repository.restore(revision, place.root / "restored")
    assert differences(state_of(made.palace), state_of(place.root / "restored")) == []
    beside = place.root / "restored.outside"
    assert sorted(os.listdir(beside) if beside.exists() else []) == sorted(made.outside)
    assert {part.name: part.target for part in restored.outside} == {
        name: beside / name for name in made.outside
    }
    for name, path in made.outside.items():
        mine, its = path, beside / name / path.name
        assert its.read_bytes() == mine.read_bytes()
        assert os.stat(its).st_mode == os.stat(mine).st_mode
        assert os.stat(its).st_mtime_ns == os.stat(mine).st_mtime_ns
    assert place.verify().ok


def test_counted_as_it_was_made(made: Made, place: Place) -> None:
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        assert repository.counts(revision) == made.counts


def test_counts_are_of_the_snapshot_and_not_of_today(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    old = snapshotted(place, made.palace)
    with closing(sqlite3.connect(made.palace / "kg.db")) as db, db:
        db.execute("DELETE FROM triples WHERE valid_to IS NULL AND id % 3 = 0")
        left = {
            "triples": len(db.execute("SELECT * FROM triples").fetchall()),
            "active_triples": sum(
                ended is None for (ended,) in db.execute("SELECT valid_to FROM triples")
            ),
        }
    new = snapshotted(place, made.palace)
    with place.open() as repository:
        assert repository.counts(old) == made.counts
        assert repository.counts(new) == {**made.counts, **left}
    assert left["active_triples"] < made.counts["active_triples"]


def test_an_old_trusty_palace_without_a_table_of_drawers(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    with closing(sqlite3.connect(made.palace / "kg.db")) as db, db:
        db.execute("DROP TABLE drawers")
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        assert repository.counts(revision)["drawers"] == 15


def test_a_graph_in_the_palace_is_the_one_that_counts(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    with closing(sqlite3.connect(made.palace / "knowledge_graph.sqlite3")) as db, db:
        db.execute("CREATE TABLE triples(id)")
        db.execute("INSERT INTO triples VALUES (1)")
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        assert repository.counts(revision)["triples"] == 1


def test_what_cannot_be_read_is_an_error(place: Place) -> None:
    made = FAMILIES["ai-memory"](place.root / "data", Random(1))
    path = made.palace / "ai-memory.db"
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 8] = bytes(4096 * 7)
    path.write_bytes(data)
    with place.open() as repository:
        revision = repository.snapshot(made.palace).stored.id.hex()
        with pytest.raises(palatine.errors.SourceError, match=r"ai-memory\.db"):
            repository.counts(revision)


def test_artifacts_have_kinds(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        artifacts = repository.resolve(revision).snapshot.artifacts
    kinds = {one.path: one.kind for one in artifacts}
    assert kinds[b"chroma.sqlite3"] == "drawers"
    assert kinds[b"@knowledge-graph/knowledge_graph.sqlite3"] == "knowledge-graph"
    assert kinds[b"@config/config.json"] == "config"
    assert sorted(kinds.values()).count("vector-index") == 2
    assert [path for path, kind in kinds.items() if kind == "set-aside" and b".drift-" in path]
    assert list(kinds) == sorted(kinds)
    assert {one.captured for one in artifacts} <= {CapturedAs.STABLE, CapturedAs.PINNED}


def test_vectors_of_trusty_are_derived_and_those_of_chroma_are_not() -> None:
    trusty, chroma = registry.of_name("trusty"), registry.of_name("mempalace")
    assert trusty.is_derived(b"index.usearch")
    assert not trusty.is_derived(b"kg.db")
    assert not chroma.is_derived(b"5f0c9a1e-6b1d-4c55-9d0e-2f7b8f7f3a10/data_level0.bin")


def test_nothing_changed_and_then_only_an_outside_part(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    first = snapshotted(place, made.palace)
    with place.open() as repository:
        assert not repository.snapshot(made.palace).fresh
        (made.palace.parent / "tunnels.json").write_text("[]")
        done = repository.snapshot(made.palace)
        assert done.fresh
        new, old = done.stored.snapshot, repository.resolve(first).snapshot
        assert new.root == old.root
        assert [one.name for one, other in zip(new.outside, old.outside, strict=True)
                if one != other] == ["tunnels"]  # fmt: skip
        assert b"".join(repository.cat("mempalace:@tunnels/tunnels.json")) == b"[]"
        assert b"".join(repository.cat("mempalace~:@tunnels/tunnels.json")) != b"[]"
        listed = [one.path for one in repository.ls("mempalace:@knowledge-graph")]
        assert listed == [b"@knowledge-graph/knowledge_graph.sqlite3"]
        (change,) = repository.diff("mempalace~", "mempalace")
        assert (change.kind, change.path) == (ChangeKind.CHANGED, b"@tunnels/tunnels.json")
        paths = [one.path for one in repository.find("tunnels.json")]
        assert paths == [b"@tunnels/tunnels.json"] * 2


def test_diff_tells_of_parts_that_came_and_went(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    (log,) = made.outside.values()
    snapshotted(place, made.palace)
    log.rename(place.root / "log")
    snapshotted(place, made.palace)
    (place.root / "log").rename(log)
    snapshotted(place, made.palace)
    with place.open() as repository:
        for old, new, kind in ((2, 1, ChangeKind.REMOVED), (1, 0, ChangeKind.ADDED)):
            (change,) = repository.diff(f"oxios~{old}", f"oxios~{new}")
            assert (change.kind, change.path) == (kind, b"@agent-log/agent_log.db")
        assert repository.diff("oxios~2", "oxios") == []


def test_living_parts_are_captured_with_what_was_committed(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    graph = made.outside["knowledge-graph"]
    row = "INSERT INTO entities VALUES (?, 'x', 'x', 'x', 'x')"
    with closing(sqlite3.connect(graph)) as db, closing(sqlite3.connect(graph)) as other:
        db.execute(row, ("committed",))
        db.commit()
        other.execute(row, ("not committed",))
        before = stats(made.palace.parent)
        assert graph.with_name("knowledge_graph.sqlite3-wal") in before
        revision = snapshotted(place, made.palace)
        assert stats(made.palace.parent) == before
    with place.open() as repository:
        assert repository.counts(revision)["entities"] == made.counts["entities"] + 1
        artifacts = {one.path: one for one in repository.resolve(revision).snapshot.artifacts}
    path = b"@knowledge-graph/knowledge_graph.sqlite3"
    assert artifacts[path].captured == CapturedAs.PINNED
    assert b"-wal" not in b"".join(artifacts)


def test_a_part_that_is_a_link_is_what_the_link_leads_to(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    graph = made.outside["knowledge-graph"]
    graph.rename(place.root / "elsewhere.db")
    graph.symlink_to(place.root / "elsewhere.db")
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        assert repository.counts(revision) == made.counts


def test_artifacts_of_the_unchanged_are_those_of_the_parent(place: Place) -> None:
    made = FAMILIES["trusty-redb"](place.root / "data", Random(1))
    with place.open() as repository:
        first = repository.snapshot(made.palace).stored.snapshot
        second = repository.snapshot(made.palace, force=True).stored.snapshot
    assert first.artifacts == second.artifacts
    assert len(first.artifacts) == 10


def test_an_outside_part_can_be_excluded(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    with place.open() as repository:
        for excludes, left in (
            (["@identity"], made.outside.keys() - {"identity"}),
            (["*.json"], {"knowledge-graph", "identity"}),
        ):
            done = repository.snapshot(made.palace, excludes=excludes)
            assert {one.name for one in done.stored.snapshot.outside} == left


def test_an_outside_part_that_cannot_be_read_is_missing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    (log,) = made.outside.values()
    layout = registry.match(made.palace)
    parts = layout.outside(made.palace)
    monkeypatch.setattr(type(layout), "outside", lambda self, path: parts)
    log.unlink()
    with place.open() as repository:
        snapshot = repository.snapshot(made.palace).stored.snapshot
    assert [one.path for one in snapshot.missing] == [b"@agent-log"]
    assert snapshot.outside == ()


def test_outside_parts_are_those_of_the_place_that_was_named(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    elsewhere = place.root / "elsewhere"
    made.palace.rename(elsewhere)
    made.palace.symlink_to(elsewhere)
    with place.open() as repository:
        snapshot = repository.snapshot(made.palace).stored.snapshot
    assert {one.name for one in snapshot.outside} == made.outside.keys()
    assert snapshot.palace == "mempalace"


def test_another_applications_config_is_left_alone(place: Place) -> None:
    made = FAMILIES["mempalace"](place.root / "data", Random(1))
    for name, path in made.outside.items():
        if name not in ("config", "identity"):
            path.unlink()
    made.outside["config"].write_text('{"password": "secret"}')
    made.palace.parent.rename(place.root / "application")
    with place.open() as repository:
        snapshot = repository.snapshot(place.root / "application" / "palace").stored.snapshot
    assert snapshot.outside == ()


def test_a_restore_that_cannot_be_finished_leaves_nothing(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    (place.root / "t.outside").mkdir()
    (place.root / "t.outside" / "mine").touch()
    with place.open() as repository, pytest.raises(palatine.errors.Exists, match=r"t\.outside"):
        repository.restore(revision, place.root / "t")
    assert not (place.root / "t").exists()
    assert os.listdir(place.root / "t.outside") == ["mine"]


def test_parts_go_again_when_the_palace_cannot_be_restored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    original = fresh.restore_fresh

    def failing(what: Selected, target: Path, *rest: Any) -> Written:
        if target == place.root / "t":
            assert (place.root / "t.outside" / "agent-log").is_dir()
            raise palatine.errors.Damaged("half of it is gone")
        return original(what, target, *rest)

    monkeypatch.setattr(restore_new, "restore_fresh", failing)
    with place.open() as repository, pytest.raises(palatine.errors.Damaged):
        repository.restore(revision, place.root / "t")
    assert not [name for name in os.listdir(place.root) if name.startswith("t")]


def test_a_restore_of_chosen_paths_brings_no_outside_parts(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        repository.restore(revision, place.root / "t", paths=["memory.db"])
    assert os.listdir(place.root / "t") == ["memory.db"]
    assert not (place.root / "t.outside").exists()


def test_a_dry_run_names_outside_parts(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    revision = snapshotted(place, made.palace)
    with place.open() as repository:
        planned = repository.restore(revision, place.root / "t", dry_run=True)
    assert b"@agent-log/agent_log.db" in [one.path for one in planned.actions]
    assert [part.target for part in planned.outside] == [place.root / "t.outside" / "agent-log"]
    assert not (place.root / "t.outside").exists()


def test_all_takes_every_palace_below_a_data_root(place: Place) -> None:
    made = make_all(place.root / "data", 1)
    with place.open() as repository:
        planned = {
            one.source: one.layout for one in repository.plan([place.root / "data"], all=True)
        }
    expected = {one.palace: one.layout for one in made.values()}
    expected[place.root / "data" / "generic"] = expected.pop(made["generic"].palace)
    assert planned == expected


def test_a_directory_with_files_of_its_own_is_taken_whole(tmp_path: Path) -> None:
    made = FAMILIES["nexo-memdir"](tmp_path / "data" / "agent", Random(1))
    assert [one.source for one in api.discover(tmp_path / "data")] == [made.palace]
    (tmp_path / "data" / "agent" / "settings.ini").write_text("mine")
    (found,) = api.discover(tmp_path / "data")
    assert (found.source, found.layout) == (tmp_path / "data" / "agent", "generic")


def test_a_database_amid_other_things_is_taken_alone(tmp_path: Path) -> None:
    made = FAMILIES["ai-memory"](tmp_path / "data", Random(1))
    (made.palace / "todo.txt").write_text("mine")
    (found,) = api.discover(made.palace)
    assert (found.source, found.layout) == (made.palace / "ai-memory.db", "ai-memory")
    (found,) = api.discover(tmp_path)  # far below the root
    assert found.source == made.palace / "ai-memory.db"
    (found,) = api.discover(tmp_path / "data")  # directly below it, a directory is one palace
    assert (found.source, found.layout) == (made.palace, "ai-memory")


def test_the_repository_is_no_palace(place: Place) -> None:
    with place.open() as repository:
        found = [one.palace for one in repository.plan([place.root], all=True)]
    assert "palace" in found
    assert "repository" not in found


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"id": 1}', "\xff", "[" * 100_000])
def test_files_that_say_nothing(tmp_path: Path, text: str) -> None:
    for name in ("palace.json", "config.json"):
        (tmp_path / name).write_text(text, "latin-1")
    assert registry.match(tmp_path).name == "generic"


def test_a_name_that_is_none_falls_back_to_the_directory(tmp_path: Path) -> None:
    made = FAMILIES["trusty-redb"](tmp_path, Random(1))
    for identity, expected in (("../../etc", "etc"), ("...", "notes"), ("", "notes")):
        file = made.palace / "palace.json"
        file.write_text(json.dumps({"id": identity, "name": "x", "created_at": "y"}))
        (planned,) = plan([made.palace], None, SILENT)
        assert planned.palace == expected


def test_missing_tables_are_not_counted(tmp_path: Path) -> None:
    class Empty:
        def database(self, path: bytes) -> closing[sqlite3.Connection]:
            return closing(sqlite3.connect(":memory:"))

    image = cast(Image, Empty())
    assert query_counts(image, b"x", {"memories": "SELECT count(*) FROM memories"}) == {}
