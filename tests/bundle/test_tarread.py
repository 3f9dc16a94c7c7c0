"""The strict tar reader against archives that GNU tar and Python write, and against broken ones."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.handmade import Handmade, Members, tar_of
from tests.capture.trees import TREES, Thing, make

from palatine.bundle.limits import Limits
from palatine.bundle.tar.read import Kind, Member, members
from palatine.errors import Damaged, Malformed, PalatineError, Refused

FOLDING = Limits(allow_case_folding=True)


def read(data: bytes, limits: Limits = FOLDING) -> list[tuple[Member, bytes]]:
    """Return all members with their content."""
    return [(one, content(one)) for one in members(io.BytesIO(data), limits)]


def content(member: Member) -> bytes:
    return b"".join(iter(lambda: member.read(1000), b""))


def info(name: str, kind: bytes = b"0", link: str = "", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


def archive(*infos: tarfile.TarInfo) -> bytes:
    return tar_of([(one, b"x" * one.size) for one in infos])


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    top = tmp_path / "top"
    long = form in ("gnu", "pax", "oldgnu")
    deep = top / ("d" * (150 if long else 20)) / ("e" * (150 if long else 20))
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(Random(1).randbytes(3000))
    (deep / "hard").hardlink_to(deep / "file")
    (deep / "soft").symlink_to("t" * (300 if long else 50))
    Path(os.fsdecode(os.fsencode(top) + b"/odd\xff\nname")).write_bytes(b"odd")
    (top / "empty").mkdir()
    for at in range(40):
        (top / f"{at}").write_bytes(bytes(at * 37))
    done = subprocess.run(
        ["tar", "-cf", "-", f"--format={form}", "-C", tmp_path, "top"], capture_output=True,
        check=True,
    )  # fmt: skip
    found = {one.name: (one, data) for one, data in read(done.stdout)}
    expected = {b"top", *(b"top/" + one for one in _below(os.fsencode(top)))}
    assert set(found) == expected
    for name, (one, data) in found.items():
        path = os.fsencode(tmp_path) + b"/" + name
        status = os.lstat(path)
        assert one.mode == status.st_mode & 0o7777
        exact = form == "pax"
        assert one.mtime_ns == (status.st_mtime_ns if exact else int(status.st_mtime) * 10**9)
        assert one.owner[0] == status.st_uid
        if one.kind == Kind.SYMLINK:
            assert one.target == os.readlink(path)
        elif one.kind == Kind.LINK:
            assert os.path.samestat(os.stat(os.fsencode(tmp_path) + b"/" + one.link), status)
        elif one.kind == Kind.FILE:
            assert data == Path(os.fsdecode(path)).read_bytes()


def _below(top: bytes) -> list[bytes]:
    found = []
    for at, directories, files in os.walk(top):
        found += [os.path.relpath(os.path.join(at, one), top) for one in directories + files]
    return found


@given(things=TREES)
def test_what_python_writes(tmp_path_factory: pytest.TempPathFactory, things: list[Thing]) -> None:
    top = tmp_path_factory.mktemp("top")
    make(top, things)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as tar:
            tar.add(top, ".")
        names = {one.name for one, _ in read(out.getvalue())}
        assert names == {b"", *_below(os.fsencode(top))}


def test_names_are_cleaned() -> None:
    for name, clean in (("./a", b"a"), ("a//b", b"a/b"), ("./", b""), ("a/./b/", b"a/b")):
        (one, _), = read(archive(info(name, b"5")))  # fmt: skip
        assert (one.name, one.kind) == (clean, Kind.DIRECTORY)
    (one, _), = read(archive(info("old/")))  # fmt: skip
    assert one.kind == Kind.DIRECTORY


BAD = [
    [info("a"), info("a")],
    [info("a"), info("./a")],
    [info("a/b"), info("a")],
    [info("a", b"2", "/etc"), info("a/passwd")],
    [info("a"), info("a/b")],
    [info("d", b"5"), info("d/l", b"2", ".."), info("d/l/x/y")],
    [info("h", b"1", "a")],
    [info("d", b"5"), info("h", b"1", "d")],
    [info("s", b"2", "a"), info("h", b"1", "s")],
    [info("a"), info("h", b"1", "../a")],
    [info("a"), info("h", b"1", "/a")],
    [info("s", b"2", "")],
    [info("a/../b")],
    [info("..")],
    [info("")],
    [info("null", b"3")],
    [info("pipe", b"6")],
]


@pytest.mark.parametrize("at", range(len(BAD)))
def test_what_is_refused(at: int) -> None:
    with pytest.raises(Malformed):
        read(archive(*BAD[at]))


def test_a_directory_may_come_after_what_is_in_it() -> None:
    assert len(read(archive(info("a/b/c"), info("a", b"5"), info("a/b", b"5")))) == 3


def test_a_hard_link_to_a_hard_link() -> None:
    found = read(archive(info("a", size=3), info("b", b"1", "a"), info("c", b"1", "b")))
    assert [one.link for one, _ in found] == [b"", b"a", b"b"]


def test_names_that_fold() -> None:
    for names in (("A/x", "a/X"), ("é", "e\u0301"), ("ß", "SS")):
        data = archive(*map(info, names))
        assert len(read(data)) == 2
        with pytest.raises(Refused):
            read(data, Limits())


def test_more_entries_than_allowed() -> None:
    data = archive(*(info(f"{at}") for at in range(11)))
    assert len(read(data, Limits(max_entries=11))) == 11
    with pytest.raises(Refused, match="more than 10 entries"):
        read(data, Limits(max_entries=10))


def test_headers_that_say_too_much() -> None:
    for kind, size in ((b"x", 1 << 40), (b"L", 1 << 40), (b"K", 17 << 20)):
        one = info("h", kind)
        one.size = size
        with pytest.raises(PalatineError, match="header of"):
            read(one.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    records_ = (
        b"9 size=x\n", b"99 path=x\n", b"12 mtime=1e9\n", b"x\n", b"8 sizes\n",
        b"22 GNU.sparse.major=1\n", b"12 uid=99999\n9 ", b"15 path=/etc/x\n",
    )  # fmt: skip
    for records in records_:
        one = info("h", b"x", size=len(records))
        data = one.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
        with pytest.raises(Malformed):
            read(data + archive(info("a")))


def test_large_numbers_in_either_spelling() -> None:
    one = info("a")
    one.uid, one.gid, one.mtime = 3_000_000_000, 3_000_000_001, -5
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        ((found, _),) = read(one.tobuf(form) + bytes(1024))
        assert (found.owner[0], found.owner[2]) == (3_000_000_000, 3_000_000_001)
        assert found.mtime_ns == -5 * 10**9


def test_padding_that_holds_something() -> None:
    one = info("a", size=5)
    for at in (517, 1023):
        data = bytearray(archive(one, info("b")))
        data[at] = 1
        with pytest.raises(Malformed, match="padding"):
            read(bytes(data))


def test_cut_anywhere() -> None:
    data = Handmade().tar()
    for size in range(0, len(data) - 1, 97):
        with pytest.raises(Damaged):
            read(data[:size])


def _usual() -> bytes:
    members_: Members = [
        (info("d", b"5"), b""), (info("d/a", size=700), b"x" * 700), (info("l", b"2", "t"), b""),
        (info("h", b"1", "d/a"), b""), (info("n" * 200, size=5), b"12345"),
    ]  # fmt: skip
    return tar_of(members_)


USUAL = _usual()


@given(at=st.integers(0, len(USUAL) - 1), byte=st.integers(0, 255))
def test_a_changed_byte(at: int, byte: int) -> None:
    data = USUAL[:at] + bytes([byte]) + USUAL[at + 1 :]
    try:
        found = read(data)
    except PalatineError:
        return
    for (one, text), (other, same) in zip(found, read(USUAL), strict=True):
        assert one.name == other.name
        assert len(text) == len(same)


@given(st.binary(max_size=3000))
def test_noise(data: bytes) -> None:
    with pytest.raises(PalatineError):
        read(data)
