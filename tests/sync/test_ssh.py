"""push, pull, clone and sync over a real ssh."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import Pal
from tests.support import count
from tests.sync.conftest import Sshd
from tests.sync.test_commands import ids, pushed

from palatine.testing.builders import differences, state_of
from palatine.testing.sshd import travelled


def test_there_and_back(near: Pal, sshd: Sshd) -> None:
    assert "no repository" in near("push", code=10).err
    far = sshd.pal()
    far("init", "home/repository")
    assert sorted(pushed(near)) == sorted(ids(near))
    assert "nothing to push" in near("push").err
    there = ("--repo", "home/repository")
    far(*there, "verify", "--data")
    assert ids(far, *there) == ids(near)
    far(*there, "tag", "alpha", "from-there")
    near("sync")
    assert "from-there" in near("log", "--json").result["snapshots"][0]["tags"]
    near("clone", sshd.url(), "cloned")
    near("--repo", "cloned", "restore", "alpha", "restored")
    assert differences(state_of(near.root / "alpha"), state_of(near.root / "restored")) == []
    near("init", "partly")
    near("--repo", "partly", "pull", sshd.url(), "alpha~1")
    assert ids(near, "--repo", "partly") == [ids(near)[1]]


def test_what_ssh_adds(near: Pal, sshd: Sshd) -> None:
    """To the 13 kB that 500 snapshots take at most with nothing to do; see test_costs.py."""
    sshd.pal()("init", "home/repository")
    pushed(near)
    log = near.root / "log"
    for verb in ("push", "pull", "sync"):
        near(verb, env={"PALATINE_SSH": sshd.counted(log)})
        assert 1_000 < travelled(log) < 20_000 - 13_000 + 400
        log.unlink()


def test_over_a_connection_that_is_there(near: Pal, sshd: Sshd) -> None:
    sshd.pal()("init", "home/repository")
    master = [*sshd.ssh.split(), "-S", str(sshd.root / "s"), "far"]
    process = subprocess.Popen([*master[:-1], "-M", "-N", "far"])
    try:
        near.environment["PALATINE_SSH"] = f"{sshd.ssh} -S {sshd.root / 's'}"
        while subprocess.run([*master, "-O", "check"], capture_output=True).returncode:
            assert process.poll() is None
        (sshd.root / "authorized").write_text("")  # nobody can come by another way
        assert len(pushed(near)) == 2
        assert "nothing to push" in near("sync").err
    finally:
        process.terminate()
        process.wait()


def test_what_can_go_wrong_on_the_way(near: Pal, sshd: Sshd) -> None:
    sshd.pal()("init", "home/repository", "--hash", "sha256")
    assert "sha256" in near("push", code=5).err
    near("remote", "add", "closed", "ssh://127.0.0.1:1/x")
    assert "Connection refused" in near("push", "closed", code=1).err
    for url in ("ssh://-oProxyCommand=x/y", "ssh://far", "ssh://a:b@far/x", "ssh://-l@far/x"):
        near("push", url, code=2)
    (sshd.root / "bin" / "pal").write_text("#!/bin/sh\necho welcome\n")
    assert "did not answer as palatine does: welcome" in near("push", "far", code=1).err
    (sshd.root / "bin" / "pal").unlink()
    assert "not found" in near("push", "far", code=1).err
    (sshd.root / "authorized").write_text("")
    assert "Permission denied" in near("push", "far", code=1).err
    near.environment["PALATINE_SSH"] = "/no/such/ssh"
    assert "cannot be run" in near("push", "far", code=1).err


def test_a_shell_that_greets(near: Pal, sshd: Sshd) -> None:
    sshd.pal()("init", "home/repository")
    script = sshd.root / "bin" / "pal"
    script.write_text(script.read_text().replace("exec", "echo 'Welcome to far'\nexec", 1))
    assert len(pushed(near)) == 2


def test_pal_under_another_name(near: Pal, sshd: Sshd) -> None:
    sshd.pal()("init", "home/repository")
    there = (sshd.root / "bin" / "pal").rename(sshd.root / "palatine here")
    near("remote", "add", "odd", sshd.url(), "--pal", f"'{there}'")
    assert len(pushed(near, "odd")) == 2


@pytest.mark.torture
def test_a_connection_that_breaks(near: Pal, sshd: Sshd) -> None:
    """Either side killed in the middle: nothing half there, and the next push goes on."""
    rng = Random(12)
    far = sshd.pal()
    far("init", "home/repository")
    there = ("--repo", "home/repository")
    large = near.root / "large"
    large.mkdir()
    for at in range(20):
        (large / f"f{at}").write_bytes(rng.randbytes(4_000_000))
    near("snapshot", large)
    for _ in range(count(3, 40)):
        process = near.start("push")
        time.sleep(rng.uniform(0.5, 2.5))
        victims = [process.pid] if rng.random() < 0.5 else _serving(sshd.root)
        for pid in victims:
            _kill(pid)
        process.communicate()
        far(*there, "verify", "--data")
    pushed(near)
    assert ids(far, *there) == ids(near)
    far(*there, "verify", "--data")


def _serving(root: Path) -> list[int]:
    """Return the processes that serve the repository of this test."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if b"serve" in words and str(root / "home" / "repository").encode() in words:
            found.append(int(entry.name))
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
