"""verify FILE: what can be checked of a bundle, and what could not be, and never "ok" for that."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.bundle.archives import exported
from tests.bundle.handmade import Handmade, Made
from tests.cli.conftest import Pal, make_palace
from tests.support import Place, flip

from palatine import api
from palatine.bundle.age.keys import keys_of
from palatine.errors import PathNotFound, Refused
from palatine.ops.intake import Request
from palatine.ops.verify_file import FileReport


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` in an empty home."""
    return Pal(tmp_path)


def verify(place: Place, file: Path | None, check: bool = False, **more: object) -> FileReport:
    """Verify a file, and see that no scratch file is left."""
    assert file is not None
    report = api.verify_bundle(
        Request(file, **more), check=check, cache=place.cache  # type: ignore[arg-type]
    )  # fmt: skip
    left = place.cache / "bundles"
    assert not left.exists() or [*left.iterdir()] == []
    return report


def database(path: Path) -> None:
    """Make a database of some pages, in WAL mode."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (a)")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 200)
        db.commit()


def test_a_whole_one(place: Place) -> None:
    database(place.palace / "a.db")
    (place.palace / "b.md").write_text("text")
    stored = place.snapshot().stored
    file = exported(place).path
    report = verify(place, file, check=True)
    assert (report.ok, report.unchecked, report.snapshot) == (True, (), stored.id.hex())
    assert (report.format, report.palace, report.files) == ("native", "palace", 2)
    said = "; ".join(report.checked)
    assert "hash in out.tar.zst.sha256" in said
    assert "give the snapshot's id" in said
    assert "1 database" in said
    assert file is not None
    file.with_name("out.tar.zst.sha256").unlink()
    report = verify(place, file)
    assert report.ok
    assert "there is no out.tar.zst.sha256" in "; ".join(report.notes)


def test_every_byte_matters(place: Place) -> None:
    (place.palace / "b.md").write_text("text")
    stored = place.snapshot().stored
    file = exported(place).path
    assert file is not None
    file.with_name("out.tar.zst.sha256").unlink()
    whole = file.read_bytes()
    harmless = 0
    for at in range(4, len(whole)):
        flip(file, at, 1 << at % 8)
        report = verify(place, file)
        # a few bits of zstd mean nothing, or the same: how much memory it takes, how codes are said
        harmless += report.ok
        assert report.damage or report.snapshot == stored.id.hex()
        file.write_bytes(whole)
    assert harmless <= len(whole) // 50
    assert verify(place, file).ok


def test_the_sum_beside_it(place: Place) -> None:
    (place.palace / "b.md").write_text("text")
    place.snapshot()
    file = exported(place).path
    assert file is not None
    flip(file.with_name("out.tar.zst.sha256"), 3, 1)
    (damage,) = verify(place, file).damage
    assert "out.tar.zst.sha256" in damage


def test_a_damaged_database_in_a_whole_bundle(place: Place) -> None:
    database(place.root / "bad.db")
    data = bytearray((place.root / "bad.db").read_bytes())
    data[4096:4196] = b"\xff" * 100
    made = Handmade({"palace": Made(), "palace/bad.db": Made(bytes(data), mode=0o600)})
    file = made.write(place.root)
    assert verify(place, file).ok
    (damage,) = verify(place, file, check=True).damage
    assert "SQLite says of palace/bad.db" in damage


def test_encrypted(place: Place) -> None:
    (place.palace / "b.md").write_text("text")
    place.snapshot()
    file, key = exported(place).path, place.root / "key.txt"
    subprocess.run(["age-keygen", "-o", key], capture_output=True, check=True)
    public = subprocess.run(
        ["age-keygen", "-y", key], capture_output=True, check=True, text=True
    ).stdout.strip()
    locked = place.root / "locked.tar.zst.age"
    subprocess.run(["age", "-r", public, "-o", locked, str(file)], check=True)
    report = verify(place, locked)
    assert (report.encrypted, report.checked) == (True, ())
    assert "not verified" in report.unchecked[0]
    report = verify(place, locked, keys=keys_of([str(key)]))
    assert (report.ok, report.unchecked, report.encrypted) == (True, (), True)
    done = subprocess.run(
        ["sha256sum", locked.name], cwd=place.root, capture_output=True, check=True
    )
    beside = place.root / f"{locked.name}.sha256"
    beside.write_bytes(done.stdout)
    report = verify(place, locked)
    assert "not verified" in report.unchecked[0]
    assert "has the hash" in report.checked[0]
    flip(locked, locked.stat().st_size - 40)
    report = verify(place, locked)
    assert "not verified" in report.unchecked[0]
    assert beside.name in report.damage[0]
    beside.unlink()
    assert verify(place, locked, keys=keys_of([str(key)])).damage


def test_names_that_fold_are_no_damage(place: Place) -> None:
    made = Handmade({"palace": Made(), "palace/A": Made(b"1"), "palace/a": Made(b"2")})
    assert verify(place, made.write(place.root)).ok


def test_files_that_are_not_those_of_the_snapshots_id_are_not_called_verified(place: Place) -> None:
    """Whoever changes a file can write new hashes too; the id is what they cannot."""
    made = Handmade({"palace": Made(), "palace/a": Made(b"changed")})
    report = verify(place, made.write(place.root))
    assert report.ok
    assert "do not give the snapshot's id" in "; ".join(report.unchecked)


def test_limits_and_absence_are_told_apart_from_damage(place: Place) -> None:
    from palatine.bundle.limits import Limits

    with pytest.raises(Refused):
        verify(place, Handmade().write(place.root), limits=Limits(max_size=100))
    with pytest.raises(PathNotFound):
        verify(place, place.root / "none")
    (place.root / "text").write_text("text")
    assert verify(place, place.root / "text").damage


def test_the_command(pal: Pal) -> None:
    pal("snapshot", make_palace(pal.root / "alpha"))
    pal("export", "alpha", "alpha.tar.zst")
    done = pal("verify", "alpha.tar.zst", "--check")
    assert "is whole: alpha of" in done.out
    assert pal("verify", ".", "--json").result["ok"] is True
    key = pal.root / "key.txt"
    subprocess.run(["age-keygen", "-o", key], capture_output=True, check=True)
    public = subprocess.run(
        ["age-keygen", "-y", key], capture_output=True, check=True, text=True
    ).stdout.strip()
    subprocess.run(["age", "-r", public, "-o", "a.age", "alpha.tar.zst"], cwd=pal.root, check=True)
    done = pal("verify", "a.age", code=3)
    assert "was not verified" in done.out
    assert "is whole" not in done.out
    done = pal("verify", "a.age", "--json", code=3)
    assert done.result["ok"] is False
    assert done.result["encrypted"] is True
    assert "is whole" in pal("verify", "a.age", "--identity", key).out
    flip(pal.root / "alpha.tar.zst", 200)
    assert "damaged" in pal("verify", "alpha.tar.zst", code=4).out
    assert pal("verify", "alpha.tar.zst", "--json", code=4).result["damage"]
    pal("verify", "alpha.tar.zst", "--data", code=2)
    pal("verify", "--check", code=2)
    pal("verify", "none.tar.zst", code=2)
    pal("verify", "a.age", "--identity", key, "--max-size", "1K", code=5)
