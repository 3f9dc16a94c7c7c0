"""pal watch as people run it: it takes palaces, goes on after failures, and ends cleanly."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Pal
from tests.cli.test_configured import configure


def heard(process: subprocess.Popen[bytes]) -> str:
    """Return the next line that a process writes to stderr."""
    assert process.stderr is not None
    return process.stderr.readline().decode()


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> bytes:
    """End a process and return what it had still to say."""
    process.send_signal(number)
    _, error = process.communicate(timeout=240)
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


def test_a_configured_palace_that_appears_later(pal: Pal, alpha: Path) -> None:
    """It is told once that it is not there, and once that it is."""
    later, twin = pal.root / "later", pal.root / "twin"
    text = "".join(f'[[palace]]\npath = "PALACES/{name}"\n' for name in ("later", "alpha"))
    configure(pal, text)
    shutil.copytree(alpha, twin, symlinks=True)
    process = pal.start("watch", "--every", "1h", "--when-quiet", "0.2")
    try:
        assert heard(process).startswith("made the repository")
        assert heard(process) == "watching 2 palaces; Ctrl-C ends it\n"
        said = [heard(process) for _ in range(3)]
        assert sum(f"there is nothing at {later}" in line for line in said) == 1
        assert sum("alpha" in line and ": 3 files, " in line for line in said) == 1
        (alpha / "more").write_text("more")  # many looks at what is not there yet
        assert ": 4 files, " in heard(process)
        twin.rename(later)
        assert heard(process) == f"later: {later} is there now\n"
        assert ": 3 files, " in heard(process)
        (later / "more").write_text("more")
        assert ": 4 files, " in heard(process)
        assert ended(process, signal.SIGTERM) == b"ended\n"
    finally:
        process.kill()
        process.communicate()
    assert len(pal("log", "later").out.splitlines()) == 3


def test_a_watched_palace_that_goes_and_comes_back(pal: Pal, alpha: Path) -> None:
    process = pal.start("watch", alpha, "--when-quiet", "0.2")
    aside = pal.root / "aside"
    try:
        assert ": 3 files, " in [heard(process) for _ in range(3)][2]
        alpha.rename(aside)
        assert f"there is nothing at {alpha}" in heard(process)
        assert heard(process) == f"{alpha} is taken when it is there\n"
        (aside / "more").write_text("more")
        aside.rename(alpha)
        assert ": 4 files, " in heard(process)
        assert ended(process, signal.SIGTERM) == b"ended\n"
    finally:
        process.kill()
        process.communicate()


def test_all_configured_ones_may_be_missing(pal: Pal) -> None:
    configure(pal, '[[palace]]\npath = "PALACES/later"\n')
    process = pal.start("watch", "--every", "1h")
    try:
        said = [heard(process) for _ in range(4)]
        assert any("watching 1 palace" in line for line in said)
        assert ended(process, signal.SIGTERM) == b"ended\n"
    finally:
        process.kill()
        process.communicate()
    pal("watch", "--once", code=2)
    pal("watch", "nowhere", code=2)
