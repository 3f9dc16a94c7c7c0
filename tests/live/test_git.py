"""Repositories that git works in while they are captured: restored, git finds nothing amiss."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import Place, count

from palatine.capture import gitdirs
from palatine.capture.choosing import Choice

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

WORK = """
import random, select, subprocess, sys
from pathlib import Path
root, number, random = Path(sys.argv[1]), 0, random.Random(1)
def git(*words):
    subprocess.run(["git", "-C", root, *words], check=True, capture_output=True)
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    for name in random.sample(range(30), 5):
        (root / f"note-{name}.md").write_bytes(random.randbytes(200))
    git("add", "-A")
    git("commit", "-qm", f"note {number}", *(["--amend"] if number % 3 == 0 else []))
    if number % 4 == 1:
        git("branch", "-f", f"topic/{number % 7}")
    if number % 5 == 0:
        git("reflog", "expire", "--expire=now", "--all")
    if number % 5 in (0, 2):
        git("gc", "-q", "--prune=now")
"""


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture
def repository(place: Place) -> Path:
    root = place.palace / "memory"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for name, value in [("user.name", "n"), ("user.email", "n@example.org"), ("gc.auto", "0")]:
        git(root, "config", name, value)
    commit(root, "first")
    return root


def commit(root: Path, text: str) -> None:
    (root / "note.md").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", text)


def check(root: Path) -> None:
    """Assert that git finds nothing to complain about, reflogs and index included."""
    said = git(root, "fsck", "--strict", "--full", "--no-dangling")
    assert said == "", said
    for line in git(root, "reflog", "--all", "--format=%H").split():
        git(root, "cat-file", "-e", line)
    git(root, "log", "--stat", "--all")
    git(root, "diff", "--cached", "--stat")


@contextlib.contextmanager
def at_work(root: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate(timeout=240)
        assert process.returncode == 0


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_git_finds_nothing_amiss_whatever_it_did_meanwhile(place: Place, repository: Path) -> None:
    incomplete = 0
    heads = set()
    with at_work(repository):
        for _ in range(count(20, 200)):
            done = place.snapshot(force=True)
            missing = done.stored.snapshot.missing
            # the working tree may change under the reader; the repository must be whole
            incomplete += any(b"/.git" in one.path for one in missing)
            restored = place.restored(done.stored.id.hex())
            check(restored / "memory")
            heads.add(git(restored / "memory", "rev-parse", "HEAD"))
            shutil.rmtree(restored)
    assert incomplete == 0
    assert len(heads) > 5, "git did nothing: the test shows nothing"


Meddle = Callable[[Path], None]


def commit_more(root: Path) -> None:
    commit(root, "second")


def amend_and_prune(root: Path) -> None:
    (root / "note.md").write_text("amended")
    git(root, "commit", "-qa", "--amend", "-m", "amended")
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")


def pack(root: Path) -> None:
    git(root, "gc", "-q")


def pack_refs(root: Path) -> None:
    git(root, "pack-refs", "--all", "--prune")


def new_branch(root: Path) -> None:
    git(root, "checkout", "-qb", "topic/new")
    commit(root, "on a branch")


@pytest.mark.parametrize("meddle", [commit_more, amend_and_prune, pack, pack_refs, new_branch])
@pytest.mark.parametrize("moment", [b"HEAD", b"index", b"logs", b"objects", b"pack", b"refs"])
def test_something_happens_at_the_worst_moment(
    place: Place, repository: Path, monkeypatch: pytest.MonkeyPatch, meddle: Meddle, moment: bytes
) -> None:
    original = Choice.status
    happened: list[bytes] = []

    def meddling(self: Choice, name: bytes) -> object:
        status = original(self, name)
        if name == moment and b".git/" in self._path and not happened:
            happened.append(self._path)
            meddle(repository)
        return status

    commit(repository, "zeroth")
    monkeypatch.setattr(Choice, "status", meddling)
    snapshot = place.snapshot().stored.snapshot
    assert happened
    assert not [one for one in snapshot.missing if b".git" in one.path]
    check(place.restored() / "memory")
    git(place.restored() / "memory", "rev-parse", "--verify", "HEAD^{commit}")


@pytest.mark.parametrize("moment", [b"HEAD", b"refs", b"objects", b"packed-refs"])
def test_a_branch_that_is_packed_meanwhile_is_not_set_back(
    place: Place, repository: Path, monkeypatch: pytest.MonkeyPatch, moment: bytes
) -> None:
    """Whose loose file is gone when `refs` is read is in what `packed-refs` has become by then.

    Before, it held the branch as it was long ago: git would find nothing amiss in that.
    """
    pack_refs(repository)
    commit(repository, "second")
    original = Choice.status
    happened: list[bytes] = []

    def meddling(self: Choice, name: bytes) -> object:
        status = original(self, name)
        if name == moment and self._path.endswith(b".git/") and not happened:
            happened.append(name)
            pack_refs(repository)
        return status

    monkeypatch.setattr(Choice, "status", meddling)
    place.snapshot()
    assert happened
    restored = place.restored() / "memory"
    check(restored)
    assert git(restored, "rev-parse", "main") == git(repository, "rev-parse", "main")


def test_after_gc_hooks_and_empty_directories_are_there(place: Place, repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    git(repository, "gc", "-q")
    assert list((repository / ".git" / "refs" / "heads").iterdir()) == []
    place.snapshot()
    place.check_restores()
    restored = place.restored() / "memory"
    check(restored)
    commit(restored, "after")
    assert (restored / "ran").exists()
    assert not place.snapshot().fresh


def test_what_a_running_git_holds_is_left_out(place: Place, repository: Path) -> None:
    (repository / ".git" / "index.lock").touch()
    (repository / ".git" / "objects" / "pack" / "tmp_pack_x1").write_bytes(b"half")
    (repository / "mine.lock").touch()
    assert place.snapshot().stored.snapshot.complete
    restored = place.restored() / "memory"
    assert (restored / "mine.lock").exists()
    commit(restored, "after")


def test_a_git_directory_that_never_settles_is_told(
    place: Place, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitdirs.Objects, "all_there", lambda self: False)
    monkeypatch.setattr(gitdirs, "WAIT_SECONDS", 0)
    monkeypatch.setattr(gitdirs, "PATIENCE", 0)
    snapshot = place.snapshot().stored.snapshot
    assert [one.path for one in snapshot.missing] == [b"memory/.git"]
    check(place.restored() / "memory")
    assert len(os.listdir(place.restored())) == 1


def test_a_bare_repository_is_a_palace(place: Place, repository: Path) -> None:
    bare = place.root / "bare.git"
    git(place.root, "clone", "-q", "--bare", str(repository), str(bare))
    with place.open() as opened:
        opened.snapshot(bare, palace="bare")
    check(place.restored("bare"))
