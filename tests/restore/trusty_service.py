"""A program that opens a palace as trusty-memory does: at the `data_dir` of its palace.json.

    python trusty_service.py DIRECTORY [DRAWER]

It reads DIRECTORY/palace.json, opens kg.db where that says the palace is (a directory or database
that is not there is made), adds a drawer if one is named, and prints the palace's id, the
directory it opened, and its drawers. Of palatine it knows nothing.
"""

import contextlib
import json
import pathlib
import sqlite3
import sys


def main(directory: str, *drawers: str) -> None:
    """Open the palace, do what was asked, and print what it sees."""
    said = json.loads((pathlib.Path(directory) / "palace.json").read_text())
    place = pathlib.Path(said["data_dir"])
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(place / "kg.db")) as db, db:
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute(
            "CREATE TABLE IF NOT EXISTS drawers(id TEXT PRIMARY KEY, room_id TEXT NOT NULL,"
            " content TEXT NOT NULL, importance REAL NOT NULL DEFAULT 0.5,"
            " tags TEXT NOT NULL DEFAULT '[]', source_file TEXT, created_at TEXT NOT NULL)"
        )
        for drawer in drawers:
            db.execute(
                "INSERT INTO drawers(id, room_id, content, created_at) VALUES(?, 'r', 'c', 'now')",
                (drawer,),
            )
        found = [one for (one,) in db.execute("SELECT id FROM drawers ORDER BY id")]
    print(json.dumps({"id": said["id"], "opened": str(place), "drawers": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
