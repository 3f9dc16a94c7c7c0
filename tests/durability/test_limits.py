"""A full disk and a repository that may not be written to: a clear error, nothing damaged."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.capture.trees import MIB, contents
from tests.support import SETTINGS, Place, as_nobody, small_disk

import palatine
from palatine.errors import NoSpace, PalatineError, ReadOnly, RepositoryError
from palatine.testing.builders import differences, state_of

ROOT = os.geteuid() == 0


def test_a_full_repository_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    palace, disk = tmp_path / "palace", tmp_path / "disk"
    palace.mkdir()
    (palace / "small").write_bytes(contents(1, 100_000))
    with small_disk(disk, 8 * MIB):
        palatine.init(disk / "repository")
        with palatine.open_repository(
            disk / "repository", cache=tmp_path / "cache", settings=SETTINGS
        ) as repository:
            repository.snapshot(palace)
            before = state_of(palace)
            (palace / "big").write_bytes(contents(2, 20 * MIB))
            with pytest.raises(NoSpace) as raised:
                repository.snapshot(palace)
            assert raised.value.hint
            assert len(repository.log()) == 1
            assert repository.verify(data=True).ok
            repository.restore("palace", tmp_path / "restored")
            assert differences(before, state_of(tmp_path / "restored")) == []
            assert list((disk / "repository" / "sessions").iterdir()) == []
            (palace / "big").write_bytes(contents(2, 3 * MIB))
            repository.snapshot(palace)
            repository.restore("palace", tmp_path / "again")
            assert differences(state_of(palace), state_of(tmp_path / "again")) == []
            assert repository.verify(data=True).ok


@pytest.mark.parametrize("kib", [4, 40, 100, 400])
def test_a_full_cache_loses_nothing(place: Place, kib: int) -> None:
    """The catalog does not fit: either it does without, or it says so."""
    for number in range(400):
        (place.palace / f"{number}").mkdir()
        (place.palace / f"{number}" / "note").write_bytes(b"%d" % number)
    hint = "it did without"
    with (
        small_disk(place.root / "small", kib * 1024),
        place.open(cache=place.root / "small") as repository,
    ):
        try:
            repository.snapshot(place.palace)
        except PalatineError as error:
            hint = error.hint
    assert hint
    assert place.snapshot(force=True).fresh
    place.check_restores()
    assert place.verify().ok


def test_a_full_target_leaves_nothing_there(place: Place) -> None:
    (place.palace / "big").write_bytes(contents(1, 6 * MIB))
    place.snapshot()
    disk = place.root / "disk"
    with small_disk(disk, 4 * MIB):
        with place.open() as repository, pytest.raises(NoSpace):
            repository.restore("palace", disk / "target")
        assert os.listdir(disk) == []


def test_a_limit_on_the_size_of_files_is_a_clear_error(place: Place) -> None:
    (place.palace / "big").write_bytes(contents(1, 6 * MIB))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with place.open() as repository:
        repository.log()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
            with pytest.raises(RepositoryError):
                repository.snapshot(place.palace)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
    assert place.verify().ok
    place.snapshot()
    place.check_restores()


@pytest.mark.skipif(not ROOT, reason="only root can run something as somebody else")
@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize("cache", ["their own", "not theirs either"])
def test_a_repository_that_may_only_be_read_is_read(cache: str) -> None:
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        place = Place(root)
        (place.palace / "note").write_bytes(b"note")
        place.snapshot()
        (root / "theirs").mkdir()
        subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)
        os.chown(root / "theirs", 65534, 65534)
        files = [path for path in place.repository.rglob("*") if path.is_file()]
        before = {path: path.read_bytes() for path in files}

        def read() -> None:
            where = root / "theirs" / "cache" if cache == "their own" else place.cache
            with place.open(cache=where) as repository:
                assert len(repository.log()) == 1
                assert repository.verify(data=True).ok
                repository.restore("palace", root / "theirs" / "target")
                for change in (
                    lambda: repository.snapshot(place.palace, force=True),
                    lambda: repository.tag("palace", "x"),
                    repository.reindex,
                ):
                    with pytest.raises(ReadOnly) as raised:
                        change()
                    assert raised.value.hint
                assert repository.verify(data=True).ok

        assert as_nobody(read) == 0
        assert (root / "theirs" / "target" / "note").read_bytes() == b"note"
        files = [path for path in place.repository.rglob("*") if path.is_file()]
        assert {path: path.read_bytes() for path in files} == before
    finally:
        shutil.rmtree(root)
