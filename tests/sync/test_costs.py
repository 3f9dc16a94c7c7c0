"""What a copy costs: bytes on the wire, and time when bandwidth is limited."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import msgspec
from tests.sync.aid import change, contents, opened, served

from palatine.clock import SYSTEM
from palatine.events import SILENT, Reporter
from palatine.ops.exchange import Choice, Options, copy
from palatine.sync import wire
from palatine.sync.far import FarReceiver
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Identity, Offer
from palatine.sync.supply import LocalSupplier
from palatine.testing.builders import FakeClock

QUIET = (SILENT, SYSTEM)


def test_nothing_to_do_with_500_snapshots() -> None:
    rng = Random(1)
    offers = [
        Offer(rng.randbytes(16), f"palace{at % 8}", 1_700_000_000 + at, ("keep",) * (at % 50 == 0))
        for at in range(500)
    ]
    answer = msgspec.msgpack.encode(wire.Lacks((), (), (), ()))
    said = io.BytesIO(len(answer).to_bytes(4, "little") + answer)
    channel = wire.Channel(said, io.BytesIO(), "far")
    FarReceiver(channel, Identity("", "", "")).lacks(offers, False)
    # ssh needs 5 kB more to connect
    assert channel.written + channel.read < 13_000


def test_a_days_change_is_what_it_added(tmp_path: Path) -> None:
    rng = Random(2)
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        for _ in range(10):
            change(tmp_path / "alpha", rng)
            done = source.snapshot(tmp_path / "alpha", force=True)
            with served(target) as (_, receiver):
                before = receiver._channel.written + receiver._channel.read
                copied = copy(LocalSupplier(source.store), receiver, Options(), QUIET)
                moved = receiver._channel.written + receiver._channel.read - before
            assert len(copied.snapshots) == 1
            # a few hundred bytes are said even where next to nothing was added
            assert moved < 1.2 * done.stored.snapshot.stats.added + 4_000
        assert contents(target.store) == contents(source.store)


def test_no_faster_than_may_be(tmp_path: Path) -> None:
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha" / "f").write_bytes(Random(3).randbytes(1_000_000))
    clock = FakeClock()
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        source.snapshot(tmp_path / "alpha")
        copied = copy(
            LocalSupplier(source.store), LocalReceiver(target.store),
            Options(bandwidth=100_000), (SILENT, clock),
        )  # fmt: skip
    assert copied.sent > 1_000_000
    assert 10 <= clock.monotonic() < 11


def test_progress_says_how_much_there_is(tmp_path: Path) -> None:
    class Watching(Reporter):
        def __init__(self) -> None:
            self.stages: dict[str, list[int]] = {}

        def begin(self, stage: str, total: int | None = None) -> None:
            self.stages[stage] = [total or 0, 0]

        def advance(self, amount: int, item: str = "") -> None:
            self.stages[[*self.stages][-1]][1] += amount

    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha" / "f").write_bytes(Random(4).randbytes(5_000_000))
    watching = Watching()
    with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        source.snapshot(tmp_path / "alpha")
        options = Options(Choice(("alpha",)))
        copy(
            LocalSupplier(source.store),
            LocalReceiver(target.store),
            options,
            (watching, SYSTEM),
        )
    total, done = watching.stages["copying files"]
    assert total == done > 5_000_000
