"""Copies of a repository on object storage: pushed there, pulled and cloned from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Pal, live, make_palace
from tests.s3.faults import faulty
from tests.s3.server import Server, environment_for

from palatine.testing.builders import differences, state_of


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
        for verb, most in (("push", 5), ("pull", 5), ("sync", 6)):
            proxy.requests.clear()
            pal(verb, "far")
            assert len(proxy.requests) <= most, (verb, proxy.requests)
    make_palace(tmp_path / "beta")
    pal.environment |= s3.environment
    pal("--repo", url, "snapshot", tmp_path / "beta")
    pal("pull", "far")
    assert "beta" in pal("palaces").out
