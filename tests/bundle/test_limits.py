"""Limits: bombs are stopped before they cost anything, honest bundles are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.archives import exported
from tests.bundle.handmade import Handmade, Made
from tests.bundle.hostile import refused
from tests.support import Place

from palatine.bundle import limits as limits_module
from palatine.bundle.limits import GRACE, Guard, Limits, Seen, folded
from palatine.errors import Refused
from palatine.ops.intake import Request


class Endless:
    """A stream of zeros."""

    def read(self, size: int, /) -> bytes:
        return bytes(size)


def drained(guard: Guard) -> None:
    while guard.read(1 << 20):
        pass


def test_the_absolute_limit() -> None:
    guard = Guard(Endless(), Limits(max_size=5 << 20), lambda: 1 << 30)
    with pytest.raises(Refused, match="more than 5242880 bytes") as caught:
        drained(guard)
    assert "--max-size" in caught.value.hint
    assert guard.passed <= 6 << 20


def test_the_ratio() -> None:
    guard = Guard(Endless(), Limits(max_ratio=100), lambda: 3 << 20)
    with pytest.raises(Refused, match="100 times") as caught:
        drained(guard)
    assert "--max-ratio" in caught.value.hint
    assert 300 << 20 < guard.passed <= 301 << 20


def test_holes_do_not_count_for_the_ratio() -> None:
    guard = Guard(Endless(), Limits(max_ratio=2), lambda: 1)
    for _ in range(600):
        guard.sparse += len(guard.read(1 << 20))
    with pytest.raises(Refused):
        drained(guard)
    assert guard.passed <= (601 << 20) + GRACE


def test_a_bomb(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "GRACE", 4 << 20)
    made = Handmade({"palace": Made(), "palace/bomb": Made(bytes(20 << 20), mode=0o600)})
    data = made.bundle()
    error = refused(place, data, "times its size")
    assert isinstance(error, Refused)
    error = refused(place, data, "bytes", limits=Limits(max_size=19 << 20))
    assert isinstance(error, Refused)
    file = place.root / "hostile.tar.zst"
    with place.open() as repository:
        request = Request(file, limits=Limits(max_ratio=1e9))
        assert repository.import_bundle(request).fresh
    sparse = Handmade({"palace": Made(), "palace/bomb": made.entries["palace/bomb"]})
    sparse.entries["palace/bomb"].holes = [[0, 20 << 20]]
    with place.open() as repository:  # a hole that is said to be one is no bomb
        assert repository.import_bundle(sparse.write(place.root)).fresh


def test_a_window_that_is_too_large(place: Place, tmp_path: Path) -> None:
    plain = tmp_path / "plain.tar"
    plain.write_bytes(Handmade().tar())
    with plain.open("rb") as file:
        out = subprocess.run(
            ["zstd", "-19", "--ultra", "--long=28", "-c"], stdin=file, capture_output=True,
            check=True,
        ).stdout  # fmt: skip
    error = refused(place, out, "268435456 bytes of memory")
    assert isinstance(error, Refused)
    # one segment: the window is as large as the content is said to be
    frame = bytearray(zstandard.compress(b"x" * 70_000))
    assert frame[4] & 0x20
    frame[4], frame[5:9] = (frame[4] & 0x3F) | 0xC0, (1 << 40).to_bytes(8, "little")
    refused(place, bytes(frame), "of memory")
    with plain.open("rb") as file:
        out = subprocess.run(
            ["zstd", "-19", "--ultra", "--long=27", "-c"], stdin=file, capture_output=True,
            check=True,
        ).stdout  # fmt: skip
    (tmp_path / "fits.tar.zst").write_bytes(out)
    with place.open() as repository:
        assert repository.import_bundle(tmp_path / "fits.tar.zst").fresh


def test_a_billion_entries(place: Place) -> None:
    made = Handmade()
    made.manifest = lambda manifest: manifest.update({"count": 10**9})
    assert isinstance(refused(place, made.bundle(), "entries"), Refused)


def test_many_entries_take_no_memory() -> None:
    """A child with little memory reads a manifest of a million entries that turns out bad."""
    code = """
import io, re, sys
from palatine.bundle.limits import Guard, Limits
from palatine.bundle.native.matching import NativeBundle
from palatine.errors import PalatineError
from tests.bundle.endless import Endless

def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
try:
    with NativeBundle(Guard(Endless(int(sys.argv[1])), Limits(), lambda: 1 << 40), Limits()) as one:
        list(one.entries())
except PalatineError as error:
    print(error)
print(peak() - before)
"""
    grown = []
    for entries in (20_000, 200_000):
        done = subprocess.run(
            [sys.executable, "-c", code, str(entries)], capture_output=True, text=True, check=True,
            env=dict(os.environ, PYTHONPATH=":".join(sys.path)),
        )  # fmt: skip
        said, kib = done.stdout.splitlines()
        assert "lacks" in said
        grown.append(int(kib))
    assert grown[1] < grown[0] + 20_000


@given(st.lists(st.binary(max_size=3), max_size=60))
def test_what_was_seen(names: list[bytes]) -> None:
    seen, known = Seen(held=4), set()
    for name in names:
        assert (name in seen) == (name in known)
        assert seen.add(name) == (name not in known)
        known.add(name)
    seen.clear()
    assert all(name not in seen for name in known)


def test_folding() -> None:
    assert folded(b"README.md") == folded(b"ReadMe.MD") != folded(b"README.m")
    assert folded("É".encode()) == folded("e\u0301".encode())
    assert folded(b"\xffA") == folded(b"\xffa") != folded(b"\xfea")


def test_a_real_bundle_stays_within(place: Place) -> None:
    for at in range(300):
        (place.palace / f"{at}.md").write_text("the same again and again\n" * 200)
    place.snapshot()
    file = exported(place).path
    assert file is not None
    (place.root / "other").mkdir()
    other = Place(place.root / "other")
    with other.open() as repository:
        assert repository.import_bundle(file).same
