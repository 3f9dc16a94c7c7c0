"""Each exit code, from a real cause, with one line that says what to do."""

from __future__ import annotations

import ctypes
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from tests.cli.conftest import Done, Pal

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


def one_line(done: Done) -> str:
    """Assert that stderr is one line from pal, and return it."""
    assert re.fullmatch(r"pal: [^\n]+\n", done.err), done.err
    return done.err


def flip(file: Path, at: int) -> None:
    """Change one byte of a file."""
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.fixture
def powerless() -> Callable[[], None]:
    """What makes file permissions count for root, too: run in the child before it is `pal`."""
    if os.geteuid() != 0:
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def drop() -> None:
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                os._exit(99)

    return drop


@pytest.fixture
def live_database(alpha: Path) -> Iterator[Path]:
    """The palace with a database in WAL mode, open, its last commit not in the main file."""
    with closing(sqlite3.connect(alpha / "memory.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE memories(text)")
        with db:
            db.execute("INSERT INTO memories VALUES ('precious')")
        assert (alpha / "memory.db-wal").stat().st_size > 0
        yield alpha


# 2: usage


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-command",), ("log", "--no-such-option"), ("show",), ("show", "a", "b"),
        ("restore", "alpha"), ("log", "-n", "many"), ("init", "--hash"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage(kept: Pal, words: tuple[str, ...]) -> None:
    assert "--help shows how" in one_line(kept(*words, code=2))


def test_unknown_revision(kept: Pal) -> None:
    for words in (("show", "beta"), ("ls", "beta"), ("restore", "beta", "x"), ("tag", "beta", "t")):
        assert "no snapshot is called 'beta'" in one_line(kept(*words, code=2))
    one_line(kept("log", "beta", code=2))
    one_line(kept("cat", "alpha:no/such/file", code=2))
    one_line(kept("show", "alpha:notes", code=2))
    one_line(kept("show", "", code=2))


def test_ambiguous_revision(own: Pal) -> None:
    short = own("log", "--json").result["snapshots"][0]["id"][:8]
    (own.root / "beta").mkdir()
    own("snapshot", "beta", "--palace", short)
    line = one_line(own("show", short, code=2))
    assert line.count("of ") >= 2  # both readings
    assert "could be" in line
    assert short in line


def test_a_path_that_is_not_there(own: Pal) -> None:
    one_line(own("snapshot", "nothing", code=2))
    one_line(own("snapshot", "~nobody-of-that-name/x", code=2))
    one_line(own("log", "--repo", "~nobody-of-that-name/x", code=2))


def test_a_message_that_is_not_utf8(own: Pal) -> None:
    one_line(own("snapshot", "alpha", "-m", b"\xff", code=2))
    one_line(own("snapshot", "alpha", "--tag", b"\xff", code=2))


# 3: not all


def test_an_unreadable_file(pal: Pal, alpha: Path, powerless: Callable[[], None]) -> None:
    (alpha / "notes" / "a.md").chmod(0)
    done = pal("snapshot", alpha, code=3, preexec_fn=powerless)
    assert "alpha is incomplete: 1 path missing\n  notes/a.md: Permission denied\n" in done.err
    assert "[incomplete: 1 path missing]" in pal("log").out
    assert "missing     notes/a.md: Permission denied" in pal("show", "alpha").out
    done = pal("snapshot", alpha, "--force", "--json", code=3, preexec_fn=powerless)
    (shape,) = done.result["palaces"]
    assert shape["status"] == "created"
    assert shape["snapshot"]["complete"] is False
    assert shape["snapshot"]["missing"] == [{"path": "notes/a.md", "reason": "Permission denied"}]
    assert done.error["code"] == "incomplete"
    assert "the snapshot itself is incomplete" in pal("restore", "alpha", "out").err


def test_still_incomplete_when_nothing_changed(
    pal: Pal, alpha: Path, powerless: Callable[[], None]
) -> None:
    (alpha / "notes" / "a.md").chmod(0)
    pal("snapshot", alpha, code=3, preexec_fn=powerless)
    assert "nothing changed" in pal("snapshot", alpha, code=3, preexec_fn=powerless).err


def test_an_unreadable_palace(pal: Pal, alpha: Path, powerless: Callable[[], None]) -> None:
    alpha.chmod(0)
    try:
        done = pal("snapshot", alpha, code=1, preexec_fn=powerless)
    finally:
        alpha.chmod(0o700)
    assert "alpha cannot be read" in done.err


def test_one_of_several_fails(own: Pal) -> None:
    (own.root / "beta").mkdir()
    done = own("snapshot", "gone", "beta", code=3)
    assert "there is nothing at" in done.err
    assert "beta" in own("palaces").out


def test_all_of_several_fail(own: Pal) -> None:
    own("snapshot", "gone", "also-gone", code=2)


# 4: damage


def test_damage_is_found_by_verify_and_by_reading(own: Pal) -> None:
    biggest = max(own.packs(), key=lambda pack: pack.stat().st_size)
    flip(biggest, 100_000)
    done = own("verify", "--data", code=4)
    lines = done.out.splitlines()
    assert any(line.startswith("damaged") and biggest.name in line for line in lines)
    assert any(line.startswith("hit") for line in lines)
    assert {line.strip() for line in lines} >= {"big.bin", "large.bin"}
    assert lines[-1].startswith("damage found")
    assert "no damage" not in done.out
    assert done.err == ""
    one_line(own("cat", "alpha:large.bin", code=4, stdout=subprocess.DEVNULL, stderr=-1,
                 capture_output=False))  # fmt: skip
    one_line(own("restore", "alpha", "out", code=4))
    assert not (own.root / "out").exists()
    own("restore", "alpha", "out", "--path", "notes")
    done = own("verify", "--data", "--json", code=4)
    assert done.result["ok"] is False
    assert {path for hit in done.result["hits"] for path in hit["paths"]} == {
        "big.bin",
        "large.bin",
    }
    assert done.error["code"] == "damaged"
    assert own("verify", "--data", "-q", code=4).out.endswith(lines[-1] + "\n")


def test_a_damaged_snapshot_file(own: Pal) -> None:
    newest = max((own.repository / "snapshots").rglob("2*"))
    flip(newest, 100)
    done = own("log", code=4, env={"XDG_CACHE_HOME": str(own.root / "fresh-cache")})
    assert "the first" in done.out
    assert newest.name in done.err
    own("verify", code=4)
    own("restore", "alpha", "out")  # the rest restores, and says so
    assert (own.root / "out" / "big.bin").is_file()


def test_a_damaged_config(own: Pal) -> None:
    flip(own.repository / "config", 20)
    assert "config is damaged" in one_line(own("log", code=4))


# 5: refused


def test_a_target_that_exists(own: Pal) -> None:
    (own.root / "full").mkdir()
    (own.root / "full" / "file").write_text("mine")
    (own.root / "file").write_text("mine")
    one_line(own("restore", "alpha", "full", code=5))
    one_line(own("restore", "alpha", "file", code=5))
    one_line(own("restore", "alpha", "file", "--dry-run", code=5))
    assert (own.root / "file").read_text() == (own.root / "full" / "file").read_text() == "mine"
    (own.root / "empty").mkdir()
    own("restore", "alpha", "empty")


def test_init_where_something_is(own: Pal) -> None:
    one_line(own("init", own.repository, code=5))
    one_line(own("init", "alpha", code=5))
    one_line(own("init", "alpha/new.txt", code=5))


def test_a_name_that_another_path_holds(own: Pal) -> None:
    (own.root / "other" / "alpha").mkdir(parents=True)
    own("snapshot", own.root / "other" / "alpha", code=5)
    own("snapshot", "alpha", "--palace", "mine")
    (own.root / "other" / "mine").mkdir()
    assert "--palace NAME" in one_line(own("snapshot", own.root / "other" / "mine", code=5))
    own("snapshot", own.root / "other" / "mine", "--palace", "mine")


def test_a_palace_inside_the_repository(own: Pal) -> None:
    one_line(own("snapshot", own.repository / "packs", code=5))


def test_a_live_database(pal: Pal, live_database: Path) -> None:
    pal("snapshot", live_database)
    assert "memory.db-wal" not in pal("ls", "alpha").out
    pal("snapshot", live_database, "--unsafe-files")
    assert "memory.db-wal" in pal("ls", "alpha").out


# 10: no repository


def test_no_repository(pal: Pal) -> None:
    commands = [
        ("palaces",), ("log",), ("show", "a"), ("ls", "a"), ("cat", "a:b"), ("find", "a"),
        ("diff", "a"), ("restore", "a", "b"), ("verify",), ("tag",), ("tag", "a", "b"),
        ("stats",), ("reindex",), ("gc",), ("gc", "--dry-run"),
    ]  # fmt: skip
    for words in commands:
        assert "pal snapshot and pal init make it" in one_line(pal(*words, code=10))
    assert not pal.repository.exists()
    line = one_line(pal("log", "--repo", "mine", code=10))
    assert f"pal init {pal.root / 'mine'}" in line
    assert pal("log", "--json", code=10).error["code"] == "no-repository"


def test_a_file_that_is_no_repository(pal: Pal, alpha: Path) -> None:
    assert "is a file" in one_line(pal("log", "--repo", alpha / "big.bin", code=10))
    assert "pal init" not in one_line(pal("log", "--repo", alpha, code=10))


# 1: everything else


def test_a_future_format(own: Pal) -> None:
    config = own.repository / "config"
    line = config.read_bytes().split(b"\n")[0]
    newer = json.dumps({**json.loads(line), "palatine": 2}).encode()
    config.write_bytes(b"%s\nsha256 %s\n" % (newer, sha256(newer).hexdigest().encode()))
    said = one_line(own("log", code=1))
    assert "format 2" in said
    assert "upgrade palatine" in said


def test_a_repository_that_cannot_be_written(own: Pal, powerless: Callable[[], None]) -> None:
    for directory in [own.repository, *own.repository.rglob("*")]:
        directory.chmod(0o500 if directory.is_dir() else 0o400)
    try:
        one_line(own("snapshot", "alpha", "--palace", "new", code=1, preexec_fn=powerless))
        own("restore", "alpha", "out", preexec_fn=powerless)
        own("verify", "--data", preexec_fn=powerless)
    finally:
        for directory in [own.repository, *own.repository.rglob("*")]:
            directory.chmod(0o700)


def test_an_output_that_cannot_be_written(kept: Pal) -> None:
    with Path("/dev/full").open("wb") as full:
        done = kept("log", code=1, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert "the output cannot be written: No space left on device" in one_line(done)


def test_a_bug_is_one_line_and_a_traceback_only_on_demand(pal: Pal) -> None:
    broken = "import palatine.api as a; a.open_repository = lambda *b, **c: 1 / 0"
    run = f"{broken}; import sys; from palatine.cli.main import main; sys.exit(main())"

    def done(debug: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", run, "log"],
            env={**pal.environment, "PALATINE_DEBUG": debug},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for quiet in ("", "0"):
        assert done(quiet).returncode == 1
        assert done(quiet).stderr == (
            "pal: this is a bug in palatine: ZeroDivisionError: division by zero "
            "(PALATINE_DEBUG=1 shows where)\n"
        )
    assert "Traceback" in done("1").stderr


def test_no_two_writers_trip_over_each_other(own: Pal) -> None:
    (own.root / "beta").mkdir()
    running = [own.start("snapshot", "beta", "--force", "--palace", "beta") for _ in range(2)]
    for process in running:
        _, error = process.communicate(timeout=240)
        assert process.returncode == 0, error  # the second waits for the first
    assert len(own("log", "beta", "--json").result["snapshots"]) == 2
    own("verify", "--data")
