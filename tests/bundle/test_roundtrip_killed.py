"""Killed with -9 at any moment of an export, an import, a restore: old or new, and never a half."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.bundle.crypting import Own
from tests.bundle.travel import elsewhere, exported, imported
from tests.support import Place, count

from palatine import api
from palatine.bundle.age.keys import Keys
from palatine.ops.intake import Request
from palatine.testing.builders import differences, state_of

MIB = 1 << 20
ROUNDS = count(6, 100)
PROGRAM = """
import sys
from pathlib import Path
import palatine
from palatine import api
from palatine.store import packer
from palatine.bundle.age.keys import keys_of, lock_of
from palatine.ops.export import Request as Export
from palatine.ops.intake import Request as Import
packer.PACK_TARGET = 256 << 10
verb, repository, cache, file, target, key, recipient = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
if verb == "restore":
    api.restore_bundle(Import(Path(file), keys=keys_of([key])), target, cache=cache)
with palatine.open_repository(repository, cache=cache) as opened:
    if verb == "export":
        opened.export("palace", Export(Path(file), 1, True, lock=lock_of([recipient])))
    if verb == "import":
        opened.import_bundle(Import(Path(file), keys=keys_of([key])))
print("done", flush=True)
"""


class Travel:
    """A repository with a snapshot, another one, and a key; verbs run in processes of their own."""

    def __init__(self, place: Place) -> None:
        rng = Random(11)
        for number in range(5):
            (place.palace / f"f{number}").write_bytes(rng.randbytes(number * MIB + 5))
        for number in range(300):
            (place.palace / f"n{number}").write_bytes(rng.randbytes(500))
        self.place = place
        self.key = place.root / "key"
        self.own = Own(self.key)
        self.stored = place.snapshot().stored
        self.other = elsewhere(place)
        self.target = place.root / "target"
        self.state = state_of(place.palace)

    def run(self, verb: str, file: Path, seconds: float | None) -> bool:
        """Do it, and kill it after some seconds; return whether it was done."""
        where = self.other if verb == "import" else self.place
        arguments = [verb, where.repository, where.cache, file, self.target, self.key]
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments), self.own.recipient],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("\n")
            process.stdin.flush()
            if seconds is not None:
                time.sleep(seconds)
                process.kill()
            return process.stdout.read() == "done\n"

    def moments(self, verb: str, file: Path) -> Iterator[float]:
        """Yield moments all over a verb's duration, which is measured by doing it once."""
        started = time.monotonic()
        assert self.run(verb, file, None)
        longest = time.monotonic() - started
        rng = Random(verb)
        for number in range(ROUNDS):
            yield longest * (number + rng.random()) / ROUNDS


@pytest.fixture
def travel(place: Place) -> Travel:
    return Travel(place)


def is_whole(file: Path, keys: Keys) -> bool:
    report = api.verify_bundle(Request(file, keys=keys), cache=file.parent / "cache-3")
    return report.ok and not report.unchecked


@pytest.mark.torture
def test_an_export(travel: Travel) -> None:
    """Over an older bundle: that one or the new one, and a hash beside it only if it is its own."""
    there = travel.place.root / "out"
    file = there / "B.tar.zst.age"
    old = b""
    for seconds in travel.moments("export", file):
        old = old or file.read_bytes()
        file.write_bytes(old)
        beside = Path(f"{file}.sha256")
        if not beside.exists():
            command = f"sha256sum {file.name} > {beside.name}"
            subprocess.run(command, shell=True, cwd=there, check=True)
        travel.run("export", file, seconds)
        assert {path.name for path in there.iterdir()} <= {file.name, beside.name}
        assert is_whole(file, travel.own.keys)
        if beside.exists():
            subprocess.run(["sha256sum", "--quiet", "-c", beside.name], cwd=there, check=True)
        file.unlink()
        beside.unlink(missing_ok=True)
        travel.run("export", file, seconds)
        assert not file.exists() or is_whole(file, travel.own.keys)
        old = file.read_bytes() if file.exists() else old


@pytest.mark.torture
def test_an_import(travel: Travel) -> None:
    file = exported(travel.place, travel.stored.id.hex(), lock=travel.own.lock)
    for number, seconds in enumerate(travel.moments("import", file)):
        if number % 2:
            with travel.other.open() as repository:
                repository.forget("palace", even_last=True)
        else:
            shutil.rmtree(travel.other.root)
            travel.other.root.mkdir()
            travel.other = Place(travel.other.root)
        travel.run("import", file, seconds)
        report = travel.other.verify()
        assert (report.damage, report.hits) == ([], [])
        with travel.other.open() as repository:
            there = [stored.id for stored in repository.log()]
        assert there in ([], [travel.stored.id])
        if not there:
            assert imported(travel.other, file, travel.own.keys).same
        target = travel.other.restored("palace")
        assert differences(travel.state, state_of(target)) == []


@pytest.mark.torture
def test_a_restore(travel: Travel) -> None:
    file = exported(travel.place, travel.stored.id.hex(), lock=travel.own.lock)
    travel.run("restore", file, None)
    travel.target.rename(travel.place.root / "first")
    scratch = travel.place.cache / "bundles"
    for seconds in travel.moments("restore", file):
        if travel.target.exists():
            assert differences(travel.state, state_of(travel.target)) == []
            travel.target.rename(travel.place.root / f"t{seconds}")
        travel.run("restore", file, seconds)
    if travel.target.exists():
        travel.target.rename(travel.place.root / "last")
    assert travel.run("restore", file, None)
    assert differences(travel.state, state_of(travel.target)) == []
    # What the killed ones left is gone, beside the target and in the cache.
    left = [path.name for path in travel.place.root.iterdir() if path.name.startswith(".")]
    assert left == []
    assert list(scratch.iterdir()) == []
