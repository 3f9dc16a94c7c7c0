"""What the plan says, against what putting it into effect by hand would have to do."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from tests.restore.over import first_state, second_state
from tests.support import Place, count

from palatine.model.tree import Entry
from palatine.restore.plan import Deed, Step, compare
from palatine.restore.select import Selection
from palatine.testing.builders import State, differences, state_of


def plan(
    place: Place, paths: list[bytes], keep_others: bool, all_steps: bool = False
) -> list[Step]:
    """Plan from the palace's newest snapshot to the one before it."""
    with place.open() as repository:
        now, then = (one.snapshot.root for one in repository.log())
        selection = Selection(repository.store, then.tree, paths)
        found = list(
            compare(repository.store, now, then, selection.wants, keep_others, all_steps=all_steps)
        )
        assert [step.database for step in found if step.path == b"kg.db"] == [True] * (
            b"kg.db" in {step.path for step in found}
        )
        return found


def snapshots(place: Place) -> tuple[dict[bytes, State], dict[bytes, State]]:
    states = []
    for change in (first_state, second_state):
        change(place.palace)
        states.append(state_of(place.palace))
        place.snapshot()
    return states[0], states[1]


def expected(now: dict[bytes, State], then: dict[bytes, State]) -> dict[bytes, set[str]]:
    """Return what happens to each path, by the states alone."""
    deeds: dict[bytes, set[str]] = {}
    for path in (now.keys() | then.keys()) - {b""}:
        mine, its = now.get(path), then.get(path)
        if mine is None or its is None or mine.kind != its.kind:
            gone, come = {"remove"} if mine else set(), {"add"} if its else set()
            deeds[path] = gone | come
        elif mine.data != its.data:
            deeds[path] = {"write"}
        elif mine[:3] + mine[4:5] != its[:3] + its[4:5]:
            deeds[path] = {"meta"}
    return deeds


def told(steps: list[Step]) -> dict[bytes, set[str]]:
    found: dict[bytes, set[str]] = {}
    for step in steps:
        found.setdefault(step.path, set()).add(step.deed.value)
    return found


def test_steps_are_what_differs(place: Place) -> None:
    then, now = snapshots(place)
    steps = plan(place, [], keep_others=False)
    wanted = expected(now, then)
    # The owner of a file is not in a state
    assert {path: deeds for path, deeds in told(steps).items() if path in wanted} == wanted
    assert set(told(steps)) - set(wanted) == set()
    paths = [step.path for step in steps]
    for step in steps:
        if step.deed == Deed.ADD and b"/" in step.path:
            parent = step.path.rpartition(b"/")[0]
            assert parent not in paths or paths.index(parent) < paths.index(step.path)
        wrote = step.deed in (Deed.ADD, Deed.WRITE) and step.path in then
        size = len(then[step.path].data) if wrote and then[step.path].kind == "file" else 0
        assert step.size == size


def test_what_the_snapshot_lacks_is_kept_where_asked_for(place: Place) -> None:
    then, now = snapshots(place)
    steps = told(plan(place, [], keep_others=True))
    wanted = expected(now, then)
    # but for what is of another kind now, and so cannot stay
    assert {path for path, deeds in steps.items() if "remove" in deeds} == {b"notes/2026"}
    assert {path for path, deeds in wanted.items() if deeds != {"remove"}} == set(steps)


def test_a_directory_that_gives_way_goes_with_all_in_it(place: Place) -> None:
    (place.palace / "thing").write_bytes(b"a file")
    place.snapshot()
    (place.palace / "thing").unlink()
    (place.palace / "thing" / "deep").mkdir(parents=True)
    (place.palace / "thing" / "deep" / "note").write_bytes(b"note")
    (place.palace / "thing2").write_bytes(b"kept")
    place.snapshot()
    steps = told(plan(place, [], keep_others=True))
    assert steps == {
        b"thing": {"remove", "add"}, b"thing/deep": {"remove"}, b"thing/deep/note": {"remove"},
    }  # fmt: skip


def test_steps_of_chosen_paths(place: Place) -> None:
    snapshots(place)
    steps = told(plan(place, [b"notes/2026", b"vectors.bin"], keep_others=True))
    assert steps.keys() - {b"notes"} == {b"notes/2026", b"notes/2026/may", b"vectors.bin"}


def test_all_steps_tell_what_stays_too(place: Place) -> None:
    then, now = snapshots(place)
    steps = told(plan(place, [], keep_others=False, all_steps=True))
    assert set(steps) == (now.keys() | then.keys()) - {b""}
    wanted = expected(now, then)
    kept = {path for path, deeds in steps.items() if deeds == {"keep"}}
    assert kept == (now.keys() & then.keys()) - wanted.keys() - {b""}


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(count(6, 100)))
def test_any_palace_becomes_any_other(place: Place, seed: int) -> None:
    """Whole, and by chosen paths: then what was chosen is as it was, and all else as it is."""
    rng = Random(seed)
    states = []
    for _ in range(2):
        change(place.palace, rng)
        states.append(state_of(place.palace))
        place.snapshot(force=True)
    with place.open() as repository:
        files = [path for path, state in states[0].items() if state.kind == "file"]
        chosen = rng.sample(files, min(2, len(files)))
        if chosen:
            done = repository.restore("palace~1", place.palace, paths=chosen, replace=True)
            found = state_of(place.palace)
            for path, state in found.items():
                which = states[0] if path in chosen else states[1]
                if path in which:
                    assert (state.data, state.mode) == (which[path].data, which[path].mode)
                else:  # leads to what was chosen
                    assert state.kind == "directory"
            if done.before is not None:  # else they were so already
                repository.undo(place.palace)
            assert differences(states[1], state_of(place.palace)) == []
        first = repository.log()[-1].id.hex()
        repository.restore(first, place.palace, replace=True)
    assert differences(states[0], state_of(place.palace)) == []


def change(palace: Path, rng: Random) -> None:
    """Make, change, remove and replace things of all sizes at few paths."""
    for _ in range(60):
        path = palace.joinpath(*(rng.choice("abc") for _ in range(rng.randint(1, 3))))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if rng.random() < 0.2:
                path.unlink()
            elif rng.random() < 0.2:
                path.rmdir()
            elif rng.random() < 0.2:
                os.link(path, path.with_name(rng.choice("abcd")))
            elif rng.random() < 0.2:
                path.mkdir()
            else:
                path.write_bytes(rng.randbytes(rng.choice([0, 10, 5000, 300_000])))
                os.chmod(path, rng.choice([0o600, 0o644]))
        except OSError:
            continue


def test_roots_that_are_not_there(place: Place) -> None:
    then, _ = snapshots(place)
    with place.open() as repository:
        root: Entry = repository.log()[-1].snapshot.root
        added = list(compare(repository.store, None, root, None, keep_others=False))
        removed = list(compare(repository.store, root, None, None, keep_others=False))
    assert {step.deed for step in added} == {Deed.ADD}
    assert {step.deed for step in removed} == {Deed.REMOVE}
    assert {step.path for step in added} == {step.path for step in removed} == set(then) - {b""}
