"""Snapshots of palaces that several processes write to: each must be a state that was committed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support import Place, count

from palatine.testing.sqlite_books import (
    check_accounts,
    check_pair,
    make_accounts,
    make_transfers,
)
from palatine.testing.writers import working


class Case(NamedTuple):
    """Journal mode and page size of the accounts; journal modes of the pair, and who writes it."""

    mode: str
    page_size: int
    pair: tuple[str, str]
    transferrer: str = "transferrer"
    auto_vacuum: int = 0


CASES = [
    Case("wal", 512, ("wal", "wal"), auto_vacuum=2),
    Case("wal", 4096, ("wal", "delete"), auto_vacuum=1),
    Case("wal", 65536, ("wal", "wal"), "visitor"),
    Case("delete", 1024, ("delete", "delete")),
    Case("truncate", 4096, ("delete", "wal"), auto_vacuum=2),
    Case("persist", 65536, ("delete", "delete"), "visitor"),
    Case("delete", 32768, ("delete", "wal"), "visitor"),
    Case("wal", 8192, ("persist", "truncate"), "visitor"),
]
THREADS = 2
SNAPSHOTS = -(-count(32, 1000) // len(CASES) // THREADS)


@contextlib.contextmanager
def in_use(palace: Path, case: Case) -> Iterator[None]:
    """Have three writers, a checkpointer and a reader at work on accounts, another on a pair."""
    accounts = palace / "accounts.db"
    make_accounts(accounts, case.mode, case.page_size, case.auto_vacuum)
    pair = palace / "a.db", palace / "b.db"
    for path, mode in zip(pair, case.pair, strict=True):
        make_transfers(path, mode, case.page_size)
    with contextlib.ExitStack() as stack:
        for seed in range(3):
            stack.enter_context(working("account_writer", case.mode, seed, accounts))
        stack.enter_context(working("checkpointer", case.mode, 3, accounts))
        stack.enter_context(working("reader", case.mode, 4, accounts))
        stack.enter_context(working(case.transferrer, "", 5, *pair))
        yield


def what_is_wrong(directory: Path) -> list[str]:
    names = sorted(path.name for path in directory.iterdir())
    said = [] if names == ["a.db", "accounts.db", "b.db"] else [f"there are {names}"]
    said.append(check_accounts(directory / "accounts.db"))
    said.append(check_pair(directory / "a.db", directory / "b.db"))
    return [one for one in said if one]


def copy_plainly(palace: Path, target: Path) -> bool:
    """Copy the files one after the other; return whether the copy is a wrong one.

    The copy is as slow as one of big files: writers commit between the first and the last. Another
    process makes it: to close a file here would drop the locks of a pin that is a connection.
    """
    target.mkdir()
    subprocess.run(["cp", palace / "a.db", palace / "accounts.db", target], check=True)
    before = os.stat(palace / "b.db").st_mtime_ns
    until = time.monotonic() + 5
    while os.stat(palace / "b.db").st_mtime_ns == before and time.monotonic() < until:
        time.sleep(0.002)
    subprocess.run(["cp", palace / "b.db", target], check=True)
    wrong = bool(what_is_wrong(target))
    shutil.rmtree(target)
    return wrong


@pytest.mark.usefixtures("pins")
@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.mode}-{case.page_size}")
def test_every_snapshot_is_a_committed_state_of_all_databases(place: Place, case: Case) -> None:
    errors: list[str] = []
    copies: list[bool] = []

    def snapshots(number: int) -> None:
        try:
            with place.open(cache=place.root / f"cache-{number}") as repository:
                for _ in range(SNAPSHOTS):
                    done = repository.snapshot(place.palace, palace=f"palace-{number}", force=True)
                    missing = done.stored.snapshot.missing
                    errors.extend(f"{one.path!r}: {one.reason}" for one in missing)
                    copies.append(copy_plainly(place.palace, place.root / f"copy-{number}"))
        except Exception as error:  # noqa: BLE001 - the test tells it
            errors.append(repr(error))

    with in_use(place.palace, case):
        threads = [threading.Thread(target=snapshots, args=(one,)) for one in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    with place.open() as repository:
        log = repository.log()
        for stored in log:
            target = place.root / "image"
            repository.restore(stored.id.hex(), target)
            assert what_is_wrong(target) == []
            shutil.rmtree(target)
    assert len(log) == THREADS * SNAPSHOTS
    print(f"{len(log)} snapshots, all right; {sum(copies)} of {len(copies)} plain copies wrong")
    assert any(copies), "a plain copy was right each time: this test would find nothing"


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        make_transfers(tmp_path / name, "delete", 4096)
    make_accounts(tmp_path / "accounts.db", "delete", 4096)
    assert what_is_wrong(tmp_path) == []
    with contextlib.closing(sqlite3.connect(tmp_path / "b.db")) as db, db:
        db.execute("INSERT INTO transfer VALUES(1, 1, x'')")
    with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as db, db:
        db.execute("UPDATE account SET balance = 0 WHERE id = 7")
    (tmp_path / "c.db").touch()
    assert len(what_is_wrong(tmp_path)) == 3
