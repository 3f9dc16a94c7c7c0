"""Killed with -9 at any moment of a snapshot: nothing lost, and what was stored is used again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from random import Random

import pytest
from tests.durability.processes import duration, go, snapshotting
from tests.support import Place, count

from palatine.testing.builders import differences, page_edits, state_of

MIB = 1 << 20
ROUNDS = count(30, 300)
PER_TEST = 10


def live(place: Place, rng: Random) -> int:
    """Write the palace anew by half; return how many bytes are new."""
    for number in range(3):
        (place.palace / f"new-{number}").write_bytes(rng.randbytes(MIB))
    (place.palace / "note.md").write_bytes(rng.randbytes(100))
    old = place.palace / "kg.db"
    data = old.read_bytes() if old.exists() else rng.randbytes(3 * MIB)
    old.write_bytes(page_edits(rng, data, 3))
    return 3 * MIB


def kill_while_snapshotting(place: Place, seconds: float) -> None:
    with snapshotting(place) as process:
        go(process)
        time.sleep(seconds)
        process.kill()


@pytest.mark.torture
@pytest.mark.parametrize("batch", range(ROUNDS // PER_TEST))
def test_a_snapshot_killed_at_any_moment_does_no_harm(tmp_path: Path, batch: int) -> None:
    rng = Random(batch)
    place = Place(tmp_path)
    live(place, rng)
    longest = duration(place)
    kept = state_of(place.palace)
    taken = {place.snapshot(force=True).stored.id}
    for number in range(PER_TEST):
        new = live(place, rng)
        before = place.stored()
        kill_while_snapshotting(place, longest * (number + rng.random()) / PER_TEST)
        left = place.stored() - before
        if number % 3 == 0:
            shutil.rmtree(place.cache)
        report = place.verify()
        assert (report.damage, report.hits) == ([], [])
        with place.open() as repository:
            after = {stored.id for stored in repository.log()}
        assert taken <= after
        target = place.restored(f"palace~{len(after) - 1}")
        assert differences(kept, state_of(target)) == []
        shutil.rmtree(target)
        before = place.stored()
        taken = after | {place.snapshot(force=True).stored.id}
        added = place.stored() - before
        # nearly all that had reached the disk is not stored again
        assert added < new + 400_000 - 0.9 * left
        place.check_restores()
        for path in tmp_path.glob("restored-*"):
            shutil.rmtree(path)


def test_what_a_killed_snapshot_leaves_is_invisible(place: Place) -> None:
    """No half-written file has a name, whatever the moment."""
    rng = Random(1)
    live(place, rng)
    longest = duration(place)
    for number in range(5):
        live(place, rng)
        kill_while_snapshotting(place, longest * (number + 0.5) / 5)
    names = [path.name for path in place.repository.rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith(".")]
    assert place.verify().ok
