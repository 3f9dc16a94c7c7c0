"""A service with a database open, in a process of its own, that does one statement at a time.

So a test can have it in any state, kill it there, and know that nothing happens meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path


class Service:
    """A process with one connection in autocommit."""

    def __init__(self, database: Path, *pragmas: str) -> None:
        """Open a database, and set pragmas ("journal_mode = WAL")."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(database)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for pragma in pragmas:
            self.run(f"PRAGMA {pragma}")

    def run(self, *statements: str) -> list[list[object]]:
        """Execute statements; return the rows of the last one. Raises what SQLite says."""
        rows: list[list[object]] = []
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        for statement in statements:
            self._child.stdin.write(json.dumps(statement) + "\n")
            self._child.stdin.flush()
            answer = json.loads(self._child.stdout.readline())
            if isinstance(answer, str):
                raise sqlite3.OperationalError(answer)
            rows = answer
        return rows

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell."""
        self._child.kill()
        self.close()

    def close(self) -> None:
        """End it as a program that closes its database."""
        self._child.communicate(timeout=30)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _main(database: str) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as db:
        for line in sys.stdin:
            try:
                rows: object = db.execute(json.loads(line)).fetchall()
            except sqlite3.Error as error:
                rows = str(error) or repr(error)
            print(json.dumps(rows, default=str), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
