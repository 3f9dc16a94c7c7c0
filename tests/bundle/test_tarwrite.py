"""Tar headers: what the standard library and GNU tar read is what was to be said."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palatine.bundle.tar.write import END, Header, header, padding
from palatine.model.tree import TIME_MAX_NS, TIME_MIN_NS, EntryKind, Owner

ROOT = Owner(0, "", 0, "")
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).map(str.encode),
    st.binary(min_size=1, max_size=120),
    st.sampled_from([b"x" * 99, b"x" * 100, b"x" * 101, b"\xff" * 100, b"\xff" * 101, b"=", b" "]),
).map(lambda name: name.replace(b"/", b"|").replace(b"\0", b"0"))  # fmt: skip
PATHS = st.lists(NAMES, min_size=1, max_size=6).map(b"/".join)
OWNERS = st.builds(
    Owner,
    st.sampled_from([0, 1000, 2**21 - 1, 2**21, 2**32 - 1]),
    st.sampled_from(["", "anna", "ä" * 16, "u" * 32, "u" * 33]),
    st.sampled_from([0, 2**21, 2**32 - 1]),
    st.sampled_from(["", "group", "g" * 40]),
)
TIMES = st.one_of(
    st.integers(TIME_MIN_NS, TIME_MAX_NS),
    st.sampled_from([0, -1, 10**9, 2**33 * 10**9 - 1, 2**33 * 10**9, 1_500_000_000_100_000_000]),
)
XATTRS = st.lists(
    st.tuples(st.sampled_from([b"user.a", b"user.b", b"user.\xc3\xa4"]), st.binary(max_size=20)),
    max_size=2, unique_by=lambda pair: pair[0],
).map(tuple)  # fmt: skip
HEADERS = st.builds(
    Header, PATHS, st.sampled_from(EntryKind), st.integers(0, 0o7777), OWNERS, TIMES, st.just(0),
    xattrs=XATTRS, link=st.one_of(st.just(b""), PATHS),
)  # fmt: skip


def read_back(data: bytes) -> tarfile.TarInfo:
    """Return the one entry of an archive, as the standard library reads it."""
    with tarfile.open(fileobj=io.BytesIO(data + END)) as tar:
        (found,) = tar.getmembers()
    return found


@given(one=HEADERS)
@example(Header(b"x" * 4096, EntryKind.FILE, 0, ROOT, 0, link=b"\xff" * 300))
@example(Header(b"\xff" * 200, EntryKind.DIRECTORY, 0o755, ROOT, -5, link=b""))
def test_what_is_said_is_what_is_read(one: Header) -> None:
    if one.kind == EntryKind.SYMLINK and not one.link:
        one = one._replace(link=b"target")
    if one.kind == EntryKind.DIRECTORY:
        one = one._replace(link=b"")
    data = header(one)
    assert len(data) % 512 == 0
    found = read_back(data)

    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    assert raw(found.name) == one.path
    assert (found.mode, found.uid, found.gid) == (one.mode, one.owner.uid, one.owner.gid)
    assert (found.uname, found.gname) == (one.owner.user, one.owner.group)
    assert raw(found.linkname) == one.link
    assert found.size == 0
    exact = found.pax_headers.get("mtime", str(int(found.mtime)))
    whole, _, fraction = exact.partition(".")
    nanoseconds = abs(int(whole)) * 10**9 + int(fraction.ljust(9, "0") if fraction else 0)
    assert (-nanoseconds if exact.startswith("-") else nanoseconds) == one.mtime_ns
    kinds = {
        EntryKind.FILE: tarfile.LNKTYPE if one.link else tarfile.REGTYPE,
        EntryKind.DIRECTORY: tarfile.DIRTYPE,
        EntryKind.SYMLINK: tarfile.SYMTYPE,
    }
    assert found.type == kinds[one.kind]
    for key, value in one.xattrs:
        told = found.pax_headers["SCHILY.xattr." + key.decode()]
        assert raw(told) == value or value.decode("utf-8", "ignore").encode() != value


@pytest.mark.parametrize("size", [2**33 - 1, 2**33, 2**33 + 1, 2**63 - 1])
def test_sizes_from_eight_gibibytes_on(size: int) -> None:
    data = header(Header(b"palace/huge", EntryKind.FILE, 0o600, ROOT, 0, size))
    assert tarfile.TarInfo.frombuf(data[-512:], "utf-8", "strict").name == "palace/huge"
    done = subprocess.run(
        ["tar", "-tv", "--warning=none"], input=data, capture_output=True, check=False
    )
    assert str(size).encode() in done.stdout
    assert (len(data) > 512) == (size >= 2**33)


def test_most_files_take_one_block() -> None:
    one = Header(b"d" * 150 + b"/" + b"n" * 100, EntryKind.FILE, 0o644, ROOT, 10**18, 5)
    assert len(header(one)) == 512
    assert len(header(one._replace(path=b"d" + one.path))) == 512
    assert len(header(one._replace(path=one.path + b"n"))) > 512


@pytest.mark.parametrize("letter", [b"x", b"\xff"])
@pytest.mark.parametrize("length", [99, 100, 101, 155, 256, 257, 5000])
def test_names_of_every_length(length: int, letter: bytes) -> None:
    name = letter * length
    for path in (name, b"d/" + name, name[: length // 2] + b"/" + name[length // 2 :]):
        for kind in (EntryKind.FILE, EntryKind.SYMLINK):
            found = read_back(header(Header(path, kind, 0o644, ROOT, 0, link=name)))
            said = [
                text.encode("utf-8", "surrogateescape") for text in (found.name, found.linkname)
            ]
            assert said == [path, name]


def test_padding() -> None:
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]


@given(one=HEADERS)
def test_gnu_tar_reads_names_and_links(one: Header) -> None:
    one = one._replace(kind=EntryKind.SYMLINK, link=one.link or b"target", xattrs=())
    done = subprocess.run(
        ["tar", "-tv", "--quoting-style=literal"],
        input=header(one) + END, capture_output=True, check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stderr == b""
    assert done.stdout.endswith(b" " + one.path + b" -> " + one.link + b"\n")


def test_extended_attributes_as_gnu_tar_names_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    xattrs = {"user.a=b%c": b"1\n\0", "user.plain": b"2"}
    for key, value in xattrs.items():
        os.setxattr(file, key, value)
    theirs = subprocess.run(
        ["tar", "--format=posix", "--xattrs", "-c", "file"],
        cwd=tmp_path, capture_output=True, check=True,
    ).stdout  # fmt: skip
    pairs = tuple((key.encode(), value) for key, value in sorted(xattrs.items()))
    ours = header(Header(b"file", EntryKind.FILE, 0o600, ROOT, 0, xattrs=pairs))
    for record in (b"SCHILY.xattr.user.a%3Db%25c=1\n\0\n", b"SCHILY.xattr.user.plain=2\n"):
        assert record in theirs
        assert record in ours
