"""What goes wrong between us and a store: it is repeated, or told, and never taken for success."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.s3.faults import Fault, Proxy, faulty
from tests.s3.server import Server, settings_for

from palatine.backends.attempts import TRIES
from palatine.backends.base import Backend
from palatine.backends.urls import object_backend, parse
from palatine.clock import Clock
from palatine.errors import (
    NoSpace,
    NotFound,
    ReadOnly,
    RepositoryError,
    Unclear,
)

PASSING = [Fault.DROP, Fault.BUSY, Fault.LOSE]


class Patient(Clock):
    """Waits for nothing, and notes how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Patient:
    return Patient()


@pytest.fixture
def proxy(s3: Server) -> Iterator[Proxy]:
    with faulty(s3.port) as proxy:
        yield proxy


@pytest.fixture
def backend(proxy: Proxy, bucket: str, clock: Patient) -> Backend:
    return object_backend(parse(f"s3://{bucket}/r"), settings_for(proxy.port), clock)


@pytest.fixture
def direct(s3: Server, bucket: str) -> Backend:
    """The same place, without the proxy."""
    return object_backend(parse(f"s3://{bucket}/r"), s3.settings)


@pytest.mark.parametrize("fault", [*PASSING, Fault.CUT])
def test_reading_goes_on_after_what_passes(
    backend: Backend, proxy: Proxy, fault: Fault, clock: Patient
) -> None:
    data = bytes(range(256)) * 40
    backend.put("packs/one", data)
    proxy.script("GET", "packs", fault, 2)
    assert backend.get("packs/one") == data
    proxy.script("GET", "packs", fault, 2)
    assert backend.read("packs/one", 10, 5000) == data[10:5010]
    proxy.script("GET", "list-type", fault, 2)
    assert [tuple(one) for one in backend.list("packs/")] == [("packs/one", len(data))]
    assert proxy.struck
    assert len(clock.slept) == 6


def test_half_of_a_range_is_no_end_of_the_file(backend: Backend, proxy: Proxy) -> None:
    backend.put("packs/one", b"0123456789")
    proxy.script("GET", "packs", Fault.SHORT)
    assert backend.read("packs/one", 2, 6) == b"234567"
    assert proxy.struck


@pytest.mark.parametrize("fault", PASSING)
def test_writing_and_deleting_go_on_after_what_passes(
    backend: Backend, direct: Backend, proxy: Proxy, fault: Fault
) -> None:
    proxy.script("PUT", "name", fault, 2)
    backend.put("name", b"bytes")
    assert direct.get("name") == b"bytes"
    proxy.script("POST", "delete", fault, 2)
    backend.delete("name")
    assert [*direct.list("")] == []
    assert proxy.struck


@pytest.mark.parametrize("fault", PASSING)
def test_a_creation_whose_reply_was_lost_is_ours(
    backend: Backend, direct: Backend, proxy: Proxy, fault: Fault
) -> None:
    proxy.script("PUT", "name", fault, 3)
    assert backend.create("name", b"ours")
    assert direct.get("name") == b"ours"
    assert proxy.struck


@pytest.mark.parametrize("fault", PASSING)
def test_what_others_created_is_theirs_whatever_reply_was_lost(
    backend: Backend, direct: Backend, proxy: Proxy, fault: Fault
) -> None:
    direct.create("name", b"theirs")
    proxy.script("PUT", "name", fault, 3)
    assert not backend.create("name", b"ours")
    assert direct.get("name") == b"theirs"


def test_equal_bytes_that_were_there_before_are_not_ours(backend: Backend) -> None:
    assert backend.create("name", b"same")
    assert not backend.create("name", b"same")


def test_a_name_that_others_were_at_is_tried_again(backend: Backend, proxy: Proxy) -> None:
    proxy.script("PUT", "name", Fault.CONFLICT, 2)
    assert backend.create("name", b"ours")
    assert backend.get("name") == b"ours"


def test_a_pack_whose_reply_was_lost_is_there_once(
    backend: Backend, direct: Backend, proxy: Proxy
) -> None:
    proxy.script("PUT", "packs", Fault.LOSE, 2)
    with backend.upload() as upload:
        upload.write(b"x" * 3_000_000)
        upload.commit("packs/ab/abcd")
    assert direct.get("packs/ab/abcd") == b"x" * 3_000_000


def test_a_creation_that_never_got_an_answer_is_not_known(
    backend: Backend, direct: Backend, proxy: Proxy, clock: Patient
) -> None:
    proxy.script("PUT", "name", Fault.LOSE, 100)
    proxy.script("GET", "name", Fault.DROP, 100)
    with pytest.raises(Unclear, match="not known whether name was written"):
        backend.create("name", b"ours")
    assert direct.get("name") == b"ours"
    assert len(clock.slept) == TRIES - 1
    assert sum(clock.slept) < 14


def test_a_request_that_always_fails_is_given_up(
    backend: Backend, proxy: Proxy, clock: Patient
) -> None:
    proxy.script("GET", "", Fault.BUSY, 100)
    with pytest.raises(RepositoryError, match="503") as caught:
        backend.get("name")
    assert "try again later" in caught.value.hint
    assert len(proxy.requests) == TRIES
    assert clock.slept == sorted(clock.slept) or max(clock.slept) <= 8


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.FULL, NoSpace, "is full"),
        (Fault.SKEWED, RepositoryError, "clock is wrong"),
    ],
)
def test_what_cannot_pass_is_told_at_once(
    backend: Backend, proxy: Proxy, fault: Fault, kind: type[Exception], words: str
) -> None:
    proxy.script("PUT", "name", fault)
    with pytest.raises(kind, match=words):
        backend.create("name", b"x")
    assert len(proxy.requests) == 1


def test_a_404_that_is_not_the_stores_is_no_absence(backend: Backend, proxy: Proxy) -> None:
    backend.put("snapshots/one", b"x")
    proxy.script("GET", "snapshots/one", Fault.STRANGER)
    with pytest.raises(RepositoryError) as caught:
        backend.get("snapshots/one")
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("wrong", [{"access_key_id": "nobody"}, {"secret_access_key": "wrong"}])
def test_wrong_credentials_are_told(s3: Server, bucket: str, wrong: dict[str, object]) -> None:
    backend = object_backend(parse(f"s3://{bucket}/r"), {**s3.settings, **wrong})
    for request in (
        lambda: backend.get("config"),
        lambda: [*backend.list("packs/")],
        lambda: backend.create("config", b"x"),
        lambda: backend.delete("config"),
    ):
        with pytest.raises(RepositoryError, match="does not accept our credentials") as caught:
            request()
        assert not isinstance(caught.value, NotFound | ReadOnly)
        assert "credentials" in caught.value.hint


def test_a_missing_bucket_is_told(s3: Server) -> None:
    backend = object_backend(parse("s3://no-such-bucket/r"), s3.settings)
    for request in (
        lambda: backend.get("config"),
        lambda: [*backend.list("packs/")],
        lambda: backend.create("config", b"x"),
    ):
        with pytest.raises(RepositoryError, match="no bucket") as caught:
            request()
        assert not isinstance(caught.value, NotFound)


def test_nobody_who_listens_is_told(bucket: str, clock: Patient) -> None:
    backend = object_backend(parse(f"s3://{bucket}/r"), settings_for(1), clock)
    with pytest.raises(RepositoryError, match="failed at name") as caught:
        backend.create("name", b"x")
    assert not isinstance(caught.value, Unclear)  # nothing was sent


def test_many_names_are_deleted_with_few_requests(backend: Backend, proxy: Proxy) -> None:
    names = [f"index/{number}" for number in range(30)]
    backend.create_all(names)
    proxy.requests.clear()
    backend.delete_all([*names, "index/absent"])
    assert [*backend.list("index/")] == []
    assert proxy.count() == {"POST": 1, "GET": 1}
