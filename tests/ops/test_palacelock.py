"""One snapshot of a palace at a time, whoever takes it."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.support import Place

from palatine.errors import Locked
from palatine.ops.palacelock import Patience, lock_file, palace_lock
from palatine.ops.snapshot import Done
from palatine.testing.builders import FakeClock

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, sys.argv[2].encode())
print(os.getpid(), flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds a lock until it is told to let go."""

    def __init__(self, path: Path, says: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), says],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._child.stdout is not None
        self._child.stdout.readline()

    def close(self) -> None:
        self._child.communicate(timeout=240)


def hold(place: Place, says: str = '{"pid": 77, "command": "snapshot", "since_us": 0}') -> Holder:
    with place.open() as repository:
        return Holder(lock_file(repository.store, "default", "palace", place.palace), says)


def test_who_holds_it_is_told_when_time_is_up(place: Place) -> None:
    clock = FakeClock()
    with closing(hold(place)), place.open(clock=clock) as repository:
        with pytest.raises(Locked) as caught:
            repository.snapshot(place.palace, lock_timeout=60)
        assert repository.log() == []
    assert "process 77 (pal snapshot, since 1970-01-01" in caught.value.message
    assert "--lock-timeout" in caught.value.hint
    assert clock.monotonic() == pytest.approx(60)
    assert place.notices.said == [
        one for one in place.notices.said if one.startswith("waiting for process 77")
    ]
    assert len(place.notices.said) == 1
    assert place.snapshot().fresh


@pytest.mark.parametrize("patience", [0, 0.9])
def test_little_patience(place: Place, patience: float) -> None:
    clock = FakeClock()
    with (
        closing(hold(place, "no JSON")),
        place.open(clock=clock) as repository,
        pytest.raises(Locked, match="held by another process"),
    ):
        repository.snapshot(place.palace, lock_timeout=patience)
    assert clock.monotonic() == pytest.approx(patience)
    assert place.notices.said == []  # too short a while to be told of


def test_the_second_waits_and_then_succeeds(place: Place) -> None:
    holder = hold(place)

    class Waiting(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 5:
                holder.close()

    with place.open(clock=Waiting()) as repository:
        assert repository.snapshot(place.palace).fresh
    assert any(one.startswith("waiting for process 77") for one in place.notices.said)


def test_another_palace_is_not_waited_for(place: Place) -> None:
    with closing(hold(place)), place.open(clock=FakeClock()) as repository:
        assert repository.snapshot(place.palace, palace="other", lock_timeout=0).fresh


def test_threads_exclude_each_other_too(place: Place) -> None:
    (place.palace / "a").write_text("a")
    results: list[Done] = []
    threads = [threading.Thread(target=lambda: results.append(place.snapshot())) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.fresh for one in results) == [False, False, False, True]


def test_without_a_cache_the_lock_lies_elsewhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(place.root))
    with place.open() as repository:
        repository.store.cache = None
        path = lock_file(repository.store, "default", "palace", place.palace)
        assert path.is_relative_to(place.root)
        with palace_lock(repository.store, "default", "palace", place.palace, Patience()):
            assert b'"pid"' in path.read_bytes()
        assert path.read_bytes() == b""
