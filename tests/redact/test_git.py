"""Git histories: left out in favour of one commit, or kept and searched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest
from tests.redact.planted import hits, redacted, secret

from palatine.redact import git
from palatine.testing.builders import differences, state_of

GONE = "[REDACTED:openai-api-key]"


class Memdir:
    """A memdir in git."""

    def __init__(self, root: Path) -> None:
        self.top, self.scratch = root / "copy", root / "scratch"
        self.place = self.top / "memdir"
        self.place.mkdir(parents=True)
        self.rng = Random(13)
        self.secrets: list[str] = []
        self.git("init", "-q", "-b", "memory")
        self.git("config", "user.name", "Ana")
        self.git("config", "user.email", "ana@example.com")

    def new(self) -> str:
        self.secrets.append(secret(self.rng, "openai-api-key"))
        return self.secrets[-1]

    def git(self, *words: str) -> str:
        when = {"GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000"}
        command = ["git", "-C", str(self.place), *words]
        environment = {**os.environ, **when}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    def commit(self, name: str, text: str, message: str = "note") -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", "-f", name)
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def memdir(tmp_path: Path) -> Memdir:
    return Memdir(tmp_path)


def plant(memdir: Memdir) -> None:
    """Plant secrets in files, old versions, messages, packs, loose and lost objects, and files
    of git's own.
    """
    memdir.commit("MEMORY.md", f"first {memdir.new()}\n", f"message {memdir.new()}")
    memdir.commit("MEMORY.md", f"second {memdir.new()}\n")
    memdir.commit(f"topics/{memdir.new()}.md", "a name\n")
    memdir.git("gc", "-q")
    memdir.commit("lost.md", f"{memdir.new()}\n")
    memdir.git("reset", "-q", "--hard", "HEAD~1")
    memdir.commit(".gitignore", "media/\n*.tmp\n")
    memdir.git("branch", f"topic-{memdir.new()}")
    memdir.git("tag", "-a", "-m", memdir.new(), "tagged")
    memdir.git("remote", "add", "origin", f"https://u:{memdir.new()}@example.com/x.git")
    (memdir.place / "media").mkdir()
    (memdir.place / "media" / "x.txt").write_text("ignored\n")
    (memdir.place / "new.md").write_text("not tracked\n")
    assert len(set(hits(memdir.top, memdir.secrets))) >= 8


def test_history_is_left_out_and_the_work_tree_stays_a_repository(memdir: Memdir) -> None:
    plant(memdir)
    report = redacted(memdir.top, memdir.scratch)
    assert report.complete
    assert [(one.path, one.verdict) for one in report.histories] == [("memdir/.git", "removed")]
    assert hits(memdir.top, memdir.secrets) == []
    assert memdir.git("fsck", "--strict") == ""
    assert memdir.git("status", "--short") == "?? new.md\n"
    assert memdir.git("log", "--format=%s %ct", "--all") == f"{git.MESSAGE} 1700000000\n"
    assert memdir.git("symbolic-ref", "HEAD").strip() == "refs/heads/memory"
    names = memdir.git("-c", "core.quotePath=false", "ls-files").splitlines()
    assert names == [".gitignore", "MEMORY.md", f"topics/{GONE}.md"]
    memdir.commit("more.md", "it can go on\n")


def test_the_same_palace_gives_the_same_repository(memdir: Memdir, tmp_path: Path) -> None:
    plant(memdir)
    other = tmp_path / "other" / "copy"
    other.parent.mkdir()
    subprocess.run(["cp", "-a", memdir.top, other], check=True)
    redacted(memdir.top, memdir.scratch)
    redacted(other, memdir.scratch)
    before = state_of(memdir.top)
    assert differences(before, state_of(other)) == []
    redacted(memdir.top, memdir.scratch)
    assert differences(before, state_of(memdir.top)) == []


def test_a_configuration_that_names_programs_is_not_followed(memdir: Memdir) -> None:
    plant(memdir)
    mark = memdir.scratch.parent / "ran"
    for key in ("core.fsmonitor", "core.pager", "diff.external", "filter.x.clean", "core.editor"):
        memdir.git("config", key, f"touch {mark}; false")
    for hook in ("post-index-change", "reference-transaction", "post-commit"):
        path = memdir.place / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {mark}\n")
        path.chmod(0o755)
    mark.unlink(missing_ok=True)
    for keep in (True, False):
        redacted(memdir.top, memdir.scratch, keep=keep)
    assert not mark.exists()


def test_without_git_no_repository_is_left(memdir: Memdir, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(memdir)
    monkeypatch.setattr("shutil.which", lambda _: None)
    report = redacted(memdir.top, memdir.scratch)
    monkeypatch.undo()
    assert report.complete
    assert "not installed" in report.histories[0].detail
    assert not (memdir.place / ".git").exists()
    assert hits(memdir.top, memdir.secrets) == []


def test_an_unborn_branch_and_a_broken_repository(memdir: Memdir) -> None:
    report = redacted(memdir.top, memdir.scratch)
    assert report.complete
    assert memdir.git("status", "--short") == ""
    (memdir.place / ".git" / "index").write_bytes(b"DIRC broken")
    report = redacted(memdir.top, memdir.scratch)
    assert "no repository is left" in report.histories[0].detail
    assert report.complete
    assert not (memdir.place / ".git").exists()


def test_a_bare_repository_is_left_out(memdir: Memdir) -> None:
    plant(memdir)
    subprocess.run(["git", "clone", "-q", "--bare", memdir.place, memdir.top / "bare"], check=True)
    (memdir.top / ".hg").mkdir()
    report = redacted(memdir.top, memdir.scratch)
    assert [one.path for one in report.left_out] == [".hg", "bare"]
    assert sorted(one.name for one in memdir.top.iterdir()) == ["memdir"]
    assert hits(memdir.top, memdir.secrets) == []
    assert report.complete


@pytest.mark.parametrize("where", ["blob", "message", "lost", "packed", "name", "tag", "none"])
def test_history_that_is_kept_is_searched(memdir: Memdir, where: str) -> None:
    memdir.commit("a.md", "nothing\n", memdir.new() if where == "message" else "m")
    if where in ("blob", "packed", "lost"):
        memdir.commit("b.md", f"{memdir.new()}\n")
        memdir.git("rm", "-q", "b.md")
        memdir.git("commit", "-q", "-m", "gone")
    if where == "packed":
        memdir.git("gc", "-q")
    if where == "lost":
        memdir.git("reset", "-q", "--hard", "HEAD~2")
    if where == "tag":
        memdir.git("tag", memdir.new())
    if where == "name":
        memdir.commit(f"{memdir.new()}.md", "x\n")
    head = memdir.git("rev-parse", "HEAD")
    report = redacted(memdir.top, memdir.scratch, keep=True)
    assert report.complete == (where == "none")
    verdict = "clean" if where in ("none", "tag") else "unclean"
    assert [one.verdict for one in report.histories] == [verdict]
    assert memdir.git("rev-parse", "HEAD") == head
    memdir.git("fsck", "--strict")
    assert not any(one in repr(report.to_plain()) for one in memdir.secrets)


def test_kept_history_with_what_cannot_be_searched_is_not_clean(memdir: Memdir) -> None:
    (memdir.place / "kg.redb").write_bytes(b"redb\x1a\x0a\xa9\x0d\x0a" + b"\0" * 99)
    memdir.git("add", ".")
    memdir.git("commit", "-q", "-m", "m")
    report = redacted(memdir.top, memdir.scratch, keep=True)
    assert not report.complete
    assert [one.verdict for one in report.histories] == ["unread"]


def test_submodules_of_a_kept_history_are_searched(memdir: Memdir) -> None:
    inner = memdir.scratch.parent / "inner"
    other = Memdir(inner)
    other.commit("x.md", memdir.new())
    allowed = ["-c", "protocol.file.allow=always"]
    memdir.git(*allowed, "submodule", "--quiet", "add", str(other.place), "sub")
    memdir.git("commit", "-q", "-m", "sub")
    report = redacted(memdir.top, memdir.scratch, keep=True)
    assert not report.complete
    found = {one.path: one.verdict for one in report.histories}
    assert found == {"memdir/.git": "clean", "memdir/.git/modules/sub": "unclean"}
    report = redacted(memdir.top, memdir.scratch)
    assert report.complete
    assert [one.path for one in report.left_out] == ["memdir/sub/.git"]
    assert memdir.git("status", "--short") == "?? sub/\n"
    assert hits(memdir.top, other.secrets) == []
