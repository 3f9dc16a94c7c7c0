"""Members of an archive into a new directory: as they are, and never anywhere else."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import count

from palatine.bundle.limits import Limits
from palatine.bundle.tar.read import Kind, Member, members
from palatine.bundle.unpack import new_tree
from palatine.errors import Malformed, PalatineError, Refused
from palatine.testing.builders import differences, state_of

LIMITS = Limits(allow_case_folding=True)


def unpack(tar: bytes, top: Path) -> list[bytes]:
    """Unpack a tar as it says, and return what got other rights."""
    with new_tree(top) as tree:
        for member in members(io.BytesIO(tar), LIMITS):
            if member.name:
                tree.put(member, member.name, member.link)
    return tree.widened


def made_up(name: bytes, kind: Kind, target: bytes = b"", mode: int = 0o644) -> Member:
    """Return a member that no reader would let through, without content."""

    class Nothing:
        def content(self, size: int) -> bytes:
            return b""

    owner = (0, "", 0, "")
    return Member(name, kind, mode, 0, 0, target, target, owner, Nothing())  # type: ignore[arg-type]


def test_what_gnu_tar_packed_is_there_again(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / ("d" * 200)).mkdir(parents=True)
    (top / "a" / ("d" * 200) / "file").write_bytes(os.urandom(3 << 20))
    (top / "a" / "empty").mkdir(mode=0o500)
    Path(os.fsdecode(bytes(top) + b"/\xff\n")).write_text("odd")
    (top / "second").hardlink_to(top / "a" / ("d" * 200) / "file")
    (top / "link").symlink_to("/etc/passwd")
    (top / "run").write_text("x")
    (top / "run").chmod(0o751)
    os.utime(top / "a" / "empty", ns=(0, 1_500_000_000_123_456_789))
    tar = subprocess.run(
        ["tar", "-c", "--format=posix", "-C", top, "."], capture_output=True, check=True
    ).stdout
    assert unpack(tar, tmp_path / "out") == []
    before, after = state_of(top), state_of(tmp_path / "out")
    assert (
        differences({k: v for k, v in before.items() if k}, {k: v for k, v in after.items() if k})
        == []
    )


@pytest.mark.parametrize("name", [b"", b".", b"..", b"../x", b"a/../../x", b"/x", b"a//x", b"./x"])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_name_leads_out_even_if_a_reader_let_it_pass(
    tmp_path: Path, name: bytes, kind: Kind
) -> None:
    with pytest.raises(Malformed), new_tree(tmp_path / "out") as tree:
        tree.put(made_up(name, kind, b"a"), name, b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", list(Kind))
def test_no_symlink_is_followed_nor_anything_replaced(tmp_path: Path, kind: Kind) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    with new_tree(tmp_path / "out") as tree:
        tree.put(made_up(b"door", Kind.SYMLINK, bytes(outside)), b"door")
        tree.put(made_up(b"file", Kind.SYMLINK, bytes(outside / "precious")), b"file")
        tree.put(made_up(b"own", Kind.FILE), b"own")
        for name in (b"door/x", b"door/precious", b"file", b"file/x", b"own/x"):
            with pytest.raises(Malformed):
                tree.put(made_up(name, kind, b"y"), name, b"own")
    assert {path.name for path in outside.iterdir()} == {"precious"}
    assert (outside / "precious").stat().st_nlink == 1
    assert (outside / "precious").read_text() == "x"


@pytest.mark.parametrize("link", [b"door/precious", b"file/precious", b"nothing", b"../precious"])
def test_a_hard_link_reaches_nothing_outside(tmp_path: Path, link: bytes) -> None:
    (tmp_path / "precious").write_text("x")
    with new_tree(tmp_path / "out") as tree:
        tree.put(made_up(b"door", Kind.SYMLINK, bytes(tmp_path)), b"door")
        tree.put(made_up(b"file", Kind.FILE), b"file")
        with pytest.raises(Malformed):
            tree.put(made_up(b"new", Kind.LINK, b"", 0), b"new", link)
    assert (tmp_path / "precious").stat().st_nlink == 1


def test_what_nobody_could_read_gets_a_right_and_special_bits_go(tmp_path: Path) -> None:
    with new_tree(tmp_path / "out") as tree:
        tree.put(made_up(b"dir", Kind.DIRECTORY, mode=0o000), b"dir")
        tree.put(made_up(b"dir/none", Kind.FILE, mode=0o000), b"dir/none")
        tree.put(made_up(b"dir/suid", Kind.FILE, mode=0o4755), b"dir/suid")
        tree.put(made_up(b"dir/usual", Kind.FILE, mode=0o600), b"dir/usual")
    modes = {
        path.name: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "out").rglob("*")
    }
    assert modes == {"dir": 0o500, "none": 0o400, "suid": 0o755, "usual": 0o600}
    assert tree.widened == [b"dir/none", b"dir/suid", b"dir"]


def test_a_name_that_is_too_long_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be a name here"), new_tree(tmp_path / "o") as tree:
        tree.put(made_up(b"n" * 300, Kind.FILE), b"n" * 300)


def test_the_directory_has_to_be_new(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), new_tree(tmp_path):
        pass


PARTS = st.lists(st.sampled_from([b"a", b"b", b"..", b".", b"", b"link", b"A"]), max_size=4)
ENTRY = st.tuples(PARTS, st.sampled_from([b"0", b"1", b"2", b"5"]), PARTS, st.integers(0, 0o7777))


@settings(max_examples=count(150, 1000))
@given(st.lists(ENTRY, max_size=8), st.booleans())
def test_whatever_an_archive_says_nothing_outside_changes(
    entries: list[tuple[list[bytes], bytes, list[bytes], int]], rooted: bool
) -> None:
    tar = io.BytesIO()
    for parts, kind, target, mode in entries:
        info = tarfile.TarInfo(os.fsdecode(b"/".join(parts)))
        info.type, info.mode = kind, mode
        info.linkname = os.fsdecode((b"/" if rooted else b"") + b"/".join(target))
        tar.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    tar.write(bytes(1024))
    with tempfile.TemporaryDirectory() as scratch:
        inner = Path(scratch) / "one" / "two"
        inner.mkdir(parents=True)
        for name in ("a", "b"):
            (inner.parent / name).write_text("precious")
        before = state_of(scratch)
        with contextlib.suppress(PalatineError):
            unpack(tar.getvalue(), inner / "out")
        after = state_of(scratch)
        inside = b"one/two"
        changed = differences(
            {name: one for name, one in before.items() if not name.startswith(inside)},
            {name: one for name, one in after.items() if not name.startswith(inside)},
        )
        assert changed == []
        below = [name for name in after if name.startswith(b"one/two/")]
        assert all(name.startswith(b"one/two/out") for name in below)
