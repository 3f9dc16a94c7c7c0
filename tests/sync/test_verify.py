"""What threads verify while more comes: errors, order, room; and what is told of many at once."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from tests.support import count
from tests.sync.aid import contents, copy, copy_all, opened

import palatine
from palatine.errors import CatalogFailed, RepositoryError
from palatine.model.pack import FrameKind
from palatine.store import resolve, writer
from palatine.sync import verify, wire
from palatine.sync.receive import LocalReceiver
from palatine.sync.roles import Given, Order
from palatine.sync.supply import LocalSupplier
from palatine.sync.verify import Bytes, Verified, Verifier

Decode = Callable[[Given, Callable[[], Bytes] | None], Verified]


def _ours() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("palatine")}


@pytest.mark.parametrize("error", [MemoryError, RepositoryError, ValueError])
def test_an_error_in_a_thread_fails_the_copy(
    tmp_path: Path,
    source: palatine.Repository,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    truth = contents(source.store)
    good: Decode = verify._decoded
    for at in (1, 3, 6):
        rest = iter(range(1, 1000))
        busy: set[int] = set()

        def failing(given: Given, base: Callable[[], Bytes] | None) -> Verified:
            number = next(rest)  # noqa: B023 - used up within the round
            if number == at:  # noqa: B023
                raise error("a thread met it")
            busy.add(number)  # noqa: B023
            time.sleep(0.02)
            found = good(given, base)
            busy.remove(number)  # noqa: B023
            return found

        before = _ours()
        with opened(tmp_path / f"target{at}") as target:
            with monkeypatch.context() as patched:
                patched.setattr(verify, "_decoded", failing)
                with pytest.raises(error, match="a thread met it"):
                    copy_all(source, target)
            assert not busy
            assert target.log() == []
            assert target.verify(data=True).ok
            copy_all(source, target)
            assert contents(target.store) == truth
        assert _ours() <= before


@pytest.mark.parametrize("room", [1, 200_000, verify._ROOM])
@pytest.mark.parametrize("seed", range(count(1, 20)))
def test_frames_count_in_their_order_whoever_is_ready_first(
    tmp_path: Path,
    source: palatine.Repository,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    room: int,
) -> None:
    rng = Random(seed)
    good: Decode = verify._decoded
    put = Verifier.put

    def slow(given: Given, base: Callable[[], Bytes] | None) -> Verified:
        time.sleep(rng.random() * 0.004)
        return good(given, base)

    def watched(self: Verifier, given: Given, base: Callable[[], Bytes] | None) -> None:
        put(self, given, base)
        assert len(self._waiting) == 1 or self._held <= room

    monkeypatch.setattr(verify, "_ROOM", room)
    monkeypatch.setattr(verify, "_decoded", slow)
    monkeypatch.setattr(Verifier, "put", watched)
    with opened(tmp_path / "target") as target:
        once = LocalSupplier(source.store)
        asked: list[bool] = []
        objects = once.objects

        def noted(orders: Sequence[Order]) -> Iterator[Given]:
            asked.extend(one.full for one in orders)
            return objects(orders)

        monkeypatch.setattr(once, "objects", noted)
        copy(once, LocalReceiver(target.store))
        assert contents(target.store) == contents(source.store)
        frames = {one.frame for _, one in target.store.catalog.all_copies()}
        assert FrameKind.DELTA in frames
    # nothing had to come a second time: a delta waits for what it stands on
    assert not any(asked)


def test_what_came_already_may_not_come_again(tmp_path: Path, source: palatine.Repository) -> None:
    class Twice(LocalSupplier):
        def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
            for given in super().objects(orders):
                yield given
                yield given

    with opened(tmp_path / "target") as target:
        received = copy(Twice(source.store), LocalReceiver(target.store))
        assert received.done == ()
        assert "another object than it was asked for" in received.failed[0][1]
        assert target.log() == []


def test_what_is_absent_is_told_for_many_as_for_one(
    source: palatine.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_REMEMBERED", 5)
    monkeypatch.setattr(writer, "_AT_ONCE", 4)
    rng = Random(5)
    with source.store.writing_all([("default", "alpha", 1)]) as (_, one):
        known = [*source.store.catalog.all_copies()]
        for _ in range(30):
            ids = [object_id for object_id, _ in known] + [rng.randbytes(32) for _ in range(20)]
            rng.shuffle(ids)
            bad = {copy.number for _, copy in known if rng.random() < 0.3}
            # not a loop's variable: it is looked up when it is called
            monkeypatch.setattr(one, "_counts", lambda copy, bad=bad: copy.number not in bad)
            absent = one.absent(ids)
            assert absent == {object_id for object_id in ids if not one.present(object_id)}
            assert 20 < len(absent) < len({*ids})


def test_a_catalog_that_fails_fails_the_copy(
    tmp_path: Path, source: palatine.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "target") as target:
        monkeypatch.setattr(
            "palatine.store.writer.Writer.absent",
            lambda self, ids: (_ for _ in ()).throw(CatalogFailed("gone")),
        )
        with pytest.raises(CatalogFailed):
            copy_all(source, target)
        assert target.log() == []


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have one size here")
def test_pipes_hold_much() -> None:
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as source, os.fdopen(ends[1], "wb") as sink:
        wire.Channel(source, sink, "far")
        assert fcntl.fcntl(sink.fileno(), fcntl.F_GETPIPE_SZ) >= 1 << 20


def test_what_came_and_is_gone_at_the_end_is_told(
    tmp_path: Path, source: palatine.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = writer.Writer.flush
    with opened(tmp_path / "target") as target:

        def cut(self: writer.Writer) -> None:
            flush(self)
            catalog = target.store.catalog
            catalog.mark_cut({one.n: True for one in catalog.packs()})

        with monkeypatch.context() as patched:
            patched.setattr(writer.Writer, "flush", cut)
            with pytest.raises(RepositoryError, match="came and is not there"):
                copy_all(source, target)
        assert target.log() == []
        copy_all(source, target)
        assert contents(target.store) == contents(source.store)
