"""Merging beside a service that never stops writing, and merges that are killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.restore.merging import Pair, insert, report_of, rows, write
from tests.support import count

import palatine
from palatine.restore import intent

SCHEMA = """
CREATE TABLE note(id TEXT PRIMARY KEY, body TEXT, seen INT DEFAULT 0);
CREATE VIRTUAL TABLE note_fts USING fts5(body, content=note, content_rowid=rowid);
CREATE TRIGGER ai AFTER INSERT ON note BEGIN
  INSERT INTO note_fts(rowid, body) VALUES (new.rowid, new.body); END;
CREATE TRIGGER ad AFTER DELETE ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, body) VALUES ('delete', old.rowid, old.body); END;
CREATE TRIGGER au AFTER UPDATE OF body ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, body) VALUES ('delete', old.rowid, old.body);
  INSERT INTO note_fts(rowid, body) VALUES (new.rowid, new.body); END;
CREATE TABLE event(n INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
"""
SERVICE = """
import json, select, sqlite3, sys
paths, met, number = sys.argv[1:], [], 0
services = [sqlite3.connect(path, timeout=10, isolation_level=None) for path in paths]
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    try:
        for db in services:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO note(id, body) VALUES(?, ?)", (f"live {number}", f"w{number}"))
            db.execute("UPDATE note SET seen = seen + 1 WHERE id = 'mine'")
            db.execute("INSERT INTO event(what) VALUES(?)", (f"live {number}",))
            db.execute("COMMIT")
    except sqlite3.Error as error:
        met.append(f"{number}: {error}")
        if "locked" not in str(error):
            break
        for db in services:
            if db.in_transaction:
                db.execute("ROLLBACK")
print(json.dumps({"number": number, "met": met}), flush=True)
"""
NAMES = ("a.db", "b.db", "c.db")


@contextlib.contextmanager
def serving(*paths: Path) -> Iterator[dict[str, object]]:
    """Have a service write all the time; what it met is told when the block is over."""
    told: dict[str, object] = {}
    command = [sys.executable, "-c", SERVICE, *map(str, paths)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield told
        out, _ = process.communicate("end\n", timeout=240)
        told.update(json.loads(out))


def make(root: Path, mode: str = "wal") -> Pair:
    """Make two palaces of three databases and a list, related, and then gone apart."""
    ours = root / "ours"
    ours.mkdir()
    notes = [(f"both {n}", f"text {n} " * 20, 0) for n in range(200)]
    for name in NAMES:
        write(ours / name, f"PRAGMA journal_mode = {mode}", SCHEMA, insert("note", notes))
        write(ours / name, "INSERT INTO note VALUES('mine', 'mine', 0)")
    (ours / "list.json").write_text(json.dumps([{"id": n, "v": 1} for n in range(5)]))
    pair = Pair(root, ours, root / "theirs")
    pair.relate()
    for number, path in enumerate((pair.ours, pair.theirs)):
        for name in NAMES:
            new = [(f"{path.name} {n}", f"new {n} " * 20, 0) for n in range(300)]
            write(path / name, insert("note", new))
            write(path / name, insert("event(what)", [(f"{path.name} {n}",) for n in range(50)]))
            changed = f"id IN ('both {number}', 'both 9', 'both {number + 20}')"
            write(path / name, f"UPDATE note SET body = '{path.name}' WHERE {changed}")
            write(path / name, f"DELETE FROM note WHERE id = 'both {number + 50}'")
        listed = [{"id": n, "v": 1 + (n == number)} for n in range(5)] + [{"id": path.name}]
        (path / "list.json").write_text(json.dumps(listed))
        (path / f"file of {path.name}").write_text(path.name)
    return pair


def state(palace: Path) -> object:
    """Return what a palace says, rows without their numbers."""
    found: dict[str, object] = {}
    for name in NAMES:
        with contextlib.closing(sqlite3.connect(palace / name)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            db.execute("INSERT INTO note_fts(note_fts, rank) VALUES('integrity-check', 1)")
        found[name] = sorted(rows(palace / name, "SELECT id, body FROM note"))
        found[f"{name} events"] = sorted(rows(palace / name, "SELECT what FROM event"))
    listed = json.loads((palace / "list.json").read_bytes())
    found["list"] = sorted(listed, key=repr)
    found["files"] = sorted(one for one in os.listdir(palace) if not one.endswith(("-wal", "-shm")))
    return found


@pytest.mark.torture
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_service_loses_nothing_it_writes(tmp_path: Path, mode: str) -> None:
    pair = make(tmp_path, mode)
    pair.snapshot()
    with pair.open() as repository, serving(*(pair.ours / name for name in NAMES)) as told:
        for number in range(count(6, 60)):
            done = repository.restore("theirs", pair.ours, merge=True)
            conflicts = [(one.key, one.why) for one in report_of(done).conflicts]
            assert conflicts == [("id='both 9'", "both-changed")] * 3
            for name in NAMES:  # theirs goes on, and is merged again
                write(pair.theirs / name, f"INSERT INTO note VALUES('later {number}', 'later', 0)")
            repository.snapshot(pair.theirs, palace="theirs")
    assert told["met"] == []
    written = int(str(told["number"]))
    assert written > 5
    for name in NAMES:
        found = set(rows(pair.ours / name, "SELECT id FROM note"))
        assert {f"live {n}" for n in range(1, written + 1)} <= found
        assert {f"theirs {n}" for n in range(300)} <= found
        assert {f"later {n}" for n in range(count(6, 60) - 1)} <= found
        assert rows(pair.ours / name, "SELECT seen FROM note WHERE id = 'mine'") == [written]
        events = rows(pair.ours / name, "SELECT what FROM event")
        assert len(events) == len(set(events)) == written + 100
    state(pair.ours)


KILLED = """
import os, sys
import palatine
from palatine.restore import intent
from palatine.restore.merge import database, listing, spot
at, repository, cache, target = sys.argv[1:]
left = int(at)
def counted(owner, name):
    original = getattr(owner, name)
    def called(*args, **kwargs):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
        return original(*args, **kwargs)
    setattr(owner, name, called)
counted(database.DatabaseMerge, "merge")
counted(database.DatabaseMerge, "commit")
counted(intent, "write")
counted(intent, "remove")
counted(spot.Spot, "put")
counted(spot.Carrier, "_put")
counted(listing.Listing, "_replace")
counted(spot.fsio, "sync_file_system")
with palatine.open_repository(repository, cache=cache) as opened:
    opened.restore("theirs", target, merge=True)
print("done", flush=True)
"""


def killed(pair: Pair, at: int) -> bool:
    """Merge in a process that kills itself at its n-th step; return whether it came so far."""
    arguments = [str(at), str(pair.repository), str(pair.cache), str(pair.ours)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def copied(pair: Pair, root: Path) -> Pair:
    """Put the palace and the repository back to what they were before the merge."""
    for path in (pair.ours, pair.repository, pair.cache):
        shutil.rmtree(path)
        shutil.copytree(root / path.name, path)
    for left in pair.ours.parent.glob(".ours*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return pair


@pytest.mark.torture
def test_a_merge_that_is_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    pair = make(tmp_path)
    pair.snapshot()
    kept = tmp_path / "kept"
    for path in (pair.ours, pair.repository, pair.cache):
        shutil.copytree(path, kept / path.name)
    before = state(pair.ours)
    with pair.open() as repository:
        repository.restore("theirs", pair.ours, merge=True)
    expected = state(pair.ours)
    assert expected != before
    at, unfinished = 1, 0
    while True:
        at += count(4, 1)
        if not killed(copied(pair, kept), at):
            break
        noted = intent.stands(pair.ours)
        unfinished += noted
        if not noted:
            assert state(pair.ours) in (before, expected)
        with pair.open() as repository:
            done = repository.restore("theirs", pair.ours, merge=True)
            assert bool(done.finished) == noted
            assert state(pair.ours) == expected
            assert not intent.stands(pair.ours)
            # and undoing leads to what was there before the one that was killed
            repository.undo(pair.ours)
        assert state(pair.ours) == before
        left = set(os.listdir(tmp_path))
        assert left == {"ours", "theirs", "repository", "cache", "kept"}
    assert at > 8
    assert unfinished >= count(1, 5)


@pytest.mark.torture
def test_a_merge_that_is_killed_at_any_moment_is_finished_by_any_restore(tmp_path: Path) -> None:
    pair = make(tmp_path)
    pair.snapshot()
    kept = tmp_path / "kept"
    for path in (pair.ours, pair.repository, pair.cache):
        shutil.copytree(path, kept / path.name)
    before, rng = state(pair.ours), Random(8)
    arguments = ["1000000", str(pair.repository), str(pair.cache), str(pair.ours)]
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", KILLED, *arguments], check=True, capture_output=True)
    lasts = time.monotonic() - began
    expected = state(pair.ours)
    for _ in range(count(4, 100)):
        copied(pair, kept)
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE
        ) as process:
            time.sleep(rng.uniform(0.3, 1.0) * lasts)
            process.kill()
        with pair.open() as repository:
            done = repository.restore("theirs", pair.ours, merge=True)
        assert done.merged is not None
        assert state(pair.ours) == expected
        with pair.open() as repository, contextlib.suppress(palatine.PalatineError):
            repository.undo(pair.ours)
        assert state(pair.ours) in (before, expected)
