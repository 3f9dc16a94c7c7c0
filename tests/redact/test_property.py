"""Secrets at random places of random structures: none is left, and once is enough."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.redact.planted import hits, redacted, secret

from palatine.testing.builders import differences, state_of

_KINDS = ("text", "wide", "json", "lines", "database", "zstd", "gzip", "binary", "link", "name")
_AROUND = "abcXYZ019 \t\n\"'\\/{}[]:=,.-_@é漢\u2028\U0001f511"
_PAIRS = (" ", "\n"), ("'", "'"), ('"', '"'), ("=", "\n"), (": ", ""), (">", ","), ("漢", "é")
_STRICT = ("TEXT", "ANY", "BLOB")
_PLAIN = ("TEXT", "", "BLOB", "VARCHAR(9) COLLATE NOCASE")


class Maker:
    """Makes a directory out of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.secrets: list[str] = []

    def text(self) -> str:
        """Return noise with secrets in it; each stands alone, as keys do."""
        pieces = []
        for _ in range(self.rng.randrange(4)):
            pieces.append("".join(self.rng.choices(_AROUND, k=self.rng.randrange(30))))
            if self.rng.random() < 0.6:
                self.secrets.append(secret(self.rng))
                before, after = self.rng.choice(_PAIRS)
                pieces.append(f"{before}{self.secrets[-1]}{after}")
        return "".join(pieces)

    def value(self, depth: int = 3) -> Any:
        kind = self.rng.randrange(7 if depth else 4)
        if kind < 3:
            return self.text()
        if kind == 3:
            return self.rng.choice([None, True, -1, 1.5, 10**20])
        if kind == 4:
            return [self.value(depth - 1) for _ in range(self.rng.randrange(4))]
        if kind == 5:
            return json.dumps(self.value(depth - 1))
        return {self.text(): self.value(depth - 1) for _ in range(self.rng.randrange(4))}

    def json(self) -> str:
        made = json.dumps({"x": self.value()}, ensure_ascii=self.rng.random() < 0.5)
        if self.rng.random() < 0.3:  # other spellings of the same strings
            made = made.replace("k-", "\\u006b\\u002d").replace("_", "\\u005F")
        return made

    def make(self, directory: Path, kind: str, name: str) -> None:
        path = directory / name
        if kind == "text":
            path.write_bytes((self.text() + "\n" + self.text()).encode())
        elif kind == "wide":
            path.write_bytes(("\ufeff" + self.text()).encode("utf-16-le"))
        elif kind == "json":
            path.write_text(self.json())
        elif kind == "lines":
            path.write_text("".join(self.json() + "\n" for _ in range(3)) + self.text())
        elif kind == "database":
            self.database(path)
        elif kind in ("zstd", "gzip"):
            pack = zstandard.compress if kind == "zstd" else gzip.compress
            path.write_bytes(pack((self.text() or "x").encode()))
        elif kind == "binary":
            path.write_bytes(b"\0\1\2\xff\xfe" * 20 + self.text().encode())
        elif kind == "link":
            path.symlink_to(self.text().replace("\0", "") or "x")
        else:
            made = self.text().replace("/", "")[:200] or "x"
            (directory / f"{name}{made}").write_text("a name")
            while len(f"{name}{made}".encode()) > 255:
                made = made[:-9]

    def database(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(f"PRAGMA encoding = '{self.rng.choice(['UTF-8', 'UTF-16le', 'UTF-16be'])}'")
            db.execute(f"PRAGMA page_size = {self.rng.choice([512, 4096])}")
            for number in range(self.rng.randrange(1, 4)):
                self.table(db, f"t{number}")
            db.execute("CREATE VIRTUAL TABLE full USING fts5(x, y)")
            for _ in range(3):
                db.execute("INSERT INTO full VALUES (?, ?)", (self.text(), self.text()))

    def table(self, db: sqlite3.Connection, name: str) -> None:
        strict, rowid = self.rng.random() < 0.3, self.rng.random() < 0.6
        types = self.rng.choices(_STRICT if strict else _PLAIN, k=self.rng.randrange(1, 4))
        columns = [f"c{n} {one}" for n, one in enumerate(types)]
        key = "n INTEGER PRIMARY KEY" if rowid else "n INTEGER, PRIMARY KEY(c0, n)"
        ends = [*(["STRICT"] if strict else []), *([] if rowid else ["WITHOUT ROWID"])]
        unique = f", UNIQUE(c{len(types) - 1}, n)" if self.rng.random() < 0.5 else ""
        db.execute(f"CREATE TABLE {name}({', '.join([*columns, key])}{unique}) {','.join(ends)}")
        for row in range(self.rng.randrange(6)):
            values: list[Any] = [self.cell(one) for one in types]
            marks = ", ".join("?" * (len(types) + 1))
            db.execute(f"INSERT INTO {name} VALUES ({marks})", (*values, row))
        if self.rng.random() < 0.4:
            db.execute(f"DELETE FROM {name} WHERE n = 1")

    def cell(self, kind: str) -> Any:
        text = self.rng.choice([self.text, self.json])()
        if kind == "BLOB":
            plain = text.encode()
            return self.rng.choice([plain, zstandard.compress(plain), self.rng.randbytes(99)])
        return text


def _counts(path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        names = [one for one in names if not one[0].startswith("full_")]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in names}


@given(st.integers(0, 2**64), st.lists(st.sampled_from(_KINDS), min_size=1, max_size=6))
def test_no_secret_is_left_anywhere(seed: int, kinds: list[str]) -> None:
    root = Path(tempfile.mkdtemp(prefix="redact-"))
    try:
        maker = Maker(seed)
        top = root / "copy"
        (top / "in").mkdir(parents=True)
        for number, kind in enumerate(kinds):
            maker.make(maker.rng.choice([top, top / "in"]), kind, f"{number}{kind}")
        before = {one: _counts(one) for one in top.rglob("*database")}
        report = redacted(top, root / "scratch")
        assert report.complete
        assert hits(top, maker.secrets) == []
        assert not any(one in repr(report.to_plain()) for one in maker.secrets)
        assert {one: _counts(one) for one in before} == before
        assert all("binary" in one.path or "!" in one.path for one in report.left_out)
        state = state_of(top)
        assert redacted(top, root / "scratch").matches == 0
        assert differences(state, state_of(top)) == []
    finally:
        shutil.rmtree(root)
