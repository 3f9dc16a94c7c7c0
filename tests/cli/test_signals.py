"""Ends before the end: Ctrl-C, SIGTERM, a reader that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Pal


def _large(palace: Path) -> None:
    """Make a palace that takes a while."""
    palace.mkdir()
    for number in range(8):
        (palace / f"{number}.bin").write_bytes(os.urandom(10_000_000))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_snapshot_that_is_interrupted(own: Pal, number: signal.Signals) -> None:
    _large(own.root / "large")
    process = own.start("snapshot", "large")
    _wait_for_data(own, process)
    process.send_signal(number)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 130, error
    assert (out, error) == (b"", b"pal: interrupted\n")
    sessions = (own.repository / "sessions").rglob("*")
    assert not any(one.is_file() for one in sessions)
    own("log", "large", code=2)  # nothing was kept of it
    own("verify", "--data")
    own("snapshot", "large")


def test_an_interruption_is_an_error_object_with_json(own: Pal) -> None:
    _large(own.root / "large")
    process = own.start("snapshot", "large", "--json")
    _wait_for_data(own, process)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == b""
    assert b'"code": "interrupted"' in error


def test_a_restore_that_is_interrupted_leaves_nothing(own: Pal) -> None:
    _large(own.root / "large")
    own("snapshot", "large")
    before = set(own.root.iterdir())
    process = own.start("restore", "large", "out")
    _wait(lambda: any(own.root.glob(".out*/*.bin")), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert process.returncode == 130
    assert set(own.root.iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [("log",), ("ls", "-r", "alpha"), ("log", "--json"), ("cat", "alpha:large.bin"), ("--help",)],
    ids=" ".join,
)
def test_a_closed_pipe_makes_no_noise(kept: Pal, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = kept(*words, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.stderr == b""


def test_a_closed_pipe_does_not_hide_damage(own: Pal) -> None:
    pack = max(own.packs(), key=lambda one: one.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[100_000] ^= 1
    pack.write_bytes(data)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        own("verify", "--data", code=4, capture_output=False, stdout=writing, stderr=-1)
    finally:
        os.close(writing)


def test_a_pipe_that_is_closed_in_the_middle(kept: Pal) -> None:
    process = kept.start("cat", "alpha:large.bin")
    assert process.stdout is not None
    process.stdout.read(1000)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=240) == 0


def test_no_stdout_at_all(kept: Pal) -> None:
    done = kept("log", preexec_fn=lambda: os.close(1), capture_output=False, stderr=-1)
    assert done.stderr == b""


def _wait_for_data(own: Pal, process: subprocess.Popen[bytes]) -> None:
    """Wait until the snapshot has begun to write a pack."""
    known = {one for one in own.repository.rglob("*") if "sessions" not in one.parts}
    _wait(
        lambda: any(
            one not in known and one.is_file() and "sessions" not in one.parts
            for one in own.repository.rglob("*")
        ),
        process,
    )


def _wait(ready: object, process: subprocess.Popen[bytes]) -> None:
    """Wait until something has happened; the process must not end before."""
    assert callable(ready)
    deadline = time.monotonic() + 30
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
