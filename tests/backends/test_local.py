"""What only the local backend promises: permissions, durability, and errors in plain words."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

import pytest

from palatine import fsio
from palatine.backends.local import LocalBackend
from palatine.errors import NoSpace, ReadOnly, RepositoryError


def test_files_and_directories_are_private(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "repository")
    backend.put("packs/ab/abcd", b"x")
    backend.create("index/one", b"x")
    for path in (tmp_path / "repository").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted


def test_what_killed_processes_left_long_ago_is_swept_away(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put("snapshots/t/p/key", b"x")
    backend.put("packs/ab/abcd", b"x")
    now = (tmp_path / "packs" / "ab" / "abcd").stat().st_mtime
    left = [
        tmp_path / folder / f"{fsio.TEMPORARY_PREFIX}{age}"
        for folder in ("", "sessions", "snapshots/t/p")
        for age in ("old", "young", "future")
    ]
    ages = {"old": 90_000, "young": 80_000, "future": -90_000}
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        at = now - ages[path.name.removeprefix(fsio.TEMPORARY_PREFIX)]
        os.utime(path, (at, at))
    for path in tmp_path.rglob("*"):
        if path.is_file() and path not in left:
            os.utime(path, (now - 10**6, now - 10**6))
    assert backend.sweep() == 3
    assert [path.exists() for path in left] == [False, True, True] * 3
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 6 + 2
    assert backend.sweep() == 0


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EROFS, ReadOnly),
        (errno.EACCES, ReadOnly),
        (errno.EIO, RepositoryError),
    ],
)
def test_what_the_system_says_is_said_in_palatines_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    backend = LocalBackend(tmp_path)
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(error, match="name"):
        backend.put("name", b"x")
    with pytest.raises(error):
        backend.create("name", b"x")
    with backend.upload() as upload, pytest.raises(error):
        upload.write(b"x")
    monkeypatch.undo()
    assert list(backend.list("")) == []


def test_a_file_is_synced_before_it_has_its_name_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, link = os.fsync, os.link

    def noted_sync(fd: int) -> None:
        done.append("sync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        sync(fd)

    def noted_link(*arguments: object, **options: object) -> None:
        done.append("link")
        link(*arguments, **options)  # type: ignore[arg-type]

    backend = LocalBackend(tmp_path)
    backend.put("packs/first", b"")
    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "link", noted_link)
    assert backend.create("packs/second", b"x")
    assert done == ["sync file", "link", "sync directory"]
    done.clear()
    with backend.upload() as upload:
        upload.write(b"x")
        upload.commit("packs/third")
    # a pack's directory may have been made by somebody who is about to sync its name
    assert done == ["sync file", "link", *["sync directory"] * 2]
    done.clear()
    with backend.upload() as upload:
        upload.write(b"x")
        upload.commit("packs/ab/cd/fourth")
    assert done[:2] == ["sync file", "link"]
    assert done[2:] == ["sync directory"] * 4


def test_a_large_file_begins_to_go_to_disk_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(fsio.durable, "begin_writeback", begun.append)
    with LocalBackend(tmp_path).upload() as upload:
        for _ in range(24):
            upload.write(bytes(1 << 20))
        assert len(begun) == 3
        upload.commit("packs/one")


def test_temporary_files_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / f"{fsio.TEMPORARY_PREFIX}00").write_bytes(b"x")
    assert list(LocalBackend(tmp_path).list("packs/")) == []


def test_without_nameless_files_the_contract_holds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    backend = LocalBackend(tmp_path)
    assert backend.create("a/b", b"one")
    assert not backend.create("a/b", b"two")
    backend.put("a/b", b"three")
    with backend.upload() as upload:
        upload.write(b"dropped")
    assert backend.get("a/b") == b"three"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b"]


def test_many_packs_read_do_not_use_up_descriptors(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    for number in range(200):
        backend.put(f"packs/{number}", b"%d" % number)
    for number in range(200):
        assert backend.read(f"packs/{number}", 0, 10) == b"%d" % number
    assert 0 < len(_descriptors(tmp_path)) <= 64
    backend.close()
    assert _descriptors(tmp_path) == []


def _descriptors(root: Path) -> list[str]:
    """Return what this process has open below a directory."""
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            targets.append(str(entry.readlink()))
    return [target for target in targets if target.startswith(str(root))]
