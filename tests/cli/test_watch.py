"""pal watch as people run it: it takes palaces, goes on after failures, and ends cleanly."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Pal


def heard(process: subprocess.Popen[bytes]) -> str:
    """Return the next line that a process writes to stderr."""
    assert process.stderr is not None
    return process.stderr.readline().decode()


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> bytes:
    """End a process and return what it had still to say."""
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    return error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_it_takes_what_has_changed_and_ends_cleanly(
    pal: Pal, alpha: Path, number: signal.Signals
) -> None:
    process = pal.start("watch", alpha, "--when-quiet", "0.2")
    try:
        assert heard(process).startswith("made the repository")
        assert heard(process) == "watching 1 palace; Ctrl-C ends it\n"
        assert ": 3 files, " in heard(process)
        (alpha / "more").write_text("more")
        assert ": 4 files, " in heard(process)
        assert ended(process, number) == b"ended\n"
    finally:
        process.kill()
        process.communicate()
    assert len(pal("log").out.splitlines()) == 3
    assert not any(one.is_file() for one in (pal.repository / "sessions").rglob("*"))
    pal("verify", "--data")


def test_one_that_fails_does_not_stop_the_other(pal: Pal, alpha: Path) -> None:
    beta = pal.root / "beta"
    shutil.copytree(alpha, beta, symlinks=True)
    process = pal.start("watch", beta, alpha, "--when-quiet", "0.2", "--json-lines")
    assert process.stdout is not None
    try:
        lines = map(json.loads, process.stdout)
        events = (one for one in lines if one.get("event") == "snapshot")
        assert {next(events)["palace"], next(events)["palace"]} == {"alpha", "beta"}
        shutil.rmtree(beta)
        gone = next(events)
        assert (gone["palace"], gone["status"]) == ("beta", "failed")
        assert gone["error"]["code"] == "path-not-found"
        (alpha / "more").write_text("more")
        after = next(events)
        assert (after["palace"], after["status"]) == ("alpha", "created")
        process.send_signal(signal.SIGTERM)
        (last,) = lines
    finally:
        process.kill()
        process.communicate()
    assert [one["status"] for one in last["result"]["palaces"]] == ["failed", "created"]


def test_once(pal: Pal, alpha: Path) -> None:
    pal("watch", alpha, "--once")
    assert "alpha" in pal("palaces").out
    done = pal("watch", alpha, "nowhere", "--once", "--json", code=3)
    assert [one["status"] for one in done.result["palaces"]] == ["unchanged", "failed"]
    pal("watch", "nowhere", "--once", code=2)
    assert "nothing changed" in pal("watch", alpha, "--once", "-v").err


def test_times(pal: Pal, alpha: Path) -> None:
    for words in (("--every", "often"), ("--when-quiet", "0s"), ("--every", "0")):
        assert "write 30s" in pal("watch", alpha, *words, "--once", code=2).err
    pal("watch", alpha, "--every", "1h", "--when-quiet", "5min", "--once")
