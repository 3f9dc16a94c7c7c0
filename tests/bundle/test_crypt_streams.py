"""The streams themselves: pieces of any size, leaving early, errors of either side, memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.crypting import CHEAP, Own, age_key, content, decrypted, encrypted
from tests.support import count, small_disk

from palatine.bundle.age.keys import Keys, Lock, Passphrase
from palatine.bundle.age.streams import DecryptingReader, EncryptingWriter
from palatine.errors import Damaged

PASSPHRASE = Passphrase(b"correct horse")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    return Own(tmp_path_factory.mktemp("own") / "key")


@given(st.lists(st.binary(max_size=200_000), max_size=4), st.integers(1, 300_000), st.booleans())
def test_pieces_of_any_size(own: Own, pieces: list[bytes], read: int, passphrase: bool) -> None:
    lock = Lock((), PASSPHRASE) if passphrase else own.lock
    keys = Keys((), PASSPHRASE) if passphrase else own.keys
    sink = io.BytesIO()
    with EncryptingWriter(sink, lock, CHEAP) as out:
        for piece in pieces:
            out.write(memoryview(piece))
    assert decrypted(sink.getvalue(), keys, read) == b"".join(pieces)
    assert threading.active_count() == 1


def test_leaving_early(own: Own) -> None:
    ours = encrypted(content(3 << 20), own.lock)
    with DecryptingReader(io.BytesIO(ours), own.keys, "F") as plain:
        assert plain.read(10) == content(3 << 20)[:10]
        plain.close()
    with (
        pytest.raises(Damaged, match="more in the file"),
        DecryptingReader(io.BytesIO(ours), own.keys, "F") as plain,
    ):
        plain.read(10)
    with pytest.raises(KeyError), DecryptingReader(io.BytesIO(ours), own.keys, "F") as plain:
        raise KeyError(plain.read(10))
    forgotten = DecryptingReader(io.BytesIO(ours), own.keys, "F")
    forgotten.read(1)
    del forgotten
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)
    assert threading.active_count() == 1


def test_all_but_the_mark_of_the_end_is_not_the_end(own: Own) -> None:
    data = content(65_536)
    ours = encrypted(data, own.lock)
    cut = io.BytesIO(ours[:-1])
    with pytest.raises(Damaged), DecryptingReader(cut, own.keys, "F") as plain:
        plain.read(len(data))


class Broken(io.BytesIO):
    """A source and a sink that fails after a while."""

    room = 2 << 20

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > self.room:
            raise OSError(5, "Input/output error")
        return super().read(size)

    def write(self, data: object, /) -> int:
        if self.tell() > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("passphrase", [False, True])
def test_errors_of_either_side_are_the_callers(own: Own, passphrase: bool) -> None:
    lock = Lock((), PASSPHRASE) if passphrase else own.lock
    keys = Keys((), PASSPHRASE) if passphrase else own.keys
    sink = Broken()
    with pytest.raises(OSError, match="No space left"), EncryptingWriter(sink, lock, CHEAP) as out:
        out.write(content(9 << 20))
    with pytest.raises(Damaged):
        decrypted(sink.getvalue(), keys)
    whole = encrypted(content(9 << 20), lock)
    with (
        pytest.raises(OSError, match="Input/output"),
        DecryptingReader(Broken(whole), keys, "F") as plain,
    ):
        plain.read(len(whole))
    assert threading.active_count() == 1


def test_after_an_error_nothing_is_finished(own: Own) -> None:
    sink = Broken()
    out = EncryptingWriter(sink, own.lock)
    with pytest.raises(OSError, match="No space"):
        out.write(content(9 << 20))
    sink.room = 1 << 30
    with pytest.raises(ValueError, match="after the last"):
        out.finish()
    sink = Broken()
    with pytest.raises(KeyError), EncryptingWriter(sink, own.lock) as out:
        raise KeyError(out.write(content(1 << 20)))
    with pytest.raises(Damaged):
        decrypted(sink.getvalue(), own.keys)


def test_a_full_disk(own: Own, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2 << 20), (tmp_path / "disk/F").open("wb", 0) as file:
        with pytest.raises(OSError, match="No space left"), EncryptingWriter(file, own.lock) as out:
            out.write(content(9 << 20))
        assert threading.active_count() == 1


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A stream of many times the memory, through both, in a process of its own."""
    size = count(100 << 20, 2000 << 20)
    for what in ("lock_of([sys.argv[1]]), keys_of([sys.argv[2]])", "Lock((), P), Keys((), P)"):
        script = SCRIPT.format(what=what, size=size)
        key = tmp_path / "key"
        recipient = age_key(key)
        done = subprocess.run(
            [sys.executable, "-c", script, recipient, key, tmp_path / "out"],
            check=True, capture_output=True, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"},
        )  # fmt: skip
        key.unlink()
        assert int(done.stdout) < 24 << 20, "more was held than the pieces under way"


SCRIPT = """
import re, sys
from palatine.bundle.age.keys import *
from palatine.bundle.age.streams import *
P = Passphrase(b"p")
lock, keys = {what}
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = peak()
piece = bytes(8 << 20)
with open(sys.argv[3], "wb") as file, EncryptingWriter(file, lock, 10) as out:
    for _ in range({size} // len(piece)):
        out.write(piece)
total = 0
with open(sys.argv[3], "rb") as file, DecryptingReader(file, keys, "F") as plain:
    while part := plain.read(1 << 16):
        total += len(part)
assert total == {size} // len(piece) * len(piece)
print(peak() - before)
"""
