"""The S3 server, once for each run (each worker's own), and a bucket for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import make_palace
from tests.s3.server import Server, running

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running S3 server."""
    with running(tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


@pytest.fixture
def bucket(s3: Server) -> str:
    """An empty bucket."""
    return s3.bucket(f"bucket-{next(_NUMBERS)}")


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    """A small palace, not snapshotted yet."""
    return make_palace(tmp_path / "alpha")
