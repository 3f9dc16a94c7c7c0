"""Databases at rest are asked once more: somebody may just have opened one and written to it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.live.aid import WAL, add, let_settle, notes, once_before, service
from tests.support import Place

from palatine.capture import databases, instant
from palatine.capture.databases import DatabaseCapture
from palatine.testing.sqlite_service import Service


@pytest.fixture
def visitors() -> Iterator[list[Service]]:
    """Services that came meanwhile; they stay until the test ends."""
    came: list[Service] = []
    yield came
    for one in came:
        one.close()


def left_at_rest(place: Place, name: str) -> None:
    service(place.palace / name).close()
    let_settle()
    assert sorted(os.listdir(place.palace)) == [name]


def test_commits_made_while_others_were_pinned_are_not_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch, visitors: list[Service]
) -> None:
    left_at_rest(place, "a.db")
    place.snapshot()
    instants = DatabaseCapture._instants

    def meddling(self: DatabaseCapture, *rest: object) -> object:
        found = instants(self, *rest)  # type: ignore[arg-type]
        if not visitors:
            visitors.append(Service(place.palace / "a.db", *WAL))
            visitors[0].run(add("one"))
        return found

    monkeypatch.setattr(DatabaseCapture, "_instants", meddling)
    place.snapshot()
    assert notes(place.restored() / "a.db") == ["one"]


@pytest.mark.parametrize("firm", [False, True])
def test_commits_to_a_new_wal_belong_to_the_instant(
    place: Place, monkeypatch: pytest.MonkeyPatch, visitors: list[Service], firm: bool
) -> None:
    """Also where the database at rest was locked: that keeps nobody from opening it."""
    left_at_rest(place, "a.db")
    with service(place.palace / "b.db") as other:

        def transfer() -> None:
            visitors.append(Service(place.palace / "a.db", *WAL))
            visitors[0].run(add("transfer"))
            other.run(add("transfer"))

        monkeypatch.setattr(databases, "FIRM", 0 if firm else databases.ROUNDS)
        once_before(monkeypatch, "try_pin", 2 if firm else 1, transfer)
        place.snapshot()
    restored = place.restored()
    assert notes(restored / "b.db") == ["transfer"], "came too late: the test shows nothing"
    assert notes(restored / "a.db") == ["transfer"]


def test_a_commit_right_after_the_indexes_were_read_is_not_half_captured(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is at rest is compared with what it was before the reading of the indexes."""
    left_at_rest(place, "b.db")
    sign = instant._sign
    transfers: list[str] = []

    def meddling(*rest: object) -> bytes:
        if not transfers:
            transfers.append("transfer")
            first.run(add("transfer"))
            with Service(place.palace / "b.db", *WAL) as second:
                second.run(add("transfer"))
        return sign(*rest)  # type: ignore[arg-type]

    monkeypatch.setattr(instant, "_sign", meddling)
    with service(place.palace / "a.db") as first:
        place.snapshot()
    restored = place.restored()
    assert notes(restored / "b.db") == notes(restored / "a.db")
    assert transfers
