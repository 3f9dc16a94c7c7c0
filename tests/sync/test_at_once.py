"""Copies into a repository that others copy to, forget in and collect at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.support import count
from tests.sync.aid import change, contents, opened, served

from palatine.errors import Fenced, Locked, UnknownRevision
from palatine.sync.receive import LocalReceiver
from palatine.sync.supply import LocalSupplier


def _push(root: Path, name: str, rng: Random, rounds: int) -> None:
    """Give the target some snapshots again and again, also those that it forgot."""
    with opened(root / name) as source, opened(root / "target") as target:
        shorts = [one.id[:16] for one in source.log()]
        for _ in range(rounds):
            chosen = rng.sample(shorts, rng.randrange(1, 4))
            supplier = LocalSupplier(source.store)
            offers = [one for one in supplier.offers() if one.short in chosen]
            try:
                if rng.random() < 0.5:
                    with served(target) as (_, far):
                        lacking = [offers[at].short for at in far.lacks(offers, True).lacking]
                        far.receive(supplier.files(lacking), supplier)
                else:
                    near = LocalReceiver(target.store)
                    lacking = [offers[at].short for at in near.lacks(offers, True).lacking]
                    near.receive(supplier.files(lacking), supplier)
            except Fenced:
                continue


def _collect(root: Path, rng: Random, rounds: int) -> None:
    with opened(root / "target") as target:
        for _ in range(rounds):
            there = target.log()
            for one in rng.sample(there, min(len(there), rng.randrange(3))):
                try:
                    target.forget(one.id.hex(), even_last=True)
                except UnknownRevision:
                    continue
            try:
                target.gc()
            except Locked:
                continue


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(count(2, 100)))
def test_copies_beside_gc(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    known: dict[bytes, dict[bytes, bytes]] = {}
    for name in ("a", "b"):
        with opened(tmp_path / name) as source:
            for _ in range(5):
                change(tmp_path / "alpha", rng)
                source.snapshot(tmp_path / "alpha", force=True)
            known |= contents(source.store)
    with opened(tmp_path / "target"):
        pass
    raised: list[BaseException] = []
    rounds = count(6, 30)

    def start(work: Callable[..., None], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                work(tmp_path, *arguments, Random(rng.random()), rounds)
            except BaseException as error:  # noqa: BLE001 - raised again below
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    for thread in [start(_push, "a"), start(_push, "b"), start(_collect), start(_collect)]:
        thread.join()
    if raised:
        raise raised[0]
    with opened(tmp_path / "target") as target:
        for object_id, found in contents(target.store).items():
            assert found == known[object_id]
        assert target.verify(data=True).ok
