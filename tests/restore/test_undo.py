"""Undoing a restore, and undoing that."""

from __future__ import annotations

import os
import shutil

import pytest
from tests.restore.over import check, database, names, restore, two_states, undo
from tests.support import Place, damage_frames

from palatine.errors import Damaged, UnknownRevision, UsageError
from palatine.ids import Kind
from palatine.model.policy import Rules
from palatine.ops.restore import restore as restore_as_asked
from palatine.ops.restoring import Mode, Request
from palatine.testing.builders import FakeClock, state_of


def tagged(place: Place) -> list[str]:
    with place.open() as repository:
        return [one.id.hex() for one in repository.log() if "pre-restore" in one.tags]


def test_undo_and_undo_of_undo(place: Place) -> None:
    before, now = two_states(place)
    restore(place, replace=True)
    for expected in (now, before, now, before):
        done = undo(place)
        check(place, expected)
        assert done.before is not None
        assert done.mode == Mode.REPLACE


def test_nothing_to_undo(place: Place) -> None:
    _, now = two_states(place)
    with pytest.raises(UnknownRevision) as raised:
        undo(place)
    assert "nothing to undo" in raised.value.message
    check(place, now)
    assert tagged(place) == []


def test_a_snapshot_that_was_there_is_the_one_before(place: Place) -> None:
    before, now = two_states(place)
    kept = place.snapshot()
    done = restore(place, "palace~1", replace=True)
    assert done.before is not None
    assert (done.before.stored.id, done.before.fresh) == (kept.stored.id, False)
    assert tagged(place) == [kept.stored.id.hex()]
    check(place, before)
    undo(place)
    check(place, now)


def test_what_was_kept_long_ago_is_kept_anew(place: Place) -> None:
    """The tag protects for a week from when a snapshot was made: a month later, it would not."""
    before, now = two_states(place)
    kept = place.snapshot().stored
    clock = FakeClock(kept.snapshot.wall_us + 30 * 86400 * 1_000_000)
    with place.open(clock=clock) as repository:
        done = repository.restore("palace~1", place.palace, replace=True)
        assert done.before is not None
        assert done.before.fresh
        assert done.before.stored.snapshot.wall_us == clock.now_us()
        check(place, before)
        clock.advance(6 * 86400)
        plan = repository.forget(rules=Rules(last=1), even_last=True, dry_run=True)
        assert done.before.stored.id not in {one.id for one in plan.going}
        clock.advance(86400)
        repository.undo(place.palace)
    check(place, now)


def test_a_restore_that_failed_is_not_undone(place: Place) -> None:
    two_states(place)
    restore(place, replace=True)
    (place.palace / "more").write_bytes(b"more")
    since = state_of(place.palace)
    first = tagged(place)
    damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        restore(place, first[0], replace=True)
    check(place, since)
    assert tagged(place) == first


def test_what_was_made_since_is_kept(place: Place) -> None:
    """Undoing takes a snapshot first, as every restore does."""
    _, now = two_states(place)
    restore(place, replace=True)
    (place.palace / "since").write_bytes(b"since")
    since = state_of(place.palace)
    place.snapshot()
    undo(place)
    check(place, now)
    undo(place)
    check(place, since)


def test_undo_where_nothing_is_any_more(place: Place) -> None:
    _, now = two_states(place)
    restore(place, replace=True)
    shutil.rmtree(place.palace)
    assert undo(place).before is None
    check(place, now)


def test_undo_is_of_one_place(place: Place) -> None:
    """Another copy of the palace has a past of its own."""
    two_states(place)
    restore(place, replace=True)
    other = place.restored("palace~1")
    with place.open() as repository, pytest.raises(UnknownRevision):
        repository.undo(other)


def test_undo_of_another_name(place: Place) -> None:
    """A palace keeps the name it has in the repository, also for what was before a restore."""
    database(place.palace / "kg.db", 10, "first")
    place.snapshot(palace="chosen")
    database(place.palace / "kg.db", 20, "second")
    done = restore(place, "chosen", replace=True)
    assert done.before is not None
    assert done.before.stored.palace == "chosen"
    undo(place)
    assert names(place.palace / "kg.db") == {"second"}


def test_a_palace_that_no_snapshot_knows(place: Place) -> None:
    """Its name is derived, as that of any palace."""
    two_states(place)
    other = place.root / "elsewhere"
    other.mkdir()
    (other / "note").write_bytes(b"mine")
    with place.open() as repository:
        done = repository.restore("palace", other, replace=True)
        assert done.before is not None
        assert done.before.stored.palace == "elsewhere"
        repository.undo(other)
    assert os.listdir(other) == ["note"]


def test_undo_takes_no_choices(place: Place) -> None:
    two_states(place)
    with place.open() as repository:
        stored = repository.resolve("palace")
        for wrong in (
            Request(place.palace, Mode.UNDO, paths=[b"notes"]),
            Request(place.palace, Mode.UNDO, dry_run=True),
            Request(place.palace, Mode.UNDO, delete=True),
        ):
            with pytest.raises(UsageError):
                restore_as_asked(repository.store, stored, wrong)
