"""push, pull, clone, sync and remote between directories, with the real command line."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import Pal, live, make_palace
from tests.cli.test_json import EXCHANGED, check
from tests.support import count, flip

from palatine.testing.builders import differences, state_of


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` with two snapshots of alpha, one of beta, and an empty repository `far`."""
    pal = Pal(tmp_path)
    alpha = make_palace(tmp_path / "alpha")
    pal("snapshot", alpha, "--tag", "keep")
    live(alpha)
    pal("snapshot", alpha)
    (tmp_path / "beta").mkdir()
    (tmp_path / "beta" / "b.md").write_text("b\n")
    pal("snapshot", "beta", "--palace", "team/beta")
    pal("init", "far")
    pal("remote", "add", "far", "./far")
    return pal


def ids(pal: Pal, *words: str | Path) -> list[str]:
    """Return the ids of the snapshots of a repository, newest first."""
    return [one["id"] for one in pal("log", "--json", *words).result["snapshots"]]


def pushed(pal: Pal, *words: str | Path, code: int = 0) -> list[str]:
    """Push, and return the ids of what went."""
    result = pal("push", *words, "--json", code=code).result
    check(result, EXCHANGED)
    return [one["id"] for one in result["pushed"]["snapshots"]]


def test_push_restore_and_again(pal: Pal) -> None:
    assert sorted(pushed(pal)) == sorted(ids(pal))
    assert ids(pal, "--repo", "far") == ids(pal)
    pal("--repo", "far", "restore", "alpha", "restored")
    assert differences(state_of(pal.root / "alpha"), state_of(pal.root / "restored")) == []
    assert "nothing to push to far" in pal("push").err
    tags = [one["tags"] for one in pal("--repo", "far", "log", "--json").result["snapshots"]]
    assert tags == [[], [], ["keep"]]


def test_choices(pal: Pal) -> None:
    beta, second, first = ids(pal)
    assert pushed(pal, "far", "--dry-run") == [first, second, beta]
    assert ids(pal, "--repo", "far") == []
    assert pushed(pal, "far", "--tenant", "team", "--dry-run") == [beta]
    assert pushed(pal, "far", "--tag", "keep", "--dry-run") == [first]
    assert pushed(pal, "far", "--since", "2999-01-01", "--dry-run") == []
    assert pushed(pal, "far", "--since", "1h", "--dry-run") == [first, second, beta]
    assert pushed(pal, "far", "team/beta", "--dry-run") == [beta]
    assert pushed(pal, "far", "alpha~1") == [first]
    assert pushed(pal, "far", second[:12]) == [second]
    assert pushed(pal, "far", "alpha") == []
    assert "no snapshot is called 'gamma'" in pal("push", "far", "gamma", code=2).err
    pal("push", "far", "--all", "--tag", "keep", code=2)
    pal("push", "far", "--bandwidth", "fast", code=2)


def test_pull_with_revisions_of_the_other_side(pal: Pal) -> None:
    beta, second, first = ids(pal)
    pal("push")
    pal("init", "new")
    new = ("--repo", "new")
    assert [
        one["id"]
        for one in pal(*new, "pull", "./far", "alpha#keep", "--json").result["pulled"]["snapshots"]
    ] == [first]
    pal(*new, "pull", "./far", "alpha")
    assert ids(pal, *new) == [second, first]
    pal(*new, "pull", "./far")
    assert ids(pal, *new) == [beta, second, first]
    pal(*new, "verify", "--data")


def test_clone_then_both_go_on(pal: Pal) -> None:
    pal("push")
    pal("clone", "./far", "mine")
    assert ids(pal, "--repo", "mine") == ids(pal)
    assert pal("--repo", "mine", "remote").out.split()[-1] == str(pal.root / "far")
    # two hosts keep the same palace, each from its own place
    (pal.root / "beta" / "here").write_text("1")
    pal("snapshot", "beta", "--palace", "team/beta")
    other = pal.root / "elsewhere"
    shutil.copytree(pal.root / "beta", other)
    (other / "there").write_text("2")
    pal("--repo", "mine", "snapshot", other, "--palace", "team/beta")
    pal("push")
    done = pal("--repo", "mine", "sync", "--json").result
    assert (len(done["pulled"]["snapshots"]), len(done["pushed"]["snapshots"])) == (1, 1)
    pal("pull")
    assert (
        sorted(ids(pal)) == sorted(ids(pal, "--repo", "mine")) == sorted(ids(pal, "--repo", "far"))
    )
    (palace,) = [
        one for one in pal("palaces", "--json").result["palaces"] if one["tenant"] == "team"
    ]
    assert len(palace["heads"]) == 2
    pal("clone", "./far", "mine", code=5)


def test_what_was_forgotten_stays_so_unless_named(pal: Pal) -> None:
    pal("push")
    _, second, _ = ids(pal)
    pal("--repo", "far", "forget", second[:16], "--even-last")
    pal("--repo", "far", "gc")
    assert pushed(pal) == []
    assert "1 snapshot there forgotten" in pal("push", "-v").err
    assert pushed(pal, "far", second) == [second]


def test_another_digest_is_refused(pal: Pal) -> None:
    pal("init", "other", "--hash", "sha256")
    for verb in ("push", "pull", "sync"):
        assert "sha256" in pal(verb, "./other", code=5).err


def test_a_remote_that_became_another_repository(pal: Pal) -> None:
    pal("push")
    shutil.rmtree(pal.root / "far")
    pal("init", "far")
    assert "another repository than it was" in pal("push", code=5).err
    assert ids(pal, "--repo", "far") == []
    pal("remote", "remove", "far")
    pal("remote", "add", "far", "./far")
    pal("push")


def test_remotes(pal: Pal) -> None:
    assert pal("remote", "--json").result["remotes"] == [
        {"name": "far", "url": str(pal.root / "far"), "id": None}
    ]
    pal("remote", "add", "far", "./x", code=5)
    pal("remote", "add", "a/b", "./x", code=2)
    pal("remote", "add", "only", code=2)
    pal("remote", "remove", "nothing", code=2)
    pal("remote", "add", "two", "./none")
    assert "several remotes" in pal("push", code=2).err
    pal("push", "two", code=10)
    pal("push", "three", code=2)


def test_a_snapshot_that_lost_something_does_not_stop_the_others(pal: Pal) -> None:
    beta, second, first = ids(pal)
    packs = sorted(pal.packs(), key=lambda one: one.stat().st_size)
    flip(packs[-1], 200_000)  # big.bin of both snapshots of alpha
    done = pal("push", "--json", code=3)
    assert [one["id"] for one in done.result["pushed"]["snapshots"]] == [beta]
    assert {one["id"] for one in done.result["pushed"]["failed"]} == {first, second}
    assert ids(pal, "--repo", "far") == [beta]
    pal("--repo", "far", "verify", "--data")


def test_a_damaged_snapshot_file_is_told(pal: Pal) -> None:
    _, second, first = ids(pal)
    file = min((pal.repository / "snapshots").rglob("alpha/*"))
    flip(file, 60)
    (pal.home / "cache").rename(pal.home / "cache-before")
    done = pal("push", "--json", code=4)
    assert second in [one["id"] for one in done.result["pushed"]["snapshots"]]
    assert len(done.result["pushed"]["damaged"]) == 1
    assert first not in ids(pal, "--repo", "far")
    pal("push", code=4)
    pal("--repo", "far", "pull", str(pal.repository), code=4)


@pytest.mark.torture
def test_killed_at_any_moment(pal: Pal) -> None:
    """A push killed by the system: nothing half there, and the next one goes on."""
    rng = Random(11)
    large = pal.root / "large"
    large.mkdir()
    for at in range(30):
        (large / f"f{at}").write_bytes(rng.randbytes(4_000_000))
    pal("snapshot", large)
    whole = sum(one.stat().st_size for one in pal.packs())
    far = pal.root / "far" / "packs"
    for _ in range(count(4, 60)):
        process = pal.start("push")
        time.sleep(rng.uniform(0.2, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for one in ids(pal, "--repo", "far"):
            pal("--repo", "far", "ls", "-r", one)
        pal("--repo", "far", "verify", "--data")
    before = sum(one.stat().st_size for one in far.rglob("*") if one.is_file())
    sent = json.loads(pal("push", "--json").stdout)["result"]["pushed"]["bytes"]
    assert before + sent < 1.3 * whole
    assert ids(pal, "--repo", "far") == ids(pal)
    pal("--repo", "far", "verify", "--data")
