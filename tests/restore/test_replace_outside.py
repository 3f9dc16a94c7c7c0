"""Exchanging a palace together with its parts that lie elsewhere: under a note of intent."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.restore.over import another
from tests.support import Place

from palatine import fsio
from palatine.errors import Exists, Refused, UsageError
from palatine.ops.restoring import Restored
from palatine.restore import intent
from palatine.restore import replace as replace_module
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES, Made


@pytest.fixture
def made(place: Place) -> Made:
    """A palace of four parts, snapshotted with other content than all of them have now."""
    made = FAMILIES["mempalace"](place.root / "data", Random(7))
    with place.open() as repository:
        repository.snapshot(made.palace, palace="old")
    (made.palace / "since").write_bytes(b"since")
    for name, path in made.outside.items():
        if path.suffix == ".json":  # of config.json the layout reads whose parts these are
            old = json.loads(path.read_text()) if name == "config" else {}
            path.write_text(json.dumps({**old, "changed": True}))
    with contextlib.closing(sqlite3.connect(made.outside["knowledge-graph"])) as db:
        db.execute("CREATE TABLE since(x)")
    made.outside["identity"].write_text("somebody else")
    return made


def state(made: Made) -> dict[str, Any]:
    """Return what is in the palace and in all its parts."""
    found = {path: state_of(path) for path in [made.palace] if path.exists()}
    return {str(path): one for path, one in found.items()} | {
        str(path): path.read_bytes() if path.is_file() else state_of(path)
        for path in made.outside.values()
    }


def restore(place: Place, made: Made, revision: str = "old~0", **more: Any) -> Restored:
    with place.open() as repository:
        return repository.restore(revision, made.palace, replace=True, **more)


def first(place: Place) -> str:
    with place.open() as repository:
        return repository.log()[-1].id.hex()


def undo(place: Place, made: Made, **more: Any) -> Restored:
    with place.open() as repository:
        return repository.undo(made.palace, **more)


def beside(made: Made) -> list[str]:
    """Return what restores left anywhere."""
    top = made.palace.parent.parent
    return [str(path) for path in top.rglob(".*") if "pal-" in path.name]


def test_all_places_and_back(place: Place, made: Made) -> None:
    was = state(made)
    done = restore(place, made, outside=True)
    assert {part.name for part in done.outside} == set(made.outside)
    new = place.restored(first(place))
    assert differences(state_of(new), state_of(made.palace)) == []
    for name, path in made.outside.items():
        if path.is_file():
            kept = new.with_name(f"{new.name}.outside") / name / path.name
            assert path.read_bytes() == kept.read_bytes()
    assert beside(made) == []
    undo(place, made, outside=True)
    assert state(made) == was
    assert beside(made) == []


def test_parts_are_left_alone_unless_asked_for(place: Place, made: Made) -> None:
    was = state(made)
    restore(place, made)
    now = state(made)
    assert now.pop(str(made.palace)) != was.pop(str(made.palace))
    assert now == was
    assert any("--outside" in said for said in place.notices.said)


def test_one_part_alone(place: Place, made: Made) -> None:
    was = state(made)
    with pytest.raises(UsageError):
        restore(place, made, paths=["@tunnels"])
    assert state(made) == was
    restore(place, made, paths=["@tunnels"], outside=True)
    now = state(made)
    changed = {path for path in now if now[path] != was[path]}
    assert changed == {str(made.outside["tunnels"])}


def test_a_part_that_is_gone_comes_back(place: Place, made: Made) -> None:
    made.outside["tunnels"].unlink()
    restore(place, made, outside=True)
    assert "changed" not in made.outside["tunnels"].read_text()


def test_a_part_of_another_kind_is_in_the_way(place: Place, made: Made) -> None:
    made.outside["tunnels"].unlink()
    made.outside["tunnels"].mkdir()
    (made.outside["tunnels"] / "mine").write_bytes(b"mine")
    was = state(made)
    with pytest.raises(Exists):
        restore(place, made, outside=True)
    assert state(made) == was
    assert beside(made) == []


def test_a_part_in_use_is_refused(place: Place, made: Made) -> None:
    was = state(made)
    with another("file = open(sys.argv[1])", made.outside["config"]) as process:
        with pytest.raises(Refused) as raised:
            restore(place, made, outside=True)
        assert f"process {process.pid} (" in raised.value.message
        restore(place, made)
    now = state(made)
    assert {path for path in now if now[path] != was[path]} == {str(made.palace)}


class Killed(BaseException):
    """As if the process had ended there."""


def killed_at(place: Place, made: Made, monkeypatch: pytest.MonkeyPatch, number: int) -> bool:
    """Restore and end before the exchange of the place of a number; return whether it came to it.

    As a process that is killed: nothing is cleaned up.
    """
    real = replace_module._put
    left = iter(range(number))

    def ending(one: replace_module.Built) -> None:
        if next(left, None) is None:
            raise Killed
        real(one)

    monkeypatch.setattr(replace_module, "_put", ending)
    try:
        restore(place, made, revision=first(place), outside=True)
    except Killed:
        return True
    finally:
        monkeypatch.setattr(replace_module, "_put", real)
    return False


@pytest.mark.parametrize("number", range(6))
def test_ended_between_places_it_is_finished(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    was = state(made)
    ended = killed_at(place, made, monkeypatch, number)
    assert ended == (number < 1 + len(made.outside))
    assert intent.stands(made.palace) == ended
    if number % 2:
        with place.open() as repository, pytest.raises(Exists):
            repository.restore(first(place), made.palace)  # also one that is refused finishes it
    else:
        done = restore(place, made, revision=first(place), outside=True)
        assert bool(done.finished) == ended
        assert (done.files, done.removed) == (0, 0)
    assert not intent.stands(made.palace)
    assert beside(made) == []
    now = state(made)
    assert all(now[path] != was[path] for path in now)
    target = place.restored(first(place))
    assert differences(state_of(target), state_of(made.palace)) == []


def test_what_was_changed_since_is_kept_beside(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed_at(place, made, monkeypatch, 0)
    (made.palace / "later").write_bytes(b"later")
    made.outside["identity"].write_bytes(b"later")
    undo(place, made, outside=True)
    (palace,) = made.palace.parent.glob(f"{made.palace.name}.changed-*")
    assert (palace / "later").read_bytes() == b"later"
    (identity,) = made.outside["identity"].parent.glob("identity*.changed-*")
    assert identity.read_bytes() == b"later"
    assert (made.palace / "since").read_bytes() == b"since"
    assert not (made.palace / "later").exists()
    assert sum("was changed since" in said for said in place.notices.said) == 2


def test_what_is_in_use_is_not_finished_under_them(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed_at(place, made, monkeypatch, 1)
    with another("file = open(sys.argv[1])", made.palace / "since"):
        with pytest.raises(Refused):
            restore(place, made, outside=True)
        assert intent.stands(made.palace)
    undo(place, made, outside=True)
    assert beside(made) == []


@pytest.mark.parametrize("how", ["staging gone", "cut off", "of another palace", "odd"])
def test_what_cannot_be_finished_says_so_and_is_undone(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    was = state(made)
    assert killed_at(place, made, monkeypatch, 1)
    note = intent.place(made.palace)
    if how == "staging gone":
        staged = intent.read(made.palace)
        assert staged is not None
        shutil.rmtree(staged.staged[-1].path)
    elif how == "cut off":
        note.write_bytes(note.read_bytes()[:-40])
    elif how == "of another palace":
        said = json.loads(note.read_bytes())
        note.write_text(json.dumps({**said, "target": "/elsewhere"}))
    else:
        note.write_text("[1]")
    for outside in (True, False):
        with pytest.raises(Refused) as raised:
            restore(place, made, outside=outside)
        assert "pal restore --undo" in raised.value.hint
        assert intent.stands(made.palace)
    undo(place, made, outside=True)
    assert state(made) == was
    assert not intent.stands(made.palace)


def test_a_dry_run_finishes_nothing(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed_at(place, made, monkeypatch, 1)
    was = state(made)
    done = restore(place, made, revision=first(place), dry_run=True)
    assert "the next one finishes it" in done.finished
    assert state(made) == was
    assert intent.stands(made.palace)


def test_where_directories_cannot_be_exchanged_it_is_finished_too(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between the two renames: nothing stands under the palace's name."""
    monkeypatch.setattr(fsio, "exchange", lambda one, other: False)
    real = fsio.rename_directory

    def ending(source: Path, target: Path) -> None:
        real(source, target)
        if source == made.palace:
            raise Killed

    monkeypatch.setattr(fsio, "rename_directory", ending)
    with pytest.raises(Killed):
        restore(place, made)
    assert not made.palace.exists()
    monkeypatch.setattr(fsio, "rename_directory", real)
    with place.open() as repository, pytest.raises(Exists):
        repository.restore(first(place), made.palace)
    assert differences(state_of(place.restored(first(place))), state_of(made.palace)) == []
    assert beside(made) == []
    undo(place, made)
    assert (made.palace / "since").exists()
    assert beside(made) == []
