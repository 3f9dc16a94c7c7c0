"""A repository that lives on an object store: what goes wrong on the way, and what it costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.live.aid import let_settle
from tests.s3.faults import Fault, Proxy, faulty
from tests.s3.hosts import Host
from tests.s3.server import Server, environment_for

import palatine
from palatine.backends.base import Backend
from palatine.backends.urls import object_backend, parse
from palatine.clock import Clock
from palatine.errors import Damaged, Exists, NoRepository, Refused, Unclear
from palatine.ops.gc import Collected, Options
from palatine.store.snapshots import SNAPSHOTS
from palatine.testing.builders import Notices


class Hasty(Clock):
    """Does not wait between repetitions."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.01))


@pytest.fixture
def proxy(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with faulty(s3.port) as proxy:
        for name, value in environment_for(proxy.port).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def host(tmp_path: Path, proxy: Proxy, bucket: str) -> Host:
    host = Host(tmp_path / "one", f"s3://{bucket}/memory")
    palatine.init(host.url)
    host.write()
    return host


@pytest.fixture
def other(tmp_path: Path, host: Host) -> Host:
    return Host(tmp_path / "two", host.url)


@pytest.fixture
def direct(s3: Server, host: Host) -> Backend:
    return object_backend(parse(host.url), s3.settings)


def test_what_one_host_keeps_another_restores(host: Host, other: Host) -> None:
    host.snapshot()
    host.write()
    host.snapshot()
    other.check_restores("palace-one", host)
    with other.open() as repository:
        assert len(repository.log()) == 2
        assert repository.verify(data=True).damage == []


def test_a_second_init_is_refused(host: Host) -> None:
    with pytest.raises(Exists):
        palatine.init(host.url)


def test_no_repository_there_is_told(host: Host) -> None:
    with pytest.raises(NoRepository):
        palatine.open_repository(host.url + "/elsewhere")


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.LOSE, Fault.BUSY])
@pytest.mark.parametrize("part", ["sessions", "packs", "index", "snapshots"])
def test_a_snapshot_survives_what_passes(
    host: Host, other: Host, proxy: Proxy, fault: Fault, part: str
) -> None:
    proxy.script("PUT", f"memory/{part}/", fault, 2)
    host.snapshot(Hasty())
    assert proxy.struck
    other.check_restores("palace-one", host)
    with other.open() as repository:
        assert len(repository.log()) == 1


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.CUT, Fault.BUSY])
def test_a_restore_survives_what_passes(
    host: Host, other: Host, proxy: Proxy, fault: Fault
) -> None:
    host.snapshot()
    for part in ("packs/", "index/", "snapshots/", "config"):
        proxy.script("GET", f"memory/{part}", fault, 2)
    other.check_restores("palace-one", host)
    assert proxy.struck


def test_a_snapshot_that_may_yet_arrive_is_closed_by_gc(
    host: Host, other: Host, proxy: Proxy, direct: Backend
) -> None:
    """The reply to the commit never comes: nobody knows, so the announcement stays."""
    proxy.script("PUT", "memory/snapshots/", Fault.DROP, 100)
    with pytest.raises(Unclear):
        host.snapshot(Hasty())
    proxy.heal()
    (key,) = {path for method, path in proxy.requests if method == "PUT" and SNAPSHOTS in path}
    name = SNAPSHOTS + key.partition(SNAPSHOTS)[2].replace("%25", "%")
    assert [*direct.list("sessions/")] != []
    other.write()
    other.snapshot()
    with other.open() as repository:
        first = repository.gc()
        assert first.packs > 0  # what the snapshot would have needed
    assert [*direct.list("sessions/")] == []
    assert not direct.create(name, b"what arrives too late")
    with other.open() as repository:
        assert [one.palace for one in repository.log()] == ["palace-two"]
        assert repository.verify(data=True).damage == []


def test_a_snapshot_whose_reply_was_lost_for_good_is_there(
    host: Host, other: Host, proxy: Proxy
) -> None:
    proxy.script("PUT", "memory/snapshots/", Fault.LOSE, 100)
    proxy.script("GET", "memory/snapshots/", Fault.BUSY, 100)
    with pytest.raises(Unclear):
        host.snapshot(Hasty())
    proxy.heal()
    with other.open() as repository:
        repository.gc()
    other.check_restores("palace-one", host)


def test_a_stale_listing_of_packs_harms_nobody(host: Host, other: Host, proxy: Proxy) -> None:
    other.write()
    other.snapshot()  # its first listing of packs is what is told again
    host.snapshot()
    proxy.script("GET", "prefix=memory%2Fpacks%2F", Fault.STALE)
    other.check_restores("palace-one", host)
    host.write(1)
    proxy.script("GET", "prefix=memory%2Fpacks%2F", Fault.STALE)
    host.snapshot()
    assert proxy.struck
    other.check_restores("palace-one", host)
    with other.open() as repository:
        assert repository.verify(data=True).damage == []


def test_gc_refuses_a_store_that_ignores_put_if_absent(
    host: Host, proxy: Proxy, s3: Server, bucket: str
) -> None:
    root = object_backend(parse(f"s3://{bucket}"), s3.settings)

    def ignore(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "PUT" and headers.get("if-none-match") == "*":
            root.delete(path.removeprefix(f"/{bucket}/"))

    host.snapshot()
    proxy.before = ignore
    with host.open() as repository, pytest.raises(Refused, match="does not heed put-if-absent"):
        repository.gc()
    notices = Notices()
    palatine.init(f"s3://{bucket}/second", reporter=notices)
    assert any("does not heed put-if-absent" in said for said in notices.said)
    with pytest.raises(Exists):
        palatine.init(host.url)
    with host.open() as repository:
        repository.gc(Options(exclusive=True))
    host.check_restores("palace-one")


def test_gc_is_not_misled_by_lost_replies(host: Host, proxy: Proxy) -> None:
    host.snapshot()
    proxy.script("PUT", "memory/config", Fault.LOSE)
    with host.open(Hasty()) as repository:
        repository.gc()
    assert proxy.struck


def test_listing_costs_few_requests_and_no_packs(host: Host, other: Host, proxy: Proxy) -> None:
    host.snapshot()
    host.write()
    host.snapshot()
    with other.open() as repository:
        repository.log()
    proxy.requests.clear()
    with other.open() as repository:
        assert len(repository.log()) == 2
    assert proxy.count() == {"GET": 3}  # config, the snapshots' names, the tags' names


def test_ls_reads_ranges_and_no_whole_pack(host: Host, other: Host, proxy: Proxy) -> None:
    host.write(4, 2_000_000)
    done = host.snapshot()
    assert done.stored.snapshot.stats.size > 1_000_000
    proxy.sent = 0
    with other.open() as repository:
        assert len([*repository.ls("palace-one")]) == 4
    assert proxy.sent < 50_000


def test_a_restore_reads_packs_in_few_pieces(host: Host, other: Host, proxy: Proxy) -> None:
    (host.palace / "large").write_bytes(Random(3).randbytes(20_000_000))
    host.snapshot()
    proxy.requests.clear()
    other.check_restores("palace-one", host)
    reads = [path for _, path in proxy.requests if "/memory/packs/" in path]
    assert len(reads) < 20  # of some twenty chunks, footers not among them


def test_a_restore_asks_for_later_packs_before_it_has_the_first(
    host: Host, other: Host, proxy: Proxy
) -> None:
    for number in range(4):
        (host.palace / f"large-{number}").write_bytes(Random(number).randbytes(3_000_000))
        host.snapshot()
    under_way: set[str] = set()
    all_of_them = threading.Event()

    def hold(method: str, path: str, headers: dict[str, str]) -> None:
        first, _, last = headers.get("range", "").removeprefix("bytes=").partition("-")
        if "/packs/" in path and first and int(last) - int(first) > 300_000:  # no tree
            under_way.add(path)
            if len(under_way) == 4:
                all_of_them.set()
            assert all_of_them.wait(60), "only so many packs are read at once"

    proxy.before = hold
    other.check_restores("palace-one", host)
    assert all_of_them.is_set()


def test_what_gc_moves_while_a_restore_reads_ahead_is_found(
    host: Host, other: Host, proxy: Proxy
) -> None:
    rng = Random(6)
    for number in range(6):
        (host.palace / f"large-{number}").write_bytes(rng.randbytes(8_000_000))
    first = host.snapshot().stored.id.hex()
    for number in range(0, 6, 2):
        (host.palace / f"large-{number}").write_bytes(rng.randbytes(8_000_000))
    let_settle()
    host.snapshot()
    reads = 0
    done: list[Collected] = []
    turn = threading.Lock()

    def collect(method: str, path: str, headers: dict[str, str]) -> None:
        nonlocal reads
        reads += method == "GET" and "/memory/packs/" in path and "range" in headers
        if reads == 3 and turn.acquire(blocking=False):
            with host.open() as repository:
                repository.forget(first)
                done.append(repository.gc(Options(max_unused=0.0)))

    with other.open() as repository:
        repository.log()
    proxy.before = collect
    other.check_restores("palace-one", host)
    assert done[0].freed > 0


def test_no_thread_outlives_a_repository(host: Host, other: Host) -> None:
    (host.palace / "large").write_bytes(Random(4).randbytes(20_000_000))
    host.snapshot()
    before = {*threading.enumerate()}
    other.check_restores("palace-one", host)
    left = {*threading.enumerate()} - before
    assert [one.name for one in left if one.name.startswith("palatine")] == []


def test_a_snapshot_without_a_change_costs_few_requests(host: Host, proxy: Proxy) -> None:
    let_settle()  # what was written just now is read again
    host.snapshot()
    proxy.requests.clear()
    assert not host.snapshot().fresh
    assert len(proxy.requests) <= 10, proxy.requests
    assert not any("/memory/packs/" in path for _, path in proxy.requests)


def test_damage_on_the_far_side_is_found(host: Host, other: Host, direct: Backend) -> None:
    host.snapshot()
    host.check_restores("palace-one")  # whatever is cached of it
    (largest, *_) = sorted(direct.list("packs/"), key=lambda stat: -stat.size)
    data = bytearray(direct.get(largest.name))
    data[len(data) // 2] ^= 0xFF
    direct.put(largest.name, bytes(data))
    for one in (host, other):
        with one.open() as repository:
            assert repository.verify(data=True).damage != []
    with pytest.raises(Damaged):
        other.check_restores("palace-one", host)
    data[len(data) // 2] ^= 0xFF
    direct.put(largest.name, bytes(data))
    other.check_restores("palace-one", host)  # though what was wrong had been kept
