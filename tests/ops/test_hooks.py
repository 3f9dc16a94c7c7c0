"""Hooks: what they are told, in which order they run, and what becomes of their failures."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.support import Place

from palatine.errors import HookFailed, SourceError
from palatine.ops.hooks import Hooks
from palatine.ops.keep import Terms
from palatine.ops.snapshot import Done, Request


def keep(place: Place, hooks: Hooks, tenant: str = "default") -> Done:
    """Snapshot the palace with hooks."""
    with place.open() as repository:
        (planned,) = repository.plan([place.palace])
        request = Request(planned.source, tenant, planned.palace)
        return repository.snapshot_planned(planned, request, Terms(hooks=hooks))


def noting(place: Place, name: str, code: int = 0) -> str:
    """Return a hook that writes down what it is told."""
    told = f"{name} $PALATINE_PALACE $PALATINE_PATH [$PALATINE_SNAPSHOT]"
    return f'echo "{told}" >> {place.root}/told; exit {code}'


def told(place: Place) -> list[str]:
    path = place.root / "told"
    return path.read_text().splitlines() if path.exists() else []


def all_of(place: Place, **codes: int) -> Hooks:
    names = ("before", "after", "on_failure")
    before, after, failed = (noting(place, name, codes.get(name, 0)) for name in names)
    return Hooks(before, after, failed)


def test_before_and_after_with_what_they_are_told(place: Place) -> None:
    done = keep(place, all_of(place))
    assert done.fresh
    assert done.hook_failures == ()
    assert told(place) == [
        f"before palace {place.palace} []",
        f"after palace {place.palace} [{done.stored.id.hex()}]",
    ]
    keep(place, all_of(place))  # nothing changed: after is told which snapshot stands for it
    assert told(place)[3].endswith(f"[{done.stored.id.hex()}]")


def test_before_runs_before(place: Place) -> None:
    done = keep(place, Hooks(before='echo flushed > "$PALATINE_PATH/a"'))
    assert done.stored.snapshot.stats.files == 1


def test_a_before_that_fails_stops_it(place: Place) -> None:
    with pytest.raises(HookFailed, match="failed with exit code 7") as caught:
        keep(place, all_of(place, before=7))
    assert isinstance(caught.value, SourceError)
    assert [line.split()[0] for line in told(place)] == ["before", "after", "on_failure"]
    with place.open() as repository:
        assert repository.log() == []


def test_a_before_that_fails_need_not_stop_it(place: Place) -> None:
    hooks = Hooks(before="exit 7", after=noting(place, "after"), stops=False)
    done = keep(place, hooks)
    assert done.fresh
    assert done.hook_failures == ()
    assert place.notices.said == ["the before hook failed with exit code 7: exit 7"]
    assert len(told(place)) == 1


def test_an_after_that_fails_is_told_and_the_snapshot_stays(place: Place) -> None:
    done = keep(place, all_of(place, after=1))
    assert len(done.hook_failures) == 1
    assert [line.split()[0] for line in told(place)] == ["before", "after"]
    with place.open() as repository:
        assert len(repository.log()) == 1


def test_after_runs_when_the_snapshot_fails(place: Place) -> None:
    hooks = all_of(place)
    gone = Hooks('rm -r "$PALATINE_PATH"', hooks.after, hooks.on_failure)
    with pytest.raises(Exception, match="nothing at"):
        keep(place, gone)
    assert [line.split()[0] for line in told(place)] == ["after", "on_failure"]
    assert told(place)[0].endswith("[]")


def test_after_runs_when_the_snapshot_is_interrupted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Done:
        raise KeyboardInterrupt

    monkeypatch.setattr("palatine.ops.keep.snapshot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keep(place, all_of(place))
    assert [line.split()[0] for line in told(place)] == ["before", "after"]


def test_a_hook_that_takes_too_long_is_ended_with_its_children(place: Place) -> None:
    pid = place.root / "pid"
    slow = Hooks(before=f"sleep 1000 & echo $! > {pid}; wait", timeout=0.5)
    with pytest.raises(HookFailed, match="took longer than"):
        keep(place, slow)
    assert _has_ended(int(pid.read_text()))


def _has_ended(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    for _ in range(200):
        try:
            os.kill(process, 0)
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # nobody waits for it any more, in a container without init
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_service_that_a_hook_starts_is_not_waited_for(place: Place) -> None:
    pid = place.root / "pid"
    hooks = Hooks(after=f"sleep 1000 & echo $! > {pid}", timeout=60)
    try:
        assert keep(place, hooks).hook_failures == ()
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_output_is_a_detail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(place.notices, "detail", said.append, raising=False)
    keep(place, Hooks(before="echo one; echo two >&2", after="printf three"))
    assert said == ["before: one", "before: two", "after: three"]


def test_the_lock_is_held_while_hooks_run(place: Place) -> None:
    held = f"test -s {place.cache}/*/locks/*"
    assert keep(place, Hooks(before=held, after=held)).hook_failures == ()
