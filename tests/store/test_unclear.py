"""A commit of which nobody knows whether it was done keeps its announcement, until gc closes it."""

from __future__ import annotations

import pytest
from tests.support import memory_repository

from palatine.backends.memory import MemoryBackend
from palatine.errors import Fenced, NoSpace, Unclear
from palatine.store.fence import wait_for_sessions
from palatine.testing.builders import FakeClock, Notices
from palatine.testing.faulty import FaultyBackend


@pytest.mark.parametrize("error", [Unclear("no answer came"), KeyboardInterrupt()])
def test_the_announcement_stays_until_the_key_is_closed(error: Exception) -> None:
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        backend.fail("create", prefix="snapshots/", error=error)
        with (
            pytest.raises(type(error)),
            repository.writing("default", "alpha", 1_000_000) as (session, _),
        ):
            session.commit(b"what may arrive yet")
        assert len([*backend.list("sessions/")]) == 1
        (closed,) = wait_for_sessions(backend.inner, FakeClock(), 600, Notices())
        assert [*backend.list("sessions/")] == []
        assert not backend.create(closed, b"too late")


@pytest.mark.parametrize("error", [NoSpace("full"), Fenced("closed")])
def test_after_a_clear_failure_it_is_withdrawn(error: Exception) -> None:
    backend = FaultyBackend(MemoryBackend())
    with memory_repository(backend) as repository:
        backend.fail("create", prefix="snapshots/", error=error)
        with (
            pytest.raises(type(error)),
            repository.writing("default", "alpha", 1_000_000) as (session, _),
        ):
            session.commit(b"what was not written")
        assert [*backend.list("sessions/")] == []
