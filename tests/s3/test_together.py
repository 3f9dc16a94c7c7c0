"""Two hosts keep their palaces in one repository while a third collects; all are killed at will."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tests.s3.server import Server
from tests.support import count

import palatine
from palatine.store.repository import Settings

ACTOR = Path(__file__).with_name("actor.py")
REFUSED = 11
HOSTS = {"one": "snapshot", "two": "snapshot", "three": "gc"}


@pytest.mark.torture
def test_nothing_that_is_kept_is_lost(
    s3: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    url = f"s3://{bucket}/shared"
    palatine.init(url)
    rng = Random(7)
    told_of: dict[str, tuple[str, int]] = {}
    for round_ in range(count(4, 1000)):
        started = []
        for name, verb in HOSTS.items():
            home = tmp_path / name
            home.mkdir(exist_ok=True)
            started.append(_start(url, home, verb, f"{name} {round_}"))
        for process in started:
            if rng.random() < 0.3:
                try:
                    process.wait(rng.random() * 1.5)
                except subprocess.TimeoutExpired:
                    process.kill()
        told = [process.communicate(timeout=120) for process in started]
        for name, process, (out, err) in zip(HOSTS, started, told, strict=True):
            assert process.returncode in (0, REFUSED, -9), err
            if out:
                short, time_us = out.split()
                told_of[name] = short, int(time_us)
    assert told_of
    settings = Settings(workers=2, fence_seconds=0.5)
    with palatine.open_repository(url, cache=tmp_path / "fresh", settings=settings) as repository:
        repository.gc()
        for number, stored in enumerate(repository.log()):
            repository.restore(stored.id.hex(), tmp_path / f"restored-{number}")
        assert repository.verify(data=True).damage == []
        for host, (last, when_us) in told_of.items():
            there = repository.log(f"palace-{host}")
            # a host lets go of all but its three newest
            newer = [one for one in there if one.snapshot.time_us > when_us]
            assert last in {one.id.hex() for one in there} or len(newer) >= 3


def _start(url: str, home: Path, verb: str, seed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ACTOR, url, home, verb, seed],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
