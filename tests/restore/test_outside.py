"""Parts from outside of the palace: chosen, compared, and put back where they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support import TORTURE, Place, as_nobody, damage_frames

from palatine.clock import SYSTEM
from palatine.errors import Damaged, Exists, Locked, PathNotFound, Refused, UsageError
from palatine.ids import Kind
from palatine.layouts import registry
from palatine.layouts.base import Layout, OutsidePart
from palatine.ops.diff import ChangeKind
from palatine.ops.restoring import Restored
from palatine.restore import intent
from palatine.testing.builders import State, differences, state_of
from palatine.testing.families import FAMILIES, Made
from palatine.testing.sqlite_service import Service


def mempalace(place: Place) -> tuple[Made, str]:
    made = FAMILIES["mempalace"](place.root / "data", Random(7))
    return made, snapshotted(place, made.palace)


def snapshotted(place: Place, palace: Path) -> str:
    with place.open() as repository:
        return repository.snapshot(palace).stored.id.hex()


def restored(place: Place, revision: str, target: Path, **more: Any) -> Restored:
    with place.open() as repository:
        return repository.restore(revision, target, **more)


def beside(target: Path) -> list[str]:
    root = target.with_name(target.name + ".outside")
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def changes(place: Place, revision: str, directory: Path) -> dict[str, ChangeKind]:
    with place.open() as repository:
        found = repository.diff_directory(revision, directory)
    return {os.fsdecode(one.path): one.kind for one in found}


# Choosing


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["@tunnels"], ["tunnels/tunnels.json"]),
        (["@tunnels/tunnels.json", "/@config/"], ["config/config.json", "tunnels/tunnels.json"]),
    ],
)
def test_chosen_in_outside_parts(place: Place, paths: list[str], expected: list[str]) -> None:
    made, revision = mempalace(place)
    target = place.root / "t"
    done = restored(place, revision, target, paths=paths)
    assert beside(target) == expected
    assert not target.exists()
    assert {part.name for part in done.outside} == {one.partition("/")[0] for one in expected}
    assert done.files == len(expected)
    for one in expected:
        name, _, file = one.partition("/")
        assert (place.root / "t.outside" / one).read_bytes() == made.outside[name].read_bytes()
        assert made.outside[name].name == file


def test_chosen_in_the_palace_and_outside_of_it(place: Place) -> None:
    _, revision = mempalace(place)
    paths = ["chroma.sqlite3", "@hallways"]
    for dry_run in (True, False):
        done = restored(place, revision, place.root / "t", paths=paths, dry_run=dry_run)
        assert done.files == 2
        if dry_run:
            assert [one.path for one in done.actions] == [
                b"chroma.sqlite3", b"@hallways/hallways.json"
            ]  # fmt: skip
    assert files(place.root / "t") == ["chroma.sqlite3"]
    assert beside(place.root / "t") == ["hallways/hallways.json"]


@pytest.mark.parametrize(
    ("path", "error"),
    [("@nothing", PathNotFound), ("@tunnels/no", PathNotFound), ("@tunnels/../x", UsageError)],
)
def test_what_is_in_no_part_is_refused(place: Place, path: str, error: type[Exception]) -> None:
    _, revision = mempalace(place)
    with pytest.raises(error):
        restored(place, revision, place.root / "t", paths=[path])


def test_a_name_with_an_at_is_a_name_where_no_part_is_called_so(place: Place) -> None:
    (place.palace / "@home").mkdir()
    (place.palace / "@home" / "note").write_text("mine")
    place.snapshot()
    assert files(place.restored(paths=["@home/note"])) == ["@home/note"]


def test_a_kind_is_all_artifacts_of_it(place: Place) -> None:
    made, revision = mempalace(place)
    restored(place, revision, place.root / "t", kinds=["knowledge-graph"])
    assert not (place.root / "t").exists()
    assert beside(place.root / "t") == ["knowledge-graph/knowledge_graph.sqlite3"]
    restored(place, revision, place.root / "u", kinds=["vector-index", "entities"])
    segments = {one.split("/")[0] for one in files(place.root / "u")}
    assert segments == {
        path.name for path in made.palace.iterdir() if path.is_dir() and "." not in path.name
    }
    assert len(segments) == 2
    assert [one.split("/")[0] for one in beside(place.root / "u")] == [
        "entity-registry", "known-entities"
    ]  # fmt: skip


def test_a_kind_and_a_path_are_both_restored(place: Place) -> None:
    _, revision = mempalace(place)
    restored(place, revision, place.root / "t", kinds=["drawers"], paths=["@tunnels"])
    assert files(place.root / "t") == ["chroma.sqlite3"]
    assert beside(place.root / "t") == ["tunnels/tunnels.json"]


def test_kinds_that_the_snapshot_lacks_are_refused_and_those_it_has_named(place: Place) -> None:
    _, revision = mempalace(place)
    with pytest.raises(UsageError) as raised:
        restored(place, revision, place.root / "t", kinds=["payloads"])
    assert "drawers" in raised.value.hint
    assert "tunnels" in raised.value.hint
    (place.palace / "note").write_text("nothing is known of it")
    place.snapshot()
    with pytest.raises(UsageError, match="drawers"):
        place.restored(kinds=["drawers"])


# Comparing


def test_parts_that_are_as_they_were_do_not_differ(place: Place) -> None:
    made, revision = mempalace(place)
    assert changes(place, revision, made.palace) == {}


def test_what_changed_in_parts_is_told(place: Place) -> None:
    made, revision = mempalace(place)
    made.outside["tunnels"].write_text("[]")
    made.outside["hallways"].unlink()
    (made.palace.parent / "people_map.json").write_text("{}")
    (made.palace / "new").write_text("new")
    assert changes(place, revision, made.palace) == {
        "@hallways/hallways.json": ChangeKind.REMOVED,
        "@people-map/people_map.json": ChangeKind.ADDED,
        "@tunnels/tunnels.json": ChangeKind.CHANGED,
        "new": ChangeKind.ADDED,
    }


def test_a_restored_copy_is_compared_with_what_lies_beside_it(place: Place) -> None:
    made, revision = mempalace(place)
    target = place.root / "copy"
    restored(place, revision, target)
    shutil.rmtree(made.palace.parent)
    assert changes(place, revision, target) == {}
    (place.root / "copy.outside" / "config" / "config.json").write_text("{}")
    shutil.rmtree(place.root / "copy.outside" / "identity")
    assert changes(place, revision, target) == {
        "@config/config.json": ChangeKind.CHANGED,
        "@identity/identity.txt": ChangeKind.REMOVED,
    }


def test_a_part_in_use_is_compared_as_its_last_commit_left_it(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    with Service(made.outside["agent-log"]) as log, Service(made.palace / "memory.db") as memory:
        log.run("INSERT INTO log VALUES('before')")
        memory.run("DELETE FROM projects")
        revision = snapshotted(place, made.palace)
        assert changes(place, revision, made.palace) == {}
        log.run("INSERT INTO log VALUES('after')")
        assert changes(place, revision, made.palace) == {
            "@agent-log/agent_log.db": ChangeKind.CHANGED
        }
    place.notices.said.clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that are another's")
@pytest.mark.filterwarnings("ignore:This process")
def test_what_cannot_be_read_is_told_and_not_called_removed() -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        made, revision = mempalace(place)
        for path in (Path(root), *Path(root).rglob("*")):
            os.chown(path, 65534, 65534)
        for path in (made.outside["config"], made.palace / "chroma.sqlite3"):
            os.chown(path, 0, 0)
            path.chmod(0o600)
        (made.palace / "new").write_text("new")

        def look() -> None:
            found = changes(place, revision, made.palace)
            assert {path for path, kind in found.items() if kind != ChangeKind.METADATA} == {"new"}
            assert "chroma.sqlite3" not in found
            assert "@config/config.json" not in found
            (notice,) = place.notices.said
            assert notice.startswith("2 paths could not be compared")

        assert as_nobody(look) == 0


# Back where they were


def gone(one: Made) -> None:
    """Lose the palace and all its parts."""
    shutil.rmtree(one.palace)
    for path in one.outside.values():
        path.unlink()


def placed(one: Made) -> dict[str, dict[bytes, State]]:
    """Return the palace and its parts as they are, without the times of what they lie in."""
    found = {"": state_of(one.palace)}
    for name, path in one.outside.items():
        status = path.stat()
        found[name] = {b"": State("file", status.st_mode, status.st_mtime_ns, path.read_bytes(),
                                  (), b"")}  # fmt: skip
    return found


def beside_the_places(one: Made) -> list[str]:
    """Return names that a restore makes for itself and takes away again."""
    parents = {one.palace.parent, *(path.parent for path in one.outside.values())}
    return [name for path in parents for name in os.listdir(path) if "pal-restore" in name]


@pytest.mark.parametrize("family", ["mempalace", "oxios"])
def test_everything_is_back_in_its_place(place: Place, family: str) -> None:
    one = FAMILIES[family](place.root / "data", Random(family))
    before = placed(one)
    revision = snapshotted(place, one.palace)
    gone(one)
    done = restored(place, revision, one.palace, outside=True)
    assert placed(one) == before
    assert {part.name: part.target for part in done.outside} == one.outside
    assert done.files == sum(
        state.kind == "file" for states in before.values() for state in states.values()
    )
    assert beside_the_places(one) == []
    assert not one.palace.with_name(one.palace.name + ".outside").exists()


def test_a_part_that_is_a_directory_is_back_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cellar(Layout):
        name = "cellar"

        def recognise(self, path: Path) -> bool:
            return (path / "cellar.toml").is_file()

        def outside(self, path: Path) -> list[OutsidePart]:
            corks = path.parent / "corks"
            return [OutsidePart("corks", corks)] if corks.is_dir() else []

    monkeypatch.setattr(registry, "BUILT_IN", (Cellar(), *registry.BUILT_IN))
    (place.palace / "cellar.toml").touch()
    corks = place.root / "corks"
    corks.mkdir()
    (corks / "corks").write_text("nothing but a file of the directory's own name")
    before = state_of(corks)
    revision = snapshotted(place, place.palace)
    shutil.rmtree(corks)
    shutil.rmtree(place.palace)
    corks.mkdir()
    restored(place, revision, place.palace, outside=True)
    assert differences(before, state_of(corks)) == []


@pytest.mark.parametrize(
    "taken", ["tunnels.json", "knowledge_graph.sqlite3-wal", "knowledge_graph.sqlite3-journal"]
)
def test_what_is_in_a_parts_place_is_refused_before_anything_is_made(
    place: Place, taken: str
) -> None:
    one, revision = mempalace(place)
    gone(one)
    mine = one.palace.parent / taken
    mine.write_text("mine")
    before = state_of(one.palace.parent)
    for dry_run in (True, False):
        with pytest.raises(Exists, match=taken):
            restored(place, revision, one.palace, outside=True, dry_run=dry_run)
    assert differences(before, state_of(one.palace.parent)) == []


@pytest.mark.parametrize("target", ["data/.mempalace", "data/.mempalace/tunnels.json"])
def test_a_palace_and_a_part_never_lie_in_each_other(place: Place, target: str) -> None:
    one, revision = mempalace(place)
    shutil.rmtree(one.palace.parent)
    with pytest.raises(Refused, match="lies in"):
        restored(place, revision, place.root / target, outside=True)
    assert not one.palace.parent.exists()


def test_some_parts_go_back_alone(place: Place) -> None:
    one, revision = mempalace(place)
    before = placed(one)
    gone(one)
    for dry_run in (True, False):
        done = restored(
            place, revision, place.root / "t", paths=["@tunnels"], outside=True, dry_run=dry_run
        )
        assert [part.target for part in done.outside] == [one.outside["tunnels"]]
        assert done.files == 1
    assert os.listdir(place.root / "data" / ".mempalace").count("tunnels.json") == 1
    assert one.outside["tunnels"].read_bytes() == before["tunnels"][b""].data
    assert not (place.root / "t").exists()


def test_a_renamed_copy_with_its_parts_in_their_places_is_the_one_they_speak_of(
    place: Place,
) -> None:
    one, revision = mempalace(place)
    gone(one)
    target = place.root / "moved"
    restored(place, revision, target, outside=True, as_name="moved")
    said = json.loads(one.outside["config"].read_text())
    assert said["palace_path"] == str(target)


def test_without_a_new_name_a_part_that_leads_elsewhere_is_told_of(place: Place) -> None:
    one, revision = mempalace(place)
    for target, outside in (("beside", False), ("apart", True)):
        if outside:
            gone(one)
        (notice,) = restored(place, revision, place.root / target, outside=outside).notices
        assert notice.startswith(f"@config/config.json says that its palace_path is {one.palace}")


def test_two_restores_to_one_target_do_not_meet(place: Place) -> None:
    one, revision = mempalace(place)
    gone(one)
    with intent.held(one.palace, SYSTEM, 0), pytest.raises(Locked):
        restored(place, revision, one.palace, outside=True, lock_timeout=0)
    assert not one.palace.exists()
    restored(place, revision, one.palace, outside=True, lock_timeout=0)


def test_damage_leaves_nothing_anywhere(place: Place) -> None:
    one, revision = mempalace(place)
    gone(one)
    before = state_of(one.palace.parent)
    damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        restored(place, revision, one.palace, outside=True)
    home = {b"": before[b""]}  # whose time says that something was there meanwhile
    assert differences(before, {**state_of(one.palace.parent), **home}) == []


KILLED = """
import os, signal, sys
import palatine
from palatine import fsio

step, repository, cache, revision, target = sys.argv[1:]
left = int(step)

def counted(inner):
    def call(*arguments, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return inner(*arguments, **more)
    return call

for name in ("sync_file_system", "replace", "rename", "rename_directory", "remove"):
    setattr(fsio, name, counted(getattr(fsio, name)))
with palatine.open_repository(repository, cache=cache) as opened:
    opened.restore(revision, target, outside=True)
"""
"""Restores, and kills itself before one of the steps that a power cut could tell apart."""


def test_killed_at_any_step_it_is_whole_after_one_more_restore(place: Place) -> None:
    """The palace comes last: what a kill leaves is never a palace that lacks its parts."""
    family = "mempalace" if TORTURE else "oxios"
    one = FAMILIES[family](place.root / "data", Random(family))
    before = placed(one)
    revision = snapshotted(place, one.palace)
    finished = 0
    for step in range(1000):
        gone(one)
        code = killed(place, step, revision, one.palace)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if one.palace.exists():
            assert all(path.exists() for path in one.outside.values())
        try:
            assert restored(place, revision, one.palace, outside=True).finished == ""
        except Exists:
            finished += 1
            assert "it is finished now" in place.notices.said[-1]
        assert placed(one) == before
        assert beside_the_places(one) == []
    steps = 2 * (1 + len(one.outside)) + 2
    assert (step, finished) == (steps, steps - 2 - len(one.outside))


def killed(place: Place, step: int, revision: str, target: Path) -> int:
    paths = [str(place.repository), str(place.cache), revision, str(target)]
    command = [sys.executable, "-c", KILLED, str(step), *paths]
    return subprocess.run(command, check=False).returncode
