"""Writes past the page cache: the same bytes, whatever the file system allows."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest
from tests.support import Place

from palatine.restore import direct
from palatine.testing.builders import differences, state_of

SIZES = (0, 1, 4095, 4096, 4097, 300_001, direct._BUFFER + 4096, 2 * direct._BUFFER + 5)


def written(folder: Path, size: int, offset: int) -> tuple[bytes, bytes, int]:
    """Write bytes at an offset, past the cache as far as that goes; return them, the file, how far.

    The rest is written through the cache, as a restore does.
    """
    data = Random(size).randbytes(size)
    path = folder / f"{size}-{offset}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    past = direct.open_direct(fd)
    try:
        done = direct.write_direct(past, data, offset)
        os.pwrite(fd, data[done:], offset + done)
    finally:
        os.close(fd)
        if past >= 0:
            os.close(past)
    return data, path.read_bytes(), done


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 4096, 100])
def test_the_same_bytes(tmp_path: Path, size: int, offset: int) -> None:
    data, found, done = written(tmp_path, size, offset)
    assert found[offset:] == data
    assert done % direct.ALIGNMENT == 0
    assert done <= size
    if offset % direct.ALIGNMENT:
        assert done == 0


def test_where_it_is_refused_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.EINVAL, "")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        assert direct.write_direct(7, bytes(8192), 0) == 0
    assert direct.write_direct(-1, bytes(8192), 0) == 0


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may take less than it was given, also in the middle of a block."""
    data = Random(1).randbytes(3 * 4096)
    path = tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, part, at: real(fd, part[: 4096 + 17], at))
    done = direct.write_direct(fd, data, 0)
    monkeypatch.undo()
    os.close(fd)
    assert done == len(data)
    assert path.read_bytes() == data


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        direct.write_direct(7, bytes(8192), 0)


def test_files_restored_so_are_equal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every size around the limits, with holes, read-only, and cut at odd places."""
    random = Random(3)
    for size in (direct.WORTH - 1, direct.WORTH, direct.WORTH + 1, 3_000_001, 2 << 20):
        (place.palace / f"cut-{size}").write_bytes(random.randbytes(size))
        (place.palace / f"fixed-{size}.usearch").write_bytes(random.randbytes(size))
    with (place.palace / "link_lists.bin").open("wb") as file:
        file.seek(5 << 20)
        file.write(random.randbytes(1_500_000))
        file.truncate(9_000_000)
    (place.palace / "fixed-2097152.usearch").chmod(0o444)
    place.snapshot()
    past = []
    real = direct._written

    def count(fd: int, piece: memoryview, offset: int) -> int:
        past.append(len(piece))
        return real(fd, piece, offset)

    monkeypatch.setattr(direct, "_written", count)
    target = place.restored()
    assert differences(state_of(place.palace), state_of(target)) == []
    assert (target / "link_lists.bin").stat().st_blocks * 512 < 4_000_000
    probe = os.open(target / "link_lists.bin", os.O_WRONLY)
    possible = direct.open_direct(probe)
    os.close(probe)
    if possible >= 0:
        os.close(possible)
        assert sum(past) > 8_000_000
