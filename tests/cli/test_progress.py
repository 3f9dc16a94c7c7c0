"""Progress: drawn for people who wait, and only for them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from tests.cli.conftest import Pal

from palatine.cli import progress
from palatine.cli.output import Mode, Output
from palatine.testing.builders import FakeClock


class Screen(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    found = FakeClock()
    monkeypatch.setattr(progress, "SYSTEM", found)
    return found


def take_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a terminal in stderr's place (in the test itself: pytest puts its own there before)."""
    found = Screen()
    monkeypatch.setattr("sys.stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    return found


def test_a_bar_for_what_takes_long(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = take_screen(monkeypatch)
    bar = progress.reporter(Output(Mode.PEOPLE, quiet=False, verbose=False, plain=True))
    bar.begin("restoring", 2048)
    bar.advance(512)
    assert screen.getvalue() == ""
    clock.sleep(1)
    bar.advance(512, "a file")
    bar.notice("one \x1b[31m thing")
    bar.end()
    assert "restoring" in screen.getvalue()
    assert "1.0 KiB / 2.0 KiB" in screen.getvalue()
    assert r"pal: note: one \x1b[31m thing" in screen.getvalue()


def test_no_bar_for_what_is_quick(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = take_screen(monkeypatch)
    bar = progress.reporter(Output(Mode.PEOPLE, quiet=False, verbose=False, plain=True))
    bar.begin("restoring", 2048)
    bar.advance(2048)
    bar.end()
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("mode", "quiet", "terminal"),
    [(Mode.PEOPLE, True, True), (Mode.JSON, False, True), (Mode.PEOPLE, False, False)],
)
def test_no_bar_where_none_is_wanted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch,
    mode: Mode, quiet: bool, terminal: bool,
) -> None:  # fmt: skip
    screen = take_screen(monkeypatch)
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    watcher = progress.reporter(Output(mode, quiet=quiet, verbose=False, plain=True))
    watcher.begin("restoring", 2048)
    clock.sleep(1)
    watcher.advance(1024)
    watcher.end()
    assert screen.getvalue() == ""


def test_events_at_most_ten_times_a_second(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    events = progress.reporter(Output(Mode.LINES, quiet=False, verbose=False, plain=True))
    events.begin("verifying", 100)
    clock.sleep(1)
    for _ in range(100):
        events.advance(1, "pack")
    events.end()
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in told] == ["begin", "progress", "end"]
    assert told[1]["item"] == "pack"
    assert told[2]["done"] == told[2]["total"] == 100


def test_a_stage_that_nobody_ended(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = take_screen(monkeypatch)
    bar = progress.reporter(Output(Mode.PEOPLE, quiet=False, verbose=False, plain=True))
    bar.advance(5)
    bar.begin("one")
    clock.sleep(1)
    bar.advance(5)
    bar.begin("two")
    bar.end()
    bar.end()
    assert "one" in screen.getvalue()


def test_a_terminal_is_left_as_it_was(own: Pal) -> None:
    (own.root / "large").mkdir()
    (own.root / "large" / "file").write_bytes(os.urandom(60_000_000))
    ours, theirs = pty.openpty()
    impatient = (
        "import sys, palatine.cli.progress as p; p._PATIENCE_SECONDS = 0;"
        "from palatine.cli.main import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", impatient, "snapshot", "large"], cwd=own.root,
        stdout=subprocess.DEVNULL, stderr=theirs,
        env={**own.environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    seen = _everything(ours)
    assert process.wait(timeout=240) == 0
    assert b"snapshotting large" in seen
    assert seen.rstrip().endswith(b"added")
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h")  # cursor hidden, shown again


def _everything(descriptor: int) -> bytes:
    seen = b""
    try:
        while chunk := os.read(descriptor, 65536):
            seen += chunk
    except OSError:
        pass  # the other side is closed
    finally:
        os.close(descriptor)
    return seen
