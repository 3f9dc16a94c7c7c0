"""Live restores killed with -9: one of the two states afterwards, after one more at most."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from random import Random

import pytest
from tests.restore.live_palaces import TwoGenerations, files_of
from tests.support import Place, count

from palatine.clock import SYSTEM
from palatine.errors import NoSpace, PalatineError
from palatine.events import SILENT
from palatine.ops.restoring import Restored
from palatine.restore import intent, recovery
from palatine.sqlite.transplant import transplant
from palatine.testing.builders import differences
from palatine.testing.generations import check, serving
from palatine.testing.sqlite_service import Service

KILLS = count(16, 300)
PER_TEST = 4

PROGRAM = """
import os, signal, sys, threading, time, types

import palatine
from palatine import fsio
from palatine.restore import carry, intent, live
from palatine.sqlite import transplant as t

repository, cache, target, revision, moment = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def slowly(function, seconds):
    def slow(*arguments):
        result = function(*arguments)
        time.sleep(seconds)
        return result
    return slow

rename_at, write = fsio.rename_at, intent.write

if moment == "locked":  # all databases are written to, none committed, no note
    intent.write = die
elif moment == "noted":  # the note stands, none committed
    intent.write = lambda note: (write(note), die())
elif moment == "half":  # one database has committed, the other has not
    class Halved(t._Change):
        def _progress(self, status, remaining, pages):
            super()._progress(status, remaining, pages)
            if remaining <= self._step and self.job.database.name != "a.db":
                threading.Event().wait()  # it never takes the last step
        def run(self):
            self._committed = types.SimpleNamespace(wait=die)  # it comes after the last step
            super().run()
    t._Change = Halved
elif moment == "committed":  # both have, no file was renamed
    carry.Carrier.put = die
elif moment == "renaming":  # half of the files were
    count = 0
    def some(*arguments):
        global count
        rename_at(*arguments)
        count += 1
        if count == 10:
            die()
    fsio.rename_at = some
elif moment == "removing":
    carry.Carrier.remove = die
elif moment == "metadata":
    carry.Carrier.set_facts = die
elif moment == "done":  # all but the note's removal
    intent.remove = die
elif moment == "slow":  # so that more of the kills fall between the first commit and the last file
    fsio.rename_at = slowly(rename_at, 0.002)
    intent.write = slowly(write, 0.02)
    fsio.sync_data = slowly(fsio.sync_data, 0.01)

print("ready", flush=True)
sys.stdin.readline()
with palatine.open_repository(repository, cache=cache) as opened:
    opened.restore(revision, target, live=True, delete=True)
print("done", flush=True)
"""


@contextlib.contextmanager
def restoring(two: TwoGenerations, generation: str, moment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that restores live when it is told to, and may kill itself at a moment."""
    place = two.place
    arguments = [place.repository, place.cache, place.palace, f"palace#{generation}", moment]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        yield process


def killed_at(two: TwoGenerations, generation: str, moment: str) -> None:
    with restoring(two, generation, moment) as process:
        _, errors = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL, errors


def duration(two: TwoGenerations, moment: str) -> float:
    """Return how many seconds a restore and one back take, on average, from the word to the end."""
    began = time.monotonic()
    for generation in ("old", "new"):
        with restoring(two, generation, moment) as process:
            output, errors = process.communicate()
        assert output == "done\n", errors
    return (time.monotonic() - began) / 2 * 0.7  # the rest is the interpreter's start


def generations(two: TwoGenerations) -> list[str]:
    """Return what the databases hold, each of which must be whole."""
    found = [check(path) for path in two.databases]
    assert [wrong for wrong, _ in found] == ["", ""]
    return [name for _, name in found]


def recovered(two: TwoGenerations) -> intent.Note | None:
    """Do what every restore over the target does first."""
    with intent.held(two.palace, SYSTEM, 10):
        return recovery.recover(two.palace, SILENT)


# For each moment: the databases right after, whether a note stands, what it comes to
MOMENTS = {
    "locked": (["new", "new"], False, "new"),
    "noted": (["new", "new"], True, "old"),
    "half": (["old", "new"], True, "old"),
    "committed": (["old", "old"], True, "old"),
    "renaming": (["old", "old"], True, "old"),
    "removing": (["old", "old"], True, "old"),
    "metadata": (["old", "old"], True, "old"),
    "done": (["old", "old"], True, "old"),
}


@pytest.mark.parametrize("modes", [("wal", "wal"), ("delete", "delete")])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment(place: Place, moment: str, modes: tuple[str, str]) -> None:
    two = TwoGenerations(place, *modes)
    databases, noted, comes_to = MOMENTS[moment]
    killed_at(two, "old", moment)
    assert generations(two) == databases
    assert intent.stands(two.palace) == noted
    note = recovered(two)
    assert (note is not None) == noted
    two.check(comes_to)
    two.check_at_rest()
    assert recovered(two) is None


def test_the_next_restore_says_what_it_found(place: Place) -> None:
    two = TwoGenerations(place)
    killed_at(two, "old", "half")
    with place.open() as repository:
        done: Restored = repository.undo(two.palace)
    assert "killed" in done.finished
    two.check("new")


def test_what_a_service_wrote_after_the_kill_stays_where_it_may(place: Place) -> None:
    two = TwoGenerations(place)
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(Service(path)) for path in two.databases)
        for service in (first, second):
            service.run("SELECT * FROM account")
        killed_at(two, "old", "half")
        first.run("INSERT INTO written VALUES(1, 'old')")
        second.run("INSERT INTO written VALUES(1, 'new')")
        recovered(two)
        assert first.run("SELECT * FROM written") == [[1, "old"]]
        assert second.run("SELECT * FROM written") == []
    two.check("old")


def test_a_database_that_vanished_after_the_kill_comes_back(place: Place) -> None:
    two = TwoGenerations(place)
    killed_at(two, "old", "half")
    for path in two.databases:
        path.unlink()
    recovered(two)
    assert generations(two)[1] == "old"


def test_what_was_staged_is_gone(place: Place) -> None:
    two = TwoGenerations(place)
    killed_at(two, "old", "half")
    (staging,) = place.root.glob(".palace.pal-restore-*")
    staging.rename(place.root / "elsewhere")
    with place.open() as repository:
        with pytest.raises(PalatineError, match="cannot be finished") as raised:
            repository.restore("palace#old", two.palace, live=True)
        assert "--undo" in raised.value.hint
        repository.undo(two.palace)
    assert generations(two) == ["new", "new"]
    assert differences(two.files["new"], files_of(two.palace)) == []


def test_a_disk_that_is_full_at_the_last_moment_is_told_and_finished_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = TwoGenerations(place)

    def full(jobs: object, moments: object, terms: object) -> None:
        def committed() -> None:
            raise OSError(28, os.strerror(28))

        from palatine.sqlite.transplant import Moments

        transplant(jobs, Moments(moments.written, committed), terms)  # type: ignore[arg-type, attr-defined]

    with monkeypatch.context() as patch:
        patch.setattr("palatine.restore.live.transplant", full)
        with pytest.raises(NoSpace, match="may be changed already") as raised:
            two.restore("old")
    assert "restore over" in raised.value.hint
    assert intent.stands(two.palace)
    done = two.restore("old")
    assert done.finished
    assert (done.files, done.removed) == (0, 0)
    two.check("old")


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("batch", range(KILLS // PER_TEST))
def test_killed_at_any_moment(place: Place, batch: int) -> None:
    random = Random(batch)
    modes = random.choice([("wal", "wal"), ("wal", "wal"), ("delete", "delete"), ("wal", "delete")])
    two = TwoGenerations(place, *modes, rows=(200, 2000))
    moment = ("slow", "as it is")[batch % 2]
    longest = duration(two, moment)
    now = "new"
    for number in range(PER_TEST):
        wanted = "old" if now == "new" else "new"
        with contextlib.ExitStack() as stack:
            met = stack.enter_context(serving(*two.databases)) if random.random() < 0.5 else None
            with restoring(two, wanted, moment) as process:
                time.sleep(longest * (number + random.random()) / PER_TEST)
                process.kill()
            generations(two)
            noted = intent.stands(two.palace)
            recovered(two)
            (after,) = set(generations(two))
            if noted:
                assert after == wanted
            two.check(after)
        if met is not None:
            assert met.wrong == []
            two.check(after)
        two.check_at_rest()
        print(f"{modes} {moment}: {now} -> {wanted}, {'finished' if noted else 'no note'}: {after}")
        two.restore(now)  # also from a state that a service has written to
        two.check(now)
