"""The demo keeps its promises, leaves nothing behind, and can tell a difference."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Pal, make_palace

from palatine.testing import demo, demo_writer


def test_the_demo_runs(pal: Pal) -> None:
    (pal.root / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "palatine.testing.demo"],
        env={**pal.environment, "TMPDIR": str(pal.root / "tmp"), "PALATINE_REPO": "/nowhere"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Everything was as promised" in done.stdout
    for command in ("snapshot", "diff", "log", "restore", "verify"):
        assert f"  $ pal {command} " in done.stdout
    assert list((pal.root / "tmp").iterdir()) == []
    assert not any(one.is_file() for one in pal.home.rglob("*"))


def test_a_broken_promise_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(self: object) -> None:
        raise demo.Broken("two and two")

    monkeypatch.setattr(demo._Demo, "run", breaks)
    assert demo.main() == 1
    assert "NOT AS PROMISED: two and two" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["content", "mode", "time", "gone", "more", "link", "nothing"])
def test_the_demo_sees_every_difference(tmp_path: Path, change: str) -> None:
    one, other = make_palace(tmp_path / "one"), tmp_path / "other"
    subprocess.run(["cp", "-a", one, other], check=True)
    note = other / "notes" / "a.md"
    times = (note.stat().st_atime_ns, note.stat().st_mtime_ns)
    match change:
        case "content":
            note.write_text("First\n")
            os.utime(note, ns=times)
        case "mode":
            note.chmod(0o600)
        case "time":
            os.utime(note, ns=(0, times[1] + 1))
        case "gone":
            note.unlink()
        case "more":
            (other / "zzz").touch()
        case "link":
            (other / "link").unlink()
            (other / "link").symlink_to("elsewhere")
    assert bool(demo._difference(one, other)) == (change != "nothing")


def test_the_demo_sees_a_state_that_no_commit_left(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE memories(access_count); INSERT INTO memories VALUES (3), (4);"
            "CREATE TABLE ledger(commits, memories, recalls); INSERT INTO ledger VALUES (9, 2, 7)"
        )
        assert demo_writer.check(path) == (9, "")
        db.executescript("UPDATE memories SET access_count = 5 WHERE access_count = 4")
        assert "the ledger says [2, 7], there are (2, 8)" in demo_writer.check(path)[1]
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    assert demo_writer.check(path)[1].startswith("SQLite says")
