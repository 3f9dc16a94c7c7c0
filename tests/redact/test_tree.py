"""Files of all sorts, names, links, attributes; what is left out; what stays as it was."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sqlite3
from pathlib import Path
from random import Random

import pytest
import zstandard
from tests.redact.planted import hits, redacted, secret

from palatine.fsio import remove_tree
from palatine.testing.builders import differences, state_of

GONE = "[REDACTED:openai-api-key]"


class Copy:
    """A private copy to redact."""

    def __init__(self, root: Path) -> None:
        self.top, self.scratch = root / "copy", root / "scratch"
        self.top.mkdir()
        self.rng = Random(11)
        self.secrets: list[str] = []

    def new(self) -> str:
        self.secrets.append(secret(self.rng, "openai-api-key"))
        return self.secrets[-1]

    def redact(self, **options: bool) -> list[str]:
        """Redact, search, redact again; return what was left out, without the reasons."""
        self.report = redacted(self.top, self.scratch, **options)
        assert not any(one in repr(self.report.to_plain()) for one in self.secrets)
        assert hits(self.top, self.secrets) == []
        before = state_of(self.top)
        again = redacted(self.top, self.scratch, **options)
        assert (again.matches, again.left_out) == (0, [])
        assert differences(before, state_of(self.top)) == []
        return [one.path for one in self.report.left_out]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_texts_keep_mode_and_times_and_links(copy: Copy) -> None:
    (copy.top / "in").mkdir()
    note, link = copy.top / "in" / "note.md", copy.top / "hard.md"
    note.write_text(f"a {copy.new()}\r\n")
    note.chmod(0o440)
    os.utime(note, ns=(1, 1_700_000_000_000_000_007))
    os.link(note, link)
    (copy.top / "in").chmod(0o550)
    os.utime(copy.top / "in", ns=(1, 1_600_000_000_000_000_007))
    assert copy.redact() == []
    assert copy.report.complete
    assert note.read_bytes() == f"a {GONE}\r\n".encode()
    assert note.samefile(link)
    facts = note.stat()
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o440, 1_700_000_000_000_000_007)
    facts = (copy.top / "in").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o550, 1_600_000_000_000_000_007)
    assert copy.report.matches == 1


def test_names_and_links(copy: Copy) -> None:
    one, two = copy.new(), copy.new()
    (copy.top / one).mkdir()
    (copy.top / two).mkdir()
    (copy.top / one / f"{copy.new()}.txt").write_text("1")
    (copy.top / one / os.fsdecode(b"caf\xe9")).write_text("2")
    (copy.top / "link").symlink_to(f"../copy/{one}/x")
    (copy.top / f"{copy.new()}-link").symlink_to("nowhere")
    assert copy.redact() == []
    names = sorted(str(path.relative_to(copy.top)) for path in copy.top.rglob("*"))
    assert len(names) == 6
    assert {GONE, f"{GONE}-2", f"{GONE}-link", "link"} < set(names)
    assert os.readlink(copy.top / "link") == f"../copy/{GONE}/x"
    assert copy.report.matches == 5


def test_attributes(copy: Copy) -> None:
    path = copy.top / "note"
    path.write_text("x")
    try:
        os.setxattr(path, "user.text", f"a {copy.new()}".encode())
    except OSError:
        pytest.skip("this file system has no extended attributes")
    os.setxattr(path, "user.bytes", b"\0\1\2" + copy.new().encode())
    os.setxattr(path, f"user.{copy.new()}", b"v")
    os.setxattr(copy.top, "user.top", copy.new().encode())
    copy.redact()
    found = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    assert found == {"user.text": f"a {GONE}".encode()}


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress], ids=["zstd", "gzip"])
def test_compressed_files_are_unpacked_and_packed_again(copy: Copy, pack: object) -> None:
    assert callable(pack)
    clean = pack(b"nothing here" * 99)
    (copy.top / "clean").write_bytes(clean)
    (copy.top / "text.z").write_bytes(pack(f"a {copy.new()}".encode()))
    (copy.top / "twice.z").write_bytes(pack(pack(json.dumps({copy.new(): 1}).encode())))
    (copy.top / "cut.z").write_bytes(pack(copy.rng.randbytes(99) + copy.new().encode())[:-5])
    (copy.top / "redb.z").write_bytes(pack(b"redb\x1a\x0a\xa9\x0d\x0a" + copy.new().encode()))
    assert copy.redact() == ["cut.z", "redb.z"]
    assert (copy.top / "clean").read_bytes() == clean


def test_bytes_that_are_no_text(copy: Copy) -> None:
    rng = copy.rng
    numbers = rng.randbytes(9000)
    for name in ("data_level0.bin", "link_lists.bin", "x.usearch"):
        (copy.top / name).write_bytes(numbers)
    ids = {"id_to_label": {rng.randbytes(16).hex(): n for n in range(50)}}
    (copy.top / "index_metadata.pickle").write_bytes(pickle.dumps(ids))
    (copy.top / "small.bin").write_bytes(b"\0\1\2\3" * 20)
    (copy.top / "odd.txt").write_bytes("\ufeff\u5bc6".encode("utf-16-le") + b"x")
    stay = sorted(one.name for one in copy.top.iterdir())
    left = {
        "a.redb": b"redb\x1a\x0a\xa9\x0d\x0a" + b"\0" * 99,
        "a.zip": b"PK\x03\x04" + b"\0" * 99,
        "encrypted": rng.randbytes(9000),
        "encrypted.db": rng.randbytes(900),
        "header.bin": numbers + copy.new().encode(),
        "index.pickle": pickle.dumps({"id": [copy.new()]}),
        "odd": ("\ufeff\u5bc6" + copy.new()).encode("utf-16-le") + b"x",
        "lone.db-wal": b"\x37\x7f\x06\x82" + b"\0" * 99,
        "wide.bin": b"\0\1\2\3\xff" * 9 + copy.new().encode("utf-16-le") + b"\0\0",
    }
    for name, data in left.items():
        (copy.top / name).write_bytes(data)
    assert copy.redact() == sorted(left)
    assert copy.report.complete
    assert sorted(one.name for one in copy.top.iterdir()) == stay


def test_a_file_of_holes_is_read_where_it_has_bytes(copy: Copy) -> None:
    path = copy.top / "link_lists.bin"
    with path.open("wb") as file:
        file.write(b"\1\0" * 2048)
        file.truncate(5 << 40)
    assert redacted(copy.top, copy.scratch).left_out == []
    with path.open("r+b") as file:
        file.seek(4 << 40)
        file.write(b"\0" + copy.new().encode())
    assert [one.path for one in redacted(copy.top, copy.scratch).left_out] == ["link_lists.bin"]


def test_another_name_of_what_is_left_out_goes_too(copy: Copy) -> None:
    (copy.top / "a").write_bytes(b"\0\1\2\3" * 9 + copy.new().encode())
    os.link(copy.top / "a", copy.top / "b")
    assert copy.redact() == ["a", "b"]


def test_a_dry_run_counts_the_same_and_changes_nothing(copy: Copy) -> None:
    (copy.top / copy.new()).write_text(f"x {copy.new()}")
    (copy.top / "a.redb").write_bytes(b"redb\x1a\x0a\xa9\x0d\x0a" + b"\0" * 99)
    db = sqlite3.connect(copy.top / "a.db")
    with db:
        db.execute("CREATE TABLE t(a)")
        db.execute("INSERT INTO t VALUES (?)", (copy.new(),))
    db.close()
    (copy.top / "link").symlink_to(copy.new())
    before = state_of(copy.top)
    report = redacted(copy.top, copy.scratch, dry_run=True)
    assert differences(before, state_of(copy.top)) == []
    plain = report.to_plain()
    copy.redact()
    assert plain == copy.report.to_plain()
    assert plain["matches"] == 4


def test_many_directories_in_one_another(copy: Copy) -> None:
    path = copy.top
    for _ in range(1200):
        path = path / "d"
        path.mkdir()
    (path / "x").write_text(copy.new())
    try:
        assert redacted(copy.top, copy.scratch).matches == 1
        assert (path / "x").read_text() == GONE
    finally:
        remove_tree(copy.top)  # which pytest cannot


def test_users_rules_and_names_of_rules_in_the_report(copy: Copy) -> None:
    (copy.top / "x").write_text("the pin is 4711")
    report = redacted(copy.top, copy.scratch, r"pin=\b4711\b")
    assert report.artifacts == {"x": {"pin": 1}}
    assert "4711" not in repr(report.to_plain())
