"""The output file and the hash beside it: complete or not there, and never the wrong hash."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.archives import check_sums
from tests.support import small_disk

from palatine import fsio
from palatine.bundle import sums
from palatine.bundle.files import HashedInput, OutputFile, sibling
from palatine.errors import Exists, NoSpace, PalatineError, UsageError

OLD, NEW = b"the old bundle", b"the new bundle"


def write(path: Path, data: bytes = NEW, force: bool = False) -> str:
    with OutputFile(path, force) as file:
        file.write(data)
        return file.commit()


def looks_right(path: Path) -> None:
    """Assert that what is at a path is whole, and that a hash beside it is its own."""
    if path.exists():
        assert path.read_bytes() in (OLD, NEW)
        if sibling(path).exists():
            check_sums(path.parent, sibling(path).name)


def test_written_with_its_hash(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a\nbundle"
    digest = write(target)
    assert digest == hashlib.sha256(NEW).hexdigest()
    assert target.read_bytes() == NEW
    check_sums(target.parent, sibling(target).name)
    assert len(os.listdir(target.parent)) == 2
    assert target.stat().st_mode & 0o777 == 0o600


def test_nothing_without_commit(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "out") as file:
        file.write(NEW)
    assert os.listdir(tmp_path) == []


def test_what_is_there_stays_without_force(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(OLD)
    with pytest.raises(Exists, match="is there already"):
        OutputFile(target)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(Exists):
        OutputFile(tmp_path / "dangling")
    with pytest.raises(UsageError, match="is a directory"):
        OutputFile(tmp_path, force=True)
    assert target.read_bytes() == OLD
    write(target, force=True)
    assert target.read_bytes() == NEW
    check_sums(tmp_path, "out.sha256")


def test_what_came_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with OutputFile(target) as file:
        file.write(NEW)
        target.write_bytes(OLD)
        with pytest.raises(Exists):
            file.commit()
    assert os.listdir(tmp_path) == ["out"]
    assert target.read_bytes() == OLD


def test_a_hash_that_was_left_is_replaced_another_file_is_not(tmp_path: Path) -> None:
    target = tmp_path / "out"
    sibling(target).write_bytes(sums.line("0" * 64, b"out"))
    write(target)
    check_sums(tmp_path, "out.sha256")
    target.unlink()
    sibling(target).write_text("my own notes")
    with pytest.raises(Exists, match=r"out\.sha256 is there already"):
        write(target)
    assert sibling(target).read_text() == "my own notes"


def test_what_came_in_the_very_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    with OutputFile(target) as file:
        monkeypatch.setattr("palatine.bundle.files.check_free", lambda *_: None)
        target.write_bytes(OLD)
        with pytest.raises(Exists):
            file.commit()
    assert target.read_bytes() == OLD


class Killed(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL."""


STEPS = [(fsio, "remove"), (fsio, "replace"), (fsio.NewFile, "link"), (fsio.NewFile, "rename"),
         (fsio.NewFile, "sync")]  # fmt: skip


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
def test_stopped_at_any_step_nothing_wrong_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], after: bool, there: bool
) -> None:
    target = tmp_path / "out"
    if there:
        write(target, OLD)
    original: Callable[..., Any] = getattr(*step)

    def stops(*arguments: Any) -> None:
        if after:
            original(*arguments)
        raise Killed

    monkeypatch.setattr(*step, stops)
    with contextlib.suppress(Killed):
        write(target, force=there)
    monkeypatch.undo()
    looks_right(target)
    assert target.exists() or not there
    write(target, force=target.exists())
    assert target.read_bytes() == NEW
    check_sums(tmp_path, "out.sha256")
    assert sorted(os.listdir(tmp_path)) == ["out", "out.sha256"]


def test_many_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out"
    outcomes: list[object] = []

    def one(number: int, force: bool) -> None:
        try:
            outcomes.append(write(target, b"%d" % number * 1000, force))
        except PalatineError as error:
            outcomes.append(error)

    for force in (False, True):
        threads = [threading.Thread(target=one, args=(n, force)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_sums(tmp_path, "out.sha256")
    assert sum(isinstance(one, Exists) for one in outcomes) == 7
    assert sum(isinstance(one, str) for one in outcomes) == 9


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20):
        with pytest.raises(NoSpace, match="full"), OutputFile(tmp_path / "disk" / "out") as file:
            file.write(bytes(5 << 20))
        assert os.listdir(tmp_path / "disk") == []


def test_a_large_file_is_written_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fsio.durable, "begin_writeback", asked.append)
    with OutputFile(tmp_path / "out") as file:
        for _ in range(40):
            file.write(bytes(1 << 20))
        assert file.commit() == hashlib.sha256(bytes(40 << 20)).hexdigest()
    assert len(asked) == 2


def test_input_is_hashed_to_its_end() -> None:
    data = os.urandom(3_000_000)
    hashed = HashedInput(io.BytesIO(data))
    assert hashed.read(10) == data[:10]
    assert hashed.finish() == hashlib.sha256(data).hexdigest()
    assert hashed.size == len(data)


NAMES = st.binary(min_size=1, max_size=30).map(lambda name: name.translate(None, b"\0/"))


@given(names=st.lists(NAMES.filter(lambda name: name not in (b"", b".", b"..")), unique=True))
def test_lines_are_those_of_sha256sum(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    top = tmp_path_factory.mktemp("sums")
    for name in [*names, b"a\\n", b"cr\r", b"\\"]:
        (top / os.fsdecode(name)).write_bytes(name)
        done = subprocess.run(["sha256sum", "--", name], cwd=top, capture_output=True, check=True)
        line = sums.line(hashlib.sha256(name).hexdigest(), name)
        assert line == done.stdout
        assert sums.parse(line) == (hashlib.sha256(name).hexdigest(), name)


@pytest.mark.parametrize(
    "line",
    [b"", b"0" * 64 + b"  name", b"0" * 63 + b"  name\n", b"0" * 64 + b"  \n",
     b"\\" + b"0" * 64 + b"  a\\x\n", b"0" * 64 + b"  a\nb\n", b"\\" + b"0" * 64 + b"  a\\\n"],
)  # fmt: skip
def test_lines_that_are_none(line: bytes) -> None:
    assert sums.parse(line) is None
