"""Copies of a repository on object storage: pushed there, pulled and cloned from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Pal, live, make_palace
from tests.s3.faults import faulty
from tests.s3.server import Server, environment_for

import palatine
from palatine.model.snapshot import encode_snapshot_file
from palatine.testing.builders import differences, state_of

SNAPSHOTS = 500


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    return Pal(tmp_path)


def test_pushed_cloned_and_asked_again(
    pal: Pal, alpha: Path, s3: Server, bucket: str, tmp_path: Path
) -> None:
    url = f"s3://{bucket}/copy"
    with faulty(s3.port) as proxy:
        pal.environment |= environment_for(proxy.port)
        pal("snapshot", alpha)
        live(alpha)
        pal("snapshot", alpha, "--tag", "keep")
        pal("--repo", url, "init")
        pal("remote", "add", "far", url)
        pal("push", "far")
        pal("clone", url, tmp_path / "clone")
        pal("--repo", tmp_path / "clone", "restore", "alpha", tmp_path / "back")
        assert differences(state_of(alpha), state_of(tmp_path / "back")) == []
        assert "keep" in pal("--repo", tmp_path / "clone", "log").out
        for verb, most in (("push", 3), ("pull", 3), ("sync", 3)):
            proxy.requests.clear()
            pal(verb, "far")
            assert len(proxy.requests) <= most, (verb, proxy.requests)  # config, snapshots, tags
    make_palace(tmp_path / "beta")
    pal.environment |= s3.environment
    pal("--repo", url, "snapshot", tmp_path / "beta")
    pal("pull", "far")
    assert "beta" in pal("palaces").out


@pytest.mark.parametrize("near", ["here", "there"])
def test_nothing_to_do_takes_five_requests_at_most(
    pal: Pal, alpha: Path, s3: Server, bucket: str, tmp_path: Path, near: str
) -> None:
    """Also where each side has forgotten one snapshot that the other still has."""
    url, here = f"s3://{bucket}/copy", tmp_path / "here"
    pal.environment |= s3.environment
    pal("--repo", here, "init")
    pal("--repo", here, "snapshot", alpha, "--tag", "keep")
    multiply(here, tmp_path / "cache")
    shutil.copytree(here, s3.data / bucket / "copy")
    one, other = (here, url) if near == "here" else (url, here)
    for where, back in ((one, 3), (other, 7)):
        pal("--repo", where, "forget", f"alpha~{back}")
    pal("--repo", one, "remote", "add", "far", other)
    pal("--repo", one, "sync", "far")
    with faulty(s3.port) as proxy:
        pal.environment |= environment_for(proxy.port)
        for verb in ("push", "pull", "sync"):
            proxy.requests.clear()
            done = pal("--repo", one, verb, "far", "--json").result
            assert not any(done[way] and done[way]["snapshots"] for way in ("pushed", "pulled"))
            assert len(proxy.requests) <= 5, (verb, proxy.requests)


def multiply(repository: Path, cache: Path) -> None:
    """Make many snapshots of the only one."""
    with palatine.open_repository(repository, cache=cache) as opened:
        store = opened.store
        (first,) = store.list_snapshots()
        parent, snapshot = first.id, first.snapshot
        for number in range(1, SNAPSHOTS):
            time_us = first.snapshot.time_us + number
            with store.writing(snapshot.tenant, snapshot.palace, time_us) as (session, _):
                made = msgspec.structs.replace(snapshot, time_us=time_us, parents=(parent,))
                parent, data = encode_snapshot_file(made, store.digest)
                session.commit(data)
