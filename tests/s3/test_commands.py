"""Every command on a repository that lives on an object store, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Pal, live, make_palace
from tests.s3.server import Server

from palatine.testing.builders import differences, state_of


@pytest.fixture
def pal(tmp_path: Path, s3: Server, bucket: str) -> Pal:
    pal = Pal(tmp_path)
    pal.environment |= {**s3.environment, "PALATINE_REPO": f"s3://{bucket}/agents/memory"}
    return pal


def test_every_verb(pal: Pal, tmp_path: Path) -> None:
    url = pal.environment["PALATINE_REPO"]
    alpha = make_palace(tmp_path / "alpha")
    assert pal("init", "--json").result["location"] == url
    pal("snapshot", alpha, "-m", "the first", "--tag", "keep")
    before = state_of(alpha)
    live(alpha)
    pal("snapshot", alpha)
    assert "nothing changed" in pal("snapshot", alpha).err
    assert pal("snapshot", alpha, "--json").result["repository"] == url
    (_, first) = pal("log", "--json").result["snapshots"]
    assert "alpha" in pal("palaces").out
    assert "the first" in pal("show", "alpha~1").out
    assert "new.txt" in pal("ls", "alpha").out
    assert pal("cat", "alpha:notes/a.md").out == "first\nsecond\n"
    assert "new.txt" in pal("find", "*.txt").out
    assert "new.txt" in pal("diff", "alpha~1", "alpha").out
    pal("restore", "alpha~1", tmp_path / "back")
    assert differences(before, state_of(tmp_path / "back")) == []
    pal("tag", "alpha", "today")
    assert "today" in pal("log").out
    pal("tag", "alpha", "-d", "today")
    pal("restore", "alpha~1", alpha, "--replace")
    pal("restore", "--undo", alpha)
    pal("policy", "set", "--keep-last", "1")
    assert "1" in pal("policy", "show").out
    pal("tag", "-d", first["id"], "keep")
    pal("forget", first["id"])
    pal("gc", "--dry-run")
    pal("gc", "--max-unused", "0")
    pal("gc", "--erase")
    pal("reindex")
    pal("repair")
    assert pal("stats", "--json").result["location"] == url
    assert "no damage" in pal("verify", "--data").out
    pal("snapshot", alpha, "--force")
    pal("restore", "alpha", tmp_path / "now")
    assert differences(state_of(alpha), state_of(tmp_path / "now")) == []


def test_what_is_no_place_is_told(pal: Pal) -> None:
    assert "pal init s3://" in pal("log", code=10).err
    assert "no bucket" in pal("--repo", "s3://no-such-bucket/x", "log", code=1).err
    for url in ("http://host/x", "ftp://host/x", "s3://", "s3://u/../x", "s3://b/a b", "s3:///x"):
        assert pal("--repo", url, "log", "--json", code=2).error["code"] == "usage"
    told = pal("--repo", "s3://key:secret@bucket/x", "log", code=2).err
    assert "secret" not in told
    assert "credentials belong" in told


def test_what_the_store_refuses_is_told(pal: Pal, alpha: Path) -> None:
    pal("init")
    wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
    for words in (("log",), ("snapshot", alpha), ("gc",)):
        assert "does not accept our credentials" in pal(*words, code=1, env=wrong).err
    assert "AWS_ALLOW_HTTP" in pal("log", code=1, env={"AWS_ALLOW_HTTP": "false"}).err
    assert "cannot be used" in pal("log", code=1, env={"AWS_ALLOW_HTTP": "perhaps"}).err


def test_a_second_init_is_refused(pal: Pal) -> None:
    pal("init")
    assert "already" in pal("init", code=5).err
    assert pal.repository.exists() is False
