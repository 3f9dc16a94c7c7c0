"""Every family's palace with secrets planted wherever text can be: none of them comes out."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.redact.planted import hits, redacted, secret

from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES

_OPAQUE = (".redb", ".v2-incompatible")
_NUMBERS = (".bin", ".usearch", ".pickle")


class Planter:
    """Puts another secret into every place."""

    def __init__(self, seed: str) -> None:
        self.rng = Random(seed)
        self.secrets: list[str] = []

    def new(self) -> str:
        self.secrets.append(secret(self.rng))
        return self.secrets[-1]

    def plant(self, top: Path) -> None:
        for path in sorted(
            one for one in top.rglob("*") if one.is_file() and ".git" not in one.parts
        ):
            data = path.read_bytes()
            if data.startswith(b"SQLite"):
                self._database(path)
            elif path.name.endswith(_OPAQUE):
                path.write_bytes(data + self.new().encode())
            elif data[:1] in (b"{", b"[") and path.suffix == ".json":
                path.write_text(json.dumps(self._json(json.loads(data)), indent=2))
            elif not path.name.endswith(_NUMBERS) and not path.is_symlink():
                path.write_bytes(data + f"\nend {self.new()}\n".encode())
        for repository in top.rglob(".git"):
            self._commit(repository.parent)
        (top / f"note {self.new()}.md").write_text("a name\n")

    def _json(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: self._json(one) for key, one in value.items()}, self.new(): self.new()}
        if isinstance(value, list):
            return [*(self._json(one) for one in value), self.new()]
        return f"{value} {self.new()}" if isinstance(value, str) else value

    def _database(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN")
            sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (rootpage > 0"
            sql += " OR sql LIKE '%fts5%') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%fts_%'"
            for (table,) in db.execute(sql + " AND name NOT LIKE '%search_%'").fetchall():
                self._table(db, table)
            db.execute("COMMIT")

    def _table(self, db: sqlite3.Connection, table: str) -> None:
        facts = db.execute(f'PRAGMA table_xinfo("{table}")').fetchall()
        columns = [one[1] for one in facts if one[6] == 0 and one[2] in ("TEXT", "")]
        for (number,) in db.execute(f'SELECT rowid FROM "{table}"').fetchall()[::5]:
            for column in columns:
                new = f"CASE WHEN json_valid({column}) THEN json_set({column}, '$.' || ?, ?)"
                new += f" ELSE ifnull({column}, '') || ' ' || ? END"
                where = f'UPDATE "{table}" SET {column} = {new} WHERE rowid = {number}'
                with contextlib.suppress(sqlite3.OperationalError):  # what cannot be written to
                    db.execute(where, ("x", self.new(), self.new()))

    def _commit(self, place: Path) -> None:
        (place / "secret.md").write_text(self.new())
        name = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        for words in (["add", "secret.md"], ["commit", "-q", "-m", self.new()]):
            subprocess.run(["git", "-C", place, *name, *words], check=True)
        (place / "secret.md").unlink()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_nothing_planted_comes_out(family: str, tmp_path: Path) -> None:
    made = FAMILIES[family](tmp_path / "copy", Random(3))
    planter = Planter(family)
    planter.plant(tmp_path / "copy")
    assert len(hits(tmp_path / "copy", planter.secrets)) > 3
    names = [one.name for one in made.palace.iterdir()]
    report = redacted(tmp_path / "copy", tmp_path / "scratch")
    assert report.complete
    assert hits(tmp_path / "copy", planter.secrets) == []
    assert not any(one in repr(report.to_plain()) for one in planter.secrets)
    left = {Path(one.path).name for one in report.left_out}
    assert left == {name for name in names if name.endswith(_OPAQUE)}
    for path in (tmp_path / "copy").rglob("*.json"):
        data = path.read_bytes()
        assert data[:1] not in (b"{", b"[") or json.loads(data)
    before = state_of(tmp_path / "copy")
    assert redacted(tmp_path / "copy", tmp_path / "scratch").matches == 0
    assert differences(before, state_of(tmp_path / "copy")) == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_holds_no_secret_comes_out_as_it_went_in(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path / "copy", Random(3))
    for path in (tmp_path / "copy").rglob("config.toml"):
        path.unlink()  # whose key is one
    before = _said(tmp_path / "copy")
    report = redacted(tmp_path / "copy", tmp_path / "scratch")
    assert report.matches == 0
    left = {one.path for one in report.left_out}
    assert _said(tmp_path / "copy") == {
        path: what for path, what in before.items() if path not in left
    }


def _said(top: Path) -> dict[str, Any]:
    """Return the bytes of files and the rows of databases; of git only that it is there."""
    found: dict[str, Any] = {}
    for path in sorted(top.rglob("*")):
        name = os.fspath(path.relative_to(top))
        if ".git" in path.parts and path.name != ".git":
            continue
        if not path.is_file():
            found[name] = oct(path.lstat().st_mode)
            continue
        found[name] = data = path.read_bytes()
        if data.startswith(b"SQLite"):
            with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
                lines = list(db.iterdump())
            indexes = ("fts_", "fulltext_search_")
            found[name] = sorted(one for one in lines if not any(part in one for part in indexes))
    return found
