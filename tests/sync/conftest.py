"""A repository to copy; a real sshd on loopback, and a `pal` that knows the way to it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import SRC, Pal, live, make_palace
from tests.sync.aid import change, opened

import palatine
from palatine.testing import sshd as machinery


class Sshd(machinery.Sshd):
    """A host `far` that ssh can reach; `pal` there has a home of its own."""

    def pal(self) -> Pal:
        """Return `pal` as the user of that host runs it."""
        return Pal(self.root)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[palatine.Repository]:
    """A repository with some versions of a palace."""
    rng = Random(1)
    with opened(tmp_path / "source") as repository:
        for _ in range(4):
            change(tmp_path / "alpha", rng)
            repository.snapshot(tmp_path / "alpha", force=True)
        yield repository


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("keys")
    machinery.make_keys(where)
    return where


@pytest.fixture
def sshd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sshd]:
    """Start sshd on a free port, and stop it."""
    if machinery.program() is None:
        pytest.skip("no OpenSSH server here: install openssh-server and openssh-client")
    root = tmp_path / "host"
    (root / "bin").mkdir(parents=True)
    for file in request.getfixturevalue("_keys").iterdir():
        shutil.copy(file, root / file.name)
    (root / "bin" / "pal").write_text(f'#!/bin/sh\nexec {sys.executable} -m palatine "$@"\n')
    (root / "bin" / "pal").chmod(0o755)
    home = root / "home"
    environment = {
        "PYTHONPATH": SRC,
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
        "XDG_CACHE_HOME": home / "cache",
        "XDG_DATA_HOME": home / "data",
        "XDG_CONFIG_HOME": home / "config",
    }
    with machinery.running(root, environment) as found:
        yield Sshd(found.root, found.port, found.log)


@pytest.fixture
def near(tmp_path: Path, sshd: Sshd) -> Pal:
    """`pal` on this side with two snapshots of alpha, and `far` as its remote."""
    pal = Pal(tmp_path)
    pal.environment["PALATINE_SSH"] = sshd.ssh
    alpha = make_palace(tmp_path / "alpha")
    pal("snapshot", alpha, "--tag", "keep")
    live(alpha)
    pal("snapshot", alpha)
    pal("remote", "add", "far", sshd.url())
    return pal
