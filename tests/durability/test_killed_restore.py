"""Replacing restores killed with -9: old or new whole, at each moment, and after one more new.

Killed at random moments, and at each step that others can see: before and after every call that
exchanges, renames, links, removes or syncs something.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from tests.restore.over import OWN, database, first_state, names, second_state
from tests.restore.over import left_by_a_killed_service as leave_a_wal
from tests.support import Place, count

from palatine.ops.restoring import Restored
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES

KILLS = count(16, 300)
PER_TEST = 4

PROGRAM = """
import os, signal, sys

import palatine
from palatine import fsio

repository, cache, target, revision, outside, at = sys.argv[1:]
moments = 0

def moment():
    global moments
    if moments == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    moments += 1

def watched(function):
    def both(*arguments, **more):
        moment()
        result = function(*arguments, **more)
        moment()
        return result
    return both

for name in ("exchange", "rename", "rename_directory", "remove", "remove_tree", "replace",
             "hard_link", "sync_file_system", "sync_directory"):
    setattr(fsio, name, watched(getattr(fsio, name)))
fsio.durable.sync_directory = fsio.sync_directory
fsio.NewFile.rename = watched(fsio.NewFile.rename)
os.unlink = watched(os.unlink)

print("ready", flush=True)
sys.stdin.readline()
with palatine.open_repository(repository, cache=cache) as opened:
    opened.restore(revision, target, replace=True, outside=bool(outside))
print(moments, flush=True)
"""


class Killing:
    """A palace that is restored over and over, by processes that are killed."""

    def __init__(self, place: Place, target: Path, outside: bool = False) -> None:
        self.place = place
        self.target = target
        self.outside = outside

    def restore(self, revision: str, kill_after: float = 60.0, at: int = -1) -> str:
        """Restore in a process, kill it after some seconds or at a moment; return what it said."""
        place = self.place
        arguments = [place.repository, place.cache, self.target, revision,
                     "yes" if self.outside else "", at]  # fmt: skip
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("\n")
            process.stdin.flush()
            try:
                said, errors = process.communicate(timeout=kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                said, errors = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), errors
        return said.strip()

    def finish(self, revision: str) -> Restored:
        """Restore once more, here."""
        with self.place.open() as repository:
            return repository.restore(revision, self.target, replace=True, outside=self.outside)

    def undo(self) -> None:
        with self.place.open() as repository:
            repository.undo(self.target, outside=self.outside)

    def left(self) -> list[str]:
        """Return what lies beside the palace, or any part of it, that was made by a restore."""
        return [str(one) for one in self.place.root.rglob(".*pal-*") if self.is_left(one)]

    def is_left(self, one: Path) -> bool:
        return not one.is_relative_to(self.place.repository)


def directory(place: Place) -> tuple[Killing, list[str]]:
    """Make a palace with two snapshots; the revisions are the states' names."""
    revisions = []
    for change in (first_state, second_state):
        change(place.palace)
        revisions.append(place.snapshot().stored.id.hex())
    return Killing(place, place.palace), revisions


@pytest.mark.torture
@pytest.mark.parametrize("batch", range(KILLS // PER_TEST))
def test_killed_at_random_moments(place: Place, batch: int) -> None:
    rng = Random(batch)
    killing, revisions = directory(place)
    states = [state_of(place.restored(revision)) for revision in revisions]
    began = time.monotonic()
    killing.restore(revisions[0])
    killing.finish(revisions[1])
    took = time.monotonic() - began
    for number in range(PER_TEST):
        wanted = number % 2
        share = (batch % 3 + rng.random()) / 3  # of any three batches each has another third
        killing.restore(revisions[wanted], kill_after=took * share)
        found = state_of(place.palace)
        assert any(differences(state, found) == [] for state in states)
        killing.finish(revisions[wanted])
        assert differences(states[wanted], state_of(place.palace)) == []
        assert killing.left() == []
    assert sorted(set(os.listdir(place.root)) - OWN - {"restored-1", "restored-2"}) == []
    assert place.verify().ok


@pytest.mark.torture
def test_killed_at_each_step_of_a_directory(place: Place) -> None:
    """After the kill and one more restore, undoing leads back to what was there before both."""
    killing, (wanted, before) = directory(place)
    states = [state_of(place.restored(revision)) for revision in (wanted, before)]
    killing.restore(wanted)
    killing.undo()
    moments = int(killing.restore(wanted))
    assert moments > 30
    chosen = sorted(Random(5).sample(range(moments), count(12, moments)))
    killed = 0
    for at in chosen:
        killing.finish(before)
        killed += killing.restore(wanted, at=at) == ""  # a few moments more or less each time
        found = state_of(place.palace)
        assert any(differences(state, found) == [] for state in states)
        done = killing.finish(wanted)
        assert done.finished == ""
        assert differences(states[0], state_of(place.palace)) == []
        assert killing.left() == []
        killing.undo()
        assert differences(states[1], state_of(place.palace)) == []
    assert killed > len(chosen) // 2


@pytest.mark.torture
@pytest.mark.parametrize("wal", [False, True])
def test_killed_at_each_step_of_a_file(place: Place, wal: bool) -> None:
    """At no moment a database stands beside commits that are not its own, or lacks its own."""
    memory = place.palace / "memory.db"
    killing = Killing(place, memory)
    database(memory, 500, "wanted")
    with place.open() as repository:
        wanted = repository.snapshot(memory).stored.id.hex()
    old = "in the WAL" if wal else "old"

    def go_back() -> None:
        database(memory, 300, "old")
        if wal:
            leave_a_wal(memory, old)

    go_back()
    moments = int(killing.restore(wanted))
    chosen = sorted(Random(6).sample(range(moments), count(8, moments)))
    killed = 0
    for at in chosen:
        go_back()
        killed += killing.restore(wanted, at=at) == ""
        copy = place.root / "copy"
        shutil.copytree(place.palace, copy)
        assert names(copy / "memory.db") in ({"wanted"}, {old})
        shutil.rmtree(copy)
        killing.finish(wanted)
        assert names(memory) == {"wanted"}
        assert os.listdir(place.palace) == ["memory.db"]
        killing.undo()
        assert names(memory) == {old}
    assert killed > len(chosen) // 2


@pytest.mark.torture
def test_killed_at_each_step_of_several_places(place: Place) -> None:
    """Between two exchanges some places are new and some old: the next restore finishes it."""
    made = FAMILIES["mempalace"](place.root / "elsewhere", Random(7))
    killing = Killing(place, made.palace, outside=True)
    revisions = []
    for number in range(2):
        (made.palace / "state").write_text(f"{number}")
        made.outside["identity"].write_text(f"{number}")
        made.outside["tunnels"].write_text(f"[{number}]")
        with place.open() as repository:
            revisions.append(repository.snapshot(made.palace).stored.id.hex())

    def found() -> set[str]:
        paths = (made.palace / "state", made.outside["identity"], made.outside["tunnels"])
        return {path.read_text().strip("[]") for path in paths}

    moments = int(killing.restore(revisions[0]))
    assert found() == {"0"}
    killed = mixed = 0
    chosen = sorted(Random(7).sample(range(moments), count(12, moments)))
    for at in chosen:
        killing.finish(revisions[1])
        assert found() == {"1"}
        killed += killing.restore(revisions[0], at=at) == ""
        was_mixed = len(found()) > 1
        mixed += was_mixed
        assert bool(killing.finish(revisions[0]).finished) >= was_mixed
        assert found() == {"0"}
        assert killing.left() == []
    assert mixed
    assert killed > len(chosen) // 2
