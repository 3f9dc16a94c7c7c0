"""What would be left after a power cut: nothing is named that relies on what is not durable yet.

The disk is watched: which bytes of a file were synced, and which names of a directory.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from random import Random

import pytest
from tests.support import count
from tests.sync.aid import contents, copy_all, opened

from palatine.model.names import pack_name
from palatine.model.pack import decode_segment
from palatine.store import encoder, packer

Name = tuple[int, str]
"""A name in a directory, which is known by its number."""


class WatchedDisk:
    """Files below `root` as a power cut would leave them, by what was synced; see `left`.

    A sync takes a random moment, so that packs become full while others are flushed.
    """

    def __init__(self, root: Path, rng: Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.wrong: list[str] = []
        """What was named too early."""
        self._sizes: dict[int, int] = {}
        self._durable: set[Name] = set()
        self._linked: set[Path] = set()
        self._lock = threading.RLock()
        self._rng = rng
        self._sync, self._link = os.fsync, os.link
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "link", self.link)

    def fsync(self, fd: int) -> None:
        """Sync, and note what is durable now: what was there when it began."""
        found = os.fstat(fd)
        names = os.listdir(fd) if stat.S_ISDIR(found.st_mode) else []
        self._sync(fd)
        threading.Event().wait(self._rng.random() * 0.01)
        with self._lock:
            self._sizes[found.st_ino] = found.st_size
            self._durable |= {(found.st_ino, name) for name in names}

    def link(self, source: str, name: str, *, dst_dir_fd: int, follow_symlinks: bool) -> None:
        """Give a name, and look whether what it relies upon is durable."""
        self._link(source, name, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        path = Path(f"/proc/self/fd/{dst_dir_fd}").readlink() / name
        if not path.is_relative_to(self.root):
            return
        with self._lock:
            where = path.relative_to(self.root)
            if not self._has_bytes(path):
                self.wrong.append(f"{where} has a name before its bytes are there")
            needed = self._needed(where, path)
            self.wrong += [f"{where} before {one}" for one in needed if not self.left(one)]
            self._linked.add(where)

    def left(self, name: str) -> bool:
        """Whether a file would be there, whole, after a power cut now."""
        path = self.root / name
        above = [path, *path.parents][: len(Path(name).parts)]
        return self._has_bytes(path) and all(
            (one.parent.stat().st_ino, one.name) in self._durable for one in above
        )

    def _has_bytes(self, path: Path) -> bool:
        found = path.stat()
        return self._sizes.get(found.st_ino) == found.st_size

    def _needed(self, where: Path, path: Path) -> list[str]:
        """Return what a file that was just named relies upon."""
        if where.parts[0] == "index":
            return [pack_name(one.pack) for one in decode_segment(path.read_bytes(), str(where))]
        if where.parts[0] == "snapshots":
            return [str(one) for one in self._linked if one.parts[0] in ("packs", "index")]
        return []


@pytest.mark.parametrize("seed", range(count(3, 100)))
def test_nothing_is_named_before_what_it_relies_upon_is_flushed(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(seed)
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for number in range(3):
            palace = tmp_path / f"palace{number}"
            palace.mkdir()
            for file in range(25):
                (palace / f"{file}").write_bytes(rng.randbytes(70_000 + rng.randrange(20_000)))
            source.snapshot(palace)
        monkeypatch.setattr(packer, "PACK_TARGET", 100_000)
        monkeypatch.setattr(encoder, "SEGMENT_PACKS", 7)
        disk = WatchedDisk(tmp_path / "b" / "repository", rng, monkeypatch)
        assert len(copy_all(source, target).done) == 3
        assert disk.wrong == []
        names = [one.name for one in target.store.backend.list("")]
        assert all(disk.left(one) for one in names if not one.startswith("config"))
        assert len([one for one in names if one.startswith("packs/")]) > 30
        assert len([one for one in names if one.startswith("index/")]) > 3
        monkeypatch.undo()
        assert len(contents(target.store)) == 3
