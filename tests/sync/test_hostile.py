"""The other side is damaged, of another version, full, or lies: nothing here is worse for it."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.cli.conftest import Pal
from tests.support import count, small_disk
from tests.sync.aid import contents, copy, opened, served
from tests.sync.conftest import Sshd

import palatine
from palatine.codec import compress, delta
from palatine.errors import Malformed, PalatineError, Refused, RepositoryError
from palatine.ids import Kind
from palatine.model.pack import FrameKind, Member
from palatine.model.snapshot import encode_snapshot_file
from palatine.store.reach import Reference
from palatine.sync import wire
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Described, Given, Offer, Order, SnapshotFile
from palatine.sync.serving import OPEN, check_versions, serve
from palatine.sync.supply import LocalSupplier

Lie = Callable[[Given, Random], Given]


def _flipped(given: Given, rng: Random) -> Given:
    data = bytearray(given.payload)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return given._replace(payload=bytes(data))


def _another(given: Given, rng: Random) -> Given:
    other = b"another object"
    member = Member(Kind.CHUNK, given.members[0].id, len(other))
    return Given(FrameKind.PLAIN, (member,), compress.compress(other))


def _unasked(given: Given, rng: Random) -> Given:
    member = Member(Kind.CHUNK, rng.randbytes(32), 1)
    return Given(FrameKind.PLAIN, (member,), compress.compress(b"x"))


def _on_nothing(given: Given, rng: Random) -> Given:
    base = rng.randbytes(32)
    payload = delta.encode(b"y" * 5000, b"x" * 5000, base, 1)
    return Given(FrameKind.DELTA, given.members[:1], payload, base, 1)


def _on_itself(given: Given, rng: Random) -> Given:
    member = given.members[0]
    payload = delta.encode(b"y" * member.size, b"y" * member.size, member.id, 1)
    return Given(FrameKind.DELTA, (member,), payload, member.id, 1)


LIES: dict[str, Lie] = {
    "flipped": _flipped,
    "cut": lambda given, rng: given._replace(payload=given.payload[: len(given.payload) // 2]),
    "empty": lambda given, rng: given._replace(payload=b""),
    "another": _another,
    "unasked": _unasked,
    "on nothing": _on_nothing,
    "on itself": _on_itself,
    "another kind": lambda given, rng: given._replace(
        members=tuple(one.__class__(Kind.LIST, one.id, one.size) for one in given.members)
    ),
    "too large": lambda given, rng: given._replace(
        members=tuple(one.__class__(one.kind, one.id, 1 << 40) for one in given.members)
    ),
    "nobody": lambda given, rng: given._replace(members=()),
    "twice": lambda given, rng: given._replace(members=given.members * 2),
}


class Liar(LocalSupplier):
    """Lies now and then about objects, and with `about` also about how they are stored."""

    def __init__(
        self, repository: palatine.Repository, lie: Lie, rng: Random, share: float
    ) -> None:
        super().__init__(repository.store)
        self._lie = lie
        self._rng = rng
        self._share = share
        self.lies = 0

    def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
        for given in super().objects(orders):
            if self._rng.random() < self._share:
                self.lies += 1
                yield self._lie(given, self._rng)
            else:
                yield given


class Boaster(LocalSupplier):
    """Describes what is not so."""

    def __init__(self, repository: palatine.Repository, rng: Random) -> None:
        super().__init__(repository.store)
        self._rng = rng

    def describe(self, wanted: Sequence[Reference], deep: bool) -> list[Described]:
        told = super().describe(wanted, deep)
        at = self._rng.randrange(len(told))
        one = told[at]
        told[at] = self._rng.choice(
            [
                one._replace(size=1 << 50), one._replace(length=-5), one._replace(id=bytes(32)),
                one._replace(base=one.id, ordinal=3), one._replace(base=b"short"),
                one._replace(base=self._rng.randbytes(32), ordinal=1), one._replace(size=-1),
            ]
        )  # fmt: skip
        return told


def is_whole(target: palatine.Repository, truth: dict[bytes, dict[bytes, bytes]]) -> None:
    """Assert that every snapshot that is visible is whole and right."""
    for object_id, found in contents(target.store).items():
        assert found == truth[object_id]
    assert target.verify(data=True).ok


@pytest.mark.parametrize("lie", LIES)
def test_lies_about_objects(tmp_path: Path, source: palatine.Repository, lie: str) -> None:
    truth = contents(source.store)
    for seed in range(count(2, 30)):
        with opened(tmp_path / f"target{seed}") as target:
            liar = Liar(source, LIES[lie], Random(seed), share=1.0 if seed == 0 else 0.3)
            try:
                done = copy(liar, LocalReceiver(target.store)).done
            except PalatineError:
                done = ()
            if seed == 0:  # later ones may happen to tell the truth
                assert liar.lies
                assert done == ()
            is_whole(target, truth)
            copy(LocalSupplier(source.store), LocalReceiver(target.store))
            assert contents(target.store) == truth


@pytest.mark.parametrize("seed", range(count(7, 200)))
def test_lies_about_how_it_is_stored(
    tmp_path: Path, source: palatine.Repository, seed: int
) -> None:
    truth = contents(source.store)
    with opened(tmp_path / "target") as target:
        with contextlib.suppress(PalatineError):
            copy(Boaster(source, Random(seed)), LocalReceiver(target.store))
        is_whole(target, truth)
        copy(LocalSupplier(source.store), LocalReceiver(target.store))
        assert contents(target.store) == truth


@pytest.mark.parametrize(
    "field", [{"palace": "../../etc"}, {"tenant": "a/b"}, {"time_us": -1}, {"palace": ""}]
)
def test_names_that_lead_elsewhere(
    tmp_path: Path, source: palatine.Repository, field: dict[str, object]
) -> None:
    stored = source.log()[0]
    bad = msgspec.structs.replace(stored.snapshot, **field)
    _, data = encode_snapshot_file(bad, source.store.digest)
    with opened(tmp_path / "target") as target:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(Malformed):
            LocalReceiver(target.store).receive(
                [SnapshotFile(data, ())], LocalSupplier(source.store)
            )
        file = SnapshotFile(source.store.snapshots.read(stored), ("../x\n",))
        with pytest.raises(Malformed):
            LocalReceiver(target.store).receive([file], LocalSupplier(source.store))
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("seed", range(count(20, 2000)))
def test_noise_on_the_wire(source: palatine.Repository, seed: int) -> None:
    """Whatever comes, it ends with an error of ours, and asks for no more memory than it may."""
    rng = Random(seed)
    hello = msgspec.msgpack.encode(wire.Hello(1, 1))
    good = msgspec.msgpack.encode(wire.AskObjects(b"\x03" + source.log()[0].snapshot.root.tree))
    said = bytearray(
        b"".join(struct.pack("<I", len(one)) + one for one in (hello, good, good, good))
    )
    for _ in range(rng.randrange(1, 4)):
        said[rng.randrange(len(said))] = rng.randrange(256)
    channel = wire.Channel(io.BytesIO(bytes(said)), io.BytesIO(), "noise")
    with pytest.raises(PalatineError):
        serve(source.store, channel, OPEN)


def test_a_message_that_is_too_large(source: palatine.Repository) -> None:
    said = struct.pack("<I", 0xFFFFFFFF) + b"x" * 100
    channel = wire.Channel(io.BytesIO(said), io.BytesIO(), "far")
    with pytest.raises(Malformed, match="announces a message of 4294967295 bytes"):
        channel.receive()


def test_two_versions_that_have_nothing_in_common() -> None:
    check_versions(wire.Hello(0, 3), "far")
    with pytest.raises(Refused, match="speaks protocol 7 to 8, this one 1") as raised:
        check_versions(wire.Hello(7, 8), "far")
    assert "upgrade" in raised.value.hint


def test_offers_that_do_not_fit_together(source: palatine.Repository) -> None:
    with served(source) as (supplier, receiver):
        offers = supplier.offers()
        assert len(offers) == 4
        assert receiver.lacks(offers, False).lacking == ()
        assert receiver.lacks([Offer(bytes(16), "x", 0, ())], False).lacking == (0,)
        with pytest.raises(PalatineError):
            receiver.lacks([Offer(bytes(16), "../x", 0, ())], False)
        with pytest.raises(PalatineError):
            receiver.lacks([Offer(bytes(16), "x", 0, ("\x00",))], False)


def test_a_full_disk_on_the_far_side(near: Pal, sshd: Sshd) -> None:
    far = sshd.pal()
    (near.root / "large").mkdir()
    (near.root / "large" / "f").write_bytes(Random(3).randbytes(12_000_000))
    near("snapshot", "large")
    with small_disk(sshd.root / "home" / "repository", 4_000_000):
        far("init", "home/repository")
        assert "disk is full" in near("push", code=1).err
        far("--repo", "home/repository", "verify", "--data")


def test_a_connection_that_is_gone(source: palatine.Repository) -> None:
    channel = wire.Channel(io.BytesIO(b"\x01\x00"), io.BytesIO(), "far")
    with pytest.raises(RepositoryError, match="connection to far was lost"):
        channel.receive()
