"""Processes that use databases while something else captures them.

`python -m palatine.testing.writers ROLE MODE SEED DATABASE…` says "ready" and works until its
standard input ends. None of them gives up on a busy database; any other error ends it.
"""

from __future__ import annotations

import contextlib
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from palatine.testing.sqlite_books import ACCOUNTS, KEPT, connect

_BUSY = ("locked", "busy")


@contextlib.contextmanager
def working(role: str, mode: str, seed: int, *databases: Path) -> Iterator[subprocess.Popen[str]]:
    """Have a process work; when it is let go it must end without an error."""
    command = [sys.executable, "-m", __name__, role, mode, str(seed), *map(str, databases)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{role} did not begin")
        yield process
        process.communicate(timeout=60)
        if process.returncode:
            raise RuntimeError(f"{role} ended with {process.returncode}")


def account_writer(mode: str, random: Random, path: Path) -> Iterator[None]:
    """Move money about in transactions of different sizes; checkpoint and vacuum at times."""
    db = connect(path, mode)
    db.execute(f"PRAGMA wal_autocheckpoint = {random.choice([10, 100, 1000])}")
    db.execute("PRAGMA cache_size = 10")  # spills into the file before it commits
    while True:
        with _patient(db):
            db.execute("BEGIN IMMEDIATE")
            for _ in range(random.choice([1, 3, 50])):
                _move(db, random)
            db.execute("COMMIT" if random.random() < 0.95 else "ROLLBACK")
        chance = random.random()
        with _patient(db):
            if chance < 0.02:
                kind = random.choice(["PASSIVE", "FULL", "RESTART"])
                db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
            elif chance > 0.995:
                db.execute("VACUUM")
            elif chance > 0.97:
                db.execute("PRAGMA incremental_vacuum(10)").fetchall()
        yield


def _move(db: sqlite3.Connection, random: Random) -> None:
    payer, payee = random.randrange(ACCOUNTS), random.randrange(ACCOUNTS)
    amount, pad = random.randrange(100), random.randbytes(random.choice([10, 400, 3000]))
    change = "UPDATE account SET balance = balance + ?, pad = ? WHERE id = ?"
    db.execute(change, (-amount, pad, payer))
    db.execute(change, (amount, pad[:10], payee))


def checkpointer(mode: str, random: Random, path: Path) -> Iterator[None]:
    """Truncate the WAL again and again."""
    db = connect(path, mode)
    db.execute("PRAGMA busy_timeout = 200")
    while True:
        with _patient(db):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        time.sleep(random.random() * 0.02)
        yield


def reader(mode: str, random: Random, path: Path) -> Iterator[None]:
    """Read in long transactions, so that checkpoints stop half-way."""
    db = connect(path, mode)
    while True:
        with _patient(db):
            db.execute("BEGIN")
            db.execute("SELECT sum(balance) FROM account").fetchone()
            time.sleep(random.random() * 0.1)
            db.execute("SELECT sum(length(pad)) FROM account").fetchone()
            db.execute("COMMIT")
        time.sleep(random.random() * 0.02)
        yield


def transferrer(mode: str, random: Random, first: Path, second: Path) -> Iterator[None]:
    """Commit every transfer to the first database and then to the second, both kept open."""
    pair = [connect(first), connect(second)]
    for db in pair:
        db.execute(f"PRAGMA wal_autocheckpoint = {random.choice([5, 50, 1000])}")
    for number in _numbers():
        for db in pair:
            _record(db, number, random)
        yield


def visitor(mode: str, random: Random, first: Path, second: Path) -> Iterator[None]:
    """Do the same, but open and close each database for every commit."""
    for number in _numbers():
        for path in (first, second):
            with contextlib.closing(connect(path)) as db:
                _record(db, number, random)
        time.sleep(random.random() * 0.003)
        yield


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _record(db: sqlite3.Connection, number: int, random: Random) -> None:
    row = number % KEPT, number, random.randbytes(random.choice([10, 500, 2000]))
    while True:
        done = False
        with _patient(db):
            db.execute("INSERT OR REPLACE INTO transfer VALUES(?, ?, ?)", row)
            done = True
        if done:
            return


@contextlib.contextmanager
def _patient(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if not any(word in str(error) for word in _BUSY):
            raise
        if db.in_transaction:
            db.execute("ROLLBACK")


_ROLES: dict[str, Callable[..., Iterator[None]]] = {
    "account_writer": account_writer,
    "checkpointer": checkpointer,
    "reader": reader,
    "transferrer": transferrer,
    "visitor": visitor,
}


def _main(role: str, mode: str, seed: str, *databases: str) -> None:
    work = _ROLES[role](mode, Random(int(seed)), *map(Path, databases))
    print("ready", flush=True)
    for _ in work:
        if select.select([sys.stdin], [], [], 0)[0]:
            return


if __name__ == "__main__":
    _main(*sys.argv[1:])
