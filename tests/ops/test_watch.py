"""watch: when snapshots are taken, by a clock that needs no waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from palatine.capture.excludes import matching
from palatine.capture.glimpse import glimpse
from palatine.errors import UsageError
from palatine.ops.watch import Schedule, Watched, watch
from palatine.testing.builders import FakeClock


class Stage:
    """A palace whose changes and failures happen at given moments, and a clock that ends it."""

    def __init__(
        self,
        changes: tuple[float, ...] = (),
        fails: Callable[[float], bool] | None = None,
        there: Callable[[float], bool] | None = None,
    ):
        self.clock = FakeClock()
        self.taken: list[float] = []
        self._changes = changes
        self._there = there or (lambda now: True)
        self._fails = fails or (lambda now: not self._there(now))

    def look(self) -> bytes:
        return bytes(sum(one <= self.clock.monotonic() for one in self._changes))

    def there(self) -> bool:
        return self._there(self.clock.monotonic())

    def take(self) -> bool:
        self.taken.append(self.clock.monotonic())
        return not self._fails(self.clock.monotonic())

    def run(self, schedule: Schedule, until: float) -> list[float]:
        class Ending(FakeClock):
            def sleep(ending, seconds: float) -> None:
                assert seconds > 0
                if self.clock.monotonic() + seconds > until:
                    raise KeyboardInterrupt
                super().sleep(seconds)

        self.clock = Ending()
        with pytest.raises(KeyboardInterrupt):
            watch([Watched(self.look, self.take, self.there)], schedule, self.clock)
        return self.taken


def test_on_a_schedule() -> None:
    assert Stage().run(Schedule(3600, None), 3 * 3600) == [0, 3600, 7200, 10800]


def test_when_it_has_changed_and_gone_quiet() -> None:
    stage = Stage(changes=(100, 110, 120, 500))
    taken = stage.run(Schedule(None, 30), 1000)
    assert len(taken) == 3
    assert taken[0] == 0
    assert 150 <= taken[1] <= 170
    assert 530 <= taken[2] <= 550


def test_one_that_is_never_quiet_is_taken_on_schedule_only() -> None:
    stage = Stage(changes=tuple(range(5, 1000, 5)))
    assert stage.run(Schedule(None, 30), 900) == [0]
    stage = Stage(changes=tuple(range(5, 1000, 5)))
    assert stage.run(Schedule(400, 30), 900) == [0, 400, 800]


def test_a_failure_is_tried_again_later_and_later() -> None:
    stage = Stage(fails=lambda now: now < 400)
    taken = stage.run(Schedule(None, 30), 2000)
    assert taken == pytest.approx([0, 5, 15, 35, 75, 155, 315, 635], abs=10)
    stage = Stage(fails=lambda now: True)
    assert stage.run(Schedule(100, None), 350) == pytest.approx([0, 5, 15, 35, 75, 155, 255], abs=1)


@pytest.mark.parametrize("schedule", [Schedule(3600, None), Schedule(None, 30)])
def test_one_that_is_missing_is_tried_once_and_again_when_it_is_there(schedule: Schedule) -> None:
    stage = Stage(there=lambda now: now >= 500)
    assert stage.run(schedule, 3000) == pytest.approx([0, 505], abs=10)
    stage = Stage(there=lambda now: not 3500 < now < 7700)
    taken = stage.run(Schedule(3600, None), 12_000)
    assert taken == pytest.approx([0, 3600, 7700, 11_300], abs=20)


def test_one_palace_that_fails_does_not_stop_the_other() -> None:
    bad, good = Stage(fails=lambda now: True), Stage()
    both = [Watched(one.look, one.take) for one in (bad, good)]
    watch(both, Schedule(60, None), FakeClock(), once=True)
    assert (len(bad.taken), len(good.taken)) == (1, 1)


@pytest.mark.parametrize("times", [(None, None), (0, None), (None, -1)])
def test_schedules_that_make_no_sense(times: tuple[float | None, float | None]) -> None:
    with pytest.raises(UsageError):
        Schedule(*times)


def test_a_glimpse_sees_every_change_and_nothing_else(tmp_path: Path) -> None:
    palace = tmp_path / "palace"
    (palace / "sub").mkdir(parents=True)
    (palace / "sub" / "a").write_text("a")

    def look() -> bytes:
        return glimpse([palace], matching(["*.log"]), [palace / "repository"])

    seen = [look()]
    assert look() == seen[0]
    (palace / "x.log").write_text("excluded")
    (palace / "a.db-shm").write_text("read by somebody")
    (palace / "repository").mkdir()
    (palace / "repository" / "pack").touch()
    assert look() == seen[0]
    (palace / "sub" / "a").write_text("bb")
    seen.append(look())
    (palace / "sub" / "a").rename(palace / "a")
    seen.append(look())
    (palace / "sub").rmdir()
    seen.append(look())
    (palace / "a.db-wal").write_text("a commit")
    seen.append(look())
    (palace / "a.db-wal").unlink()
    (palace / "a").unlink()
    seen.append(look())
    palace.rename(tmp_path / "gone")
    seen.append(look())
    assert len(set(seen)) == len(seen)


def test_a_glimpse_of_one_database_sees_its_wal(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("x")
    (tmp_path / "other").touch()
    seen = glimpse([path])
    (tmp_path / "other").write_text("changed")
    assert glimpse([path]) == seen
    (tmp_path / "a.db-wal").write_text("a commit")
    assert glimpse([path]) != seen
