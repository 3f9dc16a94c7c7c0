"""Palace, snapshot, bundle, another repository, palace: byte for byte the same."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.crypting import Own, ssh_key
from tests.bundle.travel import (
    blocks,
    elsewhere,
    everything,
    exported,
    imported,
    put_back,
    sealed,
    size_of,
    snapshotted,
)
from tests.capture.trees import TREES, Thing, make
from tests.support import Place, count

from palatine import api
from palatine.bundle.age.keys import Keys, Lock, Passphrase, keys_of, lock_of
from palatine.errors import Damaged, NoKey
from palatine.ops.intake import Request
from palatine.testing.builders import State, differences, state_of
from palatine.testing.families import FAMILIES

DIGESTS = ("blake3", "sha256")


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("digest", DIGESTS)
def test_every_layout(place: Place, family: str, digest: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(family))
    stored = snapshotted(place, made.palace)
    direct = put_back(place, stored.id.hex(), "direct")
    file = exported(place, stored.id.hex())
    other = elsewhere(place, digest)
    done = imported(other, file)
    assert done.fresh
    assert done.same == (digest == "blake3")
    assert bool(done.why) != done.same
    assert differences(direct, put_back(other, done.stored.id.hex(), "copy")) == []
    assert differences(state_of(made.palace), state_of(other.root / "copy")) == []
    assert other.verify().ok
    # Nothing that is told of the snapshot was lost.
    mine, its = stored.snapshot, done.stored.snapshot
    for field in ("palace", "tenant", "time_us", "host", "user", "path", "layout", "artifacts"):
        assert getattr(its, field) == getattr(mine, field), field
    assert (its.stats.files, its.stats.size) == (mine.stats.files, mine.stats.size)
    assert [one.name for one in its.outside] == [one.name for one in mine.outside]
    # The same bytes again, of what was imported and of what was there.
    again = exported(place, stored.id.hex(), "again")
    assert again.read_bytes() == file.read_bytes()
    if done.same:
        assert exported(other, done.stored.id.hex()).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("kind", ["age", "ed25519", "rsa", "passphrase"])
def test_encrypted(place: Place, family: str, kind: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(family))
    stored = snapshotted(place, made.palace)
    lock, keys = pair(place.root, kind)
    if kind == "passphrase":
        file = sealed(exported(place, stored.id.hex()), lock)
    else:
        file = exported(place, stored.id.hex(), lock=lock)
    direct = put_back(place, stored.id.hex(), "direct")
    other = elsewhere(place)
    done = imported(other, file, keys)
    assert done.same
    assert differences(direct, put_back(other, done.stored.id.hex(), "copy")) == []
    # Straight into a directory, too; and without the key not at all, with nothing left.
    target = place.root / "straight"
    api.restore_bundle(Request(file, keys=keys), target, cache=place.root / "cache-2")
    assert differences(direct, everything(target)) == []
    with pytest.raises(NoKey):
        imported(elsewhere(place, name="third"), file)
    with pytest.raises(NoKey):
        api.restore_bundle(file, place.root / "never", cache=place.root / "cache-2")
    assert not (place.root / "never").exists()
    assert size_of(place.root / "third/repository/packs") == 0


def pair(root: Path, kind: str) -> tuple[Lock, Keys]:
    """Return whom to encrypt for, and what opens it."""
    if kind == "age":
        own = Own(root / "key")
        return own.lock, own.keys
    if kind == "passphrase":
        return Lock((), Passphrase(b"correct horse")), Keys((), Passphrase(b"correct horse"))
    lock = lock_of([ssh_key(root / "key", kind)])
    assert lock is not None
    return lock, keys_of([str(root / "key")])


@given(TREES, st.sampled_from(DIGESTS))
@settings(max_examples=count(40, 600))
def test_every_tree(things: list[Thing], digest: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        make(place.palace, things)
        before = state_of(place.palace)
        stored = place.snapshot().stored
        file = exported(place, stored.id.hex())
        other = elsewhere(place, digest)
        done = imported(other, file)
        target = other.restored(done.stored.id.hex())
        assert differences(before, state_of(target)) == []
        assert blocks(target) <= blocks(place.palace) + (64 << 12)
        assert other.verify().ok
        assert done.same == (digest == "blake3")
        again = exported(other, done.stored.id.hex())
        assert done.same == (again.read_bytes() == file.read_bytes())
        # Nothing but tar and zstd has to be trusted for content, links, modes and times.
        plain = unpacked(file, place.root / "plain")
        lost = differences(without_xattrs(before), without_xattrs(state_of(plain / "palace")))
        assert lost == []


def without_xattrs(found: dict[bytes, State]) -> dict[bytes, State]:
    return {path: one._replace(xattrs=()) for path, one in found.items()}


def unpacked(file: Path, target: Path) -> Path:
    """Have GNU tar and zstd unpack a bundle, and sha256sum check it."""
    target.mkdir()
    subprocess.run(["tar", "--zstd", "-xpf", file], cwd=target, check=True, capture_output=True)
    command = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
    subprocess.run(command, cwd=target, check=True, capture_output=True)
    return target


def test_what_is_there_is_not_stored_again(place: Place) -> None:
    rng = Random(3)
    for number in range(20):
        (place.palace / f"f{number}").write_bytes(rng.randbytes(1 << 20))
    (place.palace / "notes").mkdir()
    for number in range(500):
        (place.palace / f"notes/{number}.md").write_bytes(rng.randbytes(2000))
    stored = place.snapshot().stored
    file = exported(place, stored.id.hex())
    before = size_of(place.repository)
    # Into the very repository, and into one that has the content by a snapshot of its own.
    assert not imported(place, file).fresh
    assert size_of(place.repository) == before
    other = elsewhere(place)
    shutil.copytree(place.palace, other.palace, dirs_exist_ok=True)
    (other.palace / "f0").write_bytes(rng.randbytes(1 << 20))
    other.snapshot()
    before = size_of(other.repository)
    done = imported(other, file)
    assert done.fresh
    grown = size_of(other.repository) - before
    # The one file that differs, and the trees: modes and times of the copy are others.
    assert 1 << 20 < grown < (1 << 20) + 150_000
    assert done.added <= grown
    before = size_of(other.repository)
    assert not imported(other, file).fresh
    assert size_of(other.repository) == before


def test_a_damaged_bundle_leaves_nothing_to_be_seen(place: Place) -> None:
    (place.palace / "file").write_bytes(Random(3).randbytes(3 << 20))
    file = exported(place, place.snapshot().stored.id.hex())
    whole = file.read_bytes()
    other = elsewhere(place)
    for at in (*range(0, len(whole), count(300_000, 3000)), len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        file.write_bytes(changed)
        with pytest.raises(Damaged):
            imported(other, file)
        file.write_bytes(whole[:at])
        with pytest.raises(Damaged):
            imported(other, file)
    assert other.files("snapshots") == []
    assert not (place.root / "never").exists()
