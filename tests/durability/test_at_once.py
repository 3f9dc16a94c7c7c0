"""Several at once: writers of one palace and of several, and readers beside them."""

from __future__ import annotations

import contextlib
import shutil
from random import Random

import pytest
from tests.capture.trees import MIB, contents
from tests.durability.processes import ended, go, snapshotting
from tests.support import Place, count

from palatine.testing.builders import differences, state_of


@pytest.mark.parametrize("shared_cache", [True, False])
@pytest.mark.parametrize("same_palace", [True, False])
def test_two_snapshots_at_once_both_succeed(
    place: Place, same_palace: bool, shared_cache: bool
) -> None:
    rng = Random(1)
    palaces = [place.palace, place.palace if same_palace else place.root / "other"]
    caches = [place.cache, place.cache if shared_cache else place.root / "other-cache"]
    common = contents(5, MIB)
    for _ in range(count(3, 40)):
        for palace in set(palaces):
            palace.mkdir(exist_ok=True)
            (palace / "common").write_bytes(common)
            (palace / "own").write_bytes(rng.randbytes(MIB))
            (palace / "kg.db").write_bytes(rng.randbytes(MIB))
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(snapshotting(place, palace, cache=cache))
                for palace, cache in zip(palaces, caches, strict=True)
            ]
            for process in processes:
                go(process)
            for process in processes:
                ended(process)
        assert place.files("sessions") == []
        report = place.verify()
        assert (report.damage, report.hits, report.warnings) == ([], [], [])
        for palace in set(palaces):
            target = place.restored(palace.name)
            assert differences(state_of(palace), state_of(target)) == []
            shutil.rmtree(target)
    with place.open() as repository:
        assert len(repository.log()) == 2 * count(3, 40)
        if same_palace:
            (palace_known,) = repository.palaces()
            assert len(palace_known.heads) >= 1
    place.snapshot(force=True)
    assert place.verify().ok


def test_a_reader_beside_a_writer_reads_what_was_committed(place: Place) -> None:
    rng = Random(2)
    (place.palace / "kg.db").write_bytes(contents(1, 3 * MIB))
    first = place.snapshot().stored.id.hex()
    expected = state_of(place.palace)
    (place.palace / "kg.db").write_bytes(rng.randbytes(6 * MIB))
    palaces = [place.palace] * count(4, 40)
    with place.open(cache=place.root / "reader") as repository:
        with snapshotting(place, *palaces) as process:
            go(process)
            rounds = 0
            while process.poll() is None or rounds < 3:
                rounds += 1
                repository.restore(first, place.root / "out")
                assert differences(expected, state_of(place.root / "out")) == []
                shutil.rmtree(place.root / "out")
                assert repository.verify(data=True).ok
                for stored in repository.log():
                    assert b"".join(repository.cat(f"{stored.id.hex()}:kg.db"))
            ended(process)
        assert len(repository.log()) == 1 + len(palaces)


def test_reindex_beside_a_writer_loses_nothing(place: Place) -> None:
    rng = Random(3)
    (place.palace / "kg.db").write_bytes(rng.randbytes(2 * MIB))
    place.snapshot()
    (place.palace / "kg.db").write_bytes(rng.randbytes(3 * MIB))
    with snapshotting(place, *[place.palace] * 3, cache=place.root / "writer") as process:
        go(process)
        while process.poll() is None:
            with place.open() as repository:
                repository.reindex()
        ended(process)
    assert place.verify().ok
    place.check_restores()
