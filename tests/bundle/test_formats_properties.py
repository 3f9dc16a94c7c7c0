"""Any palace through any format: what the format can hold comes back, and the rest is told."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.bundle import theirs_nexo, theirs_trusty
from tests.bundle.foreign import content, read
from tests.support import count

from palatine.bundle.formats.base import About, StreamFormat
from palatine.bundle.formats.nexo import Nexo
from palatine.bundle.formats.registry import FORMATS, by_name
from palatine.bundle.formats.trusty import Trusty
from palatine.bundle.limits import Limits
from palatine.errors import Refused, UsageError
from palatine.testing.builders import State, differences, state_of

SAID = About("ana", "default", "trusty", "ab" * 32, 1_778_288_523_123_456, "0.1.0")
TAR = ("tar", "--warning=no-unknown-keyword")
POSSIBLE = bytes.maketrans(b"/\0", b"_0")
NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b".git", b"git", b"memory_files", b"manifest.json", b"HEAD",
                     b"long_term.sqlite", b"state", b"extract_cursor.json", b"-rf", b"n" * 120]),
    st.binary(min_size=1, max_size=12).map(lambda one: one.translate(POSSIBLE)),
).filter(lambda one: one not in (b".", b".."))  # fmt: skip
LEAF = st.one_of(
    st.binary(max_size=1500),
    st.sampled_from(["a", "nowhere", "../a", "/etc/passwd"]),
)
TREES = st.recursive(
    st.dictionaries(NAMES, LEAF, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAF, inner), max_size=4),
    max_leaves=12,
)
SETTINGS = settings(max_examples=count(60, 300))
FOLDING = Limits(allow_case_folding=True)


def grow(top: bytes, tree: dict[bytes, object]) -> None:
    """Make a directory with what a tree says."""
    os.mkdir(top)
    for name, what in tree.items():
        path = top + b"/" + name
        if isinstance(what, dict):
            grow(path, what)
        elif isinstance(what, bytes):
            with open(path, "wb") as file:
                file.write(what)
            os.chmod(path, 0o600 | len(what) % 0o100)
            os.utime(path, ns=(0, 1_600_000_000_000_000_000 + len(what)))
        else:
            assert isinstance(what, str)
            os.symlink(what, path)


def write(format_: StreamFormat, palace: Path, out: Path) -> tuple[str, ...]:
    """Write an archive with what stands beside it."""
    with out.open("wb") as sink:
        notes = format_.write(palace, SAID, sink)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    Path(f"{out}.sha256").write_bytes(format_.sibling(out.name, digest))
    return notes


def check_told_of_case(format_: StreamFormat, archive: Path, notes: tuple[str, ...]) -> None:
    """Assert that the option is named that reading needs, and only then."""
    told = any("--allow-case-folding" in note for note in notes)
    with pytest.raises(Refused) if told else contextlib.nullcontext():
        read(format_, archive, archive.parent / "strict")


@SETTINGS
@given(TREES)
@example({b"A": b"", b"a": b"", b"d": {b"\xc3\x84": b"", b"\xc3\xa4": b""}})
def test_trusty_holds_all_but_symlinks(tree: dict[bytes, object]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        palace = top / "ana"
        grow(bytes(palace), tree)
        notes = write(Trusty(), palace, top / "a.tar.gz")
        before = {path: one for path, one in state_of(palace).items() if one.kind != "symlink"}
        (top / "out").mkdir()
        command: list[str | Path] = [*TAR, "-xzpf", top / "a.tar.gz", "-C", top / "out"]
        subprocess.run(command, check=True)
        extracted = state_of(top / "out" / "ana")
        kept = {path: one for path, one in extracted.items() if one.kind != "symlink"}
        assert differences(before, kept) == []
        lost = content(palace).keys() - extracted.keys()
        assert bool(lost) == any("left out" in note for note in notes)
        theirs_trusty.restore(top / "a.tar.gz", top / "fresh")
        found = read(Trusty(), top / "a.tar.gz", top / "s", limits=FOLDING)
        assert differences(extracted, state_of(found.path)) == []
        check_told_of_case(Trusty(), top / "a.tar.gz", notes)


@SETTINGS
@given(TREES)
@example({b"A": b"", b"a": b"", b"d": {b"\xc3\x84": b"", b"\xc3\xa4": b""}})
def test_nexo_holds_regular_files(tree: dict[bytes, object]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        palace = top / "ana"
        grow(bytes(palace), tree)
        notes = write(Nexo(), palace, top / "a.tar.zst")
        assert set(theirs_nexo.verify(top / "a.tar.zst").values()) == {True}
        found = read(Nexo(), top / "a.tar.zst", top / "s", limits=FOLDING)
        assert found.unverified == ()
        before, after = _files(palace), _files(found.path)
        held = {path: one for path, one in before.items() if path in after}
        assert differences(held, {path: one for path, one in after.items() if path in before}) == []
        for path in before.keys() - after.keys():
            assert "UTF-8" in "\n".join(notes), path
        extra = after.keys() - before.keys()
        assert all(b"refs/heads" in path or b"objects/info" in path for path in extra)
        check_told_of_case(Nexo(), top / "a.tar.zst", notes)


def _files(top: Path) -> dict[bytes, State]:
    return {
        path: one._replace(first=b"") for path, one in content(top).items() if one.kind == "file"
    }


@pytest.mark.parametrize("format_", [Trusty(), Nexo()])
def test_memory_does_not_grow_with_files(tmp_path: Path, format_: StreamFormat) -> None:
    palace = tmp_path / "ana"
    palace.mkdir()
    with (palace / "large.bin").open("wb") as file:
        file.truncate(96 << 20)
    (palace / "palace.json").write_text("{}")
    out = tmp_path / f"a{format_.suffix}"
    tracemalloc.start()
    write(format_, palace, out)
    found = read(format_, out, tmp_path / "s")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.path / "large.bin").stat().st_size == 96 << 20
    assert peak < 24 << 20


def test_formats_are_found_by_name() -> None:
    assert [by_name(one.name) for one in FORMATS] == list(FORMATS)
    with pytest.raises(UsageError, match="there is no format 'zip'"):
        by_name("zip")
    with pytest.raises(UsageError, match="layout mempalace"):
        by_name("trusty").check_layout("mempalace")
