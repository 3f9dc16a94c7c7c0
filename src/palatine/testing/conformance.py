"""What every backend must do, as tests: derive a class and give it a `backend` fixture.

    class TestLocal(BackendContract):
        @pytest.fixture
        def backend(self, tmp_path):
            return LocalBackend(tmp_path)

`second` is another view of the same store, as another host has it; by default the backend itself.
"""

# The names of the tests say what each promises.
# ruff: noqa: D102

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from palatine.backends.base import Backend
from palatine.errors import NotFound, PalatineError

_RACERS = 8


class BackendContract:
    """The contract of `palatine.backends.base.Backend`."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return an empty backend. Override this."""
        raise NotImplementedError

    @pytest.fixture
    def second(self, backend: Backend) -> Backend:
        """Return another view of what `backend` holds."""
        return backend

    def test_what_was_put_is_read_back(self, backend: Backend, second: Backend) -> None:
        backend.put("folder/name", b"bytes")
        assert second.get("folder/name") == b"bytes"

    def test_an_empty_file_is_a_file(self, backend: Backend) -> None:
        backend.put("folder/empty", b"")
        assert backend.get("folder/empty") == b""
        assert [tuple(one) for one in backend.list("folder/")] == [("folder/empty", 0)]

    def test_put_replaces(self, backend: Backend) -> None:
        backend.put("name", b"a long first version")
        backend.put("name", b"second")
        assert backend.get("name") == b"second"

    def test_create_writes_only_what_is_absent(self, backend: Backend, second: Backend) -> None:
        assert backend.create("folder/name", b"first")
        assert not second.create("folder/name", b"second")
        assert second.get("folder/name") == b"first"

    def test_create_works_again_after_a_delete(self, backend: Backend) -> None:
        backend.create("name", b"first")
        backend.delete("name")
        assert backend.create("name", b"second")
        assert backend.get("name") == b"second"

    @pytest.mark.parametrize("round_", range(5))
    def test_of_racing_creators_exactly_one_wins(self, backend: Backend, round_: int) -> None:
        start = threading.Barrier(_RACERS)

        def race(number: int) -> bool:
            start.wait()
            return backend.create(f"folder/{round_}", b"%d" % number)

        with ThreadPoolExecutor(_RACERS) as pool:
            won = list(pool.map(race, range(_RACERS)))
        assert won.count(True) == 1
        assert backend.get(f"folder/{round_}") == b"%d" % won.index(True)

    def test_reads_are_ranges(self, backend: Backend) -> None:
        backend.put("name", b"0123456789")
        assert backend.read("name", 0, 10) == b"0123456789"
        assert backend.read("name", 3, 4) == b"3456"
        assert backend.read("name", 3, 0) == b""

    def test_reads_are_shorter_only_where_the_file_ends(self, backend: Backend) -> None:
        backend.put("name", b"0123456789")
        assert backend.read("name", 8, 5) == b"89"
        assert backend.read("name", 10, 5) == b""
        assert backend.read("name", 1000, 5) == b""

    def test_a_large_file_is_read_whole(self, backend: Backend) -> None:
        data = bytes(range(256)) * 20_000
        backend.put("name", data)
        assert backend.get("name") == data
        assert backend.read("name", 1, len(data)) == data[1:]

    def test_what_is_absent_is_not_found(self, backend: Backend) -> None:
        with pytest.raises(NotFound):
            backend.get("folder/absent")
        with pytest.raises(NotFound):
            backend.read("folder/absent", 0, 1)

    def test_deleting_removes(self, backend: Backend, second: Backend) -> None:
        backend.put("folder/name", b"bytes")
        assert second.read("folder/name", 0, 5) == b"bytes"
        backend.delete("folder/name")
        with pytest.raises(NotFound):
            backend.get("folder/name")
        with pytest.raises(NotFound):
            backend.read("folder/name", 0, 1)
        assert list(second.list("folder/")) == []

    def test_deleting_what_is_absent_is_no_error(self, backend: Backend) -> None:
        backend.delete("folder/absent")
        backend.put("folder/name", b"")
        backend.delete("folder/absent")

    def test_list_yields_names_and_sizes_below_a_folder(self, backend: Backend) -> None:
        for name in ("a/1", "a/b/22", "a/b/c/333", "ab/4444", "z"):
            backend.put(name, name.rpartition("/")[2].encode())
        assert sorted(backend.list("a/")) == [("a/1", 1), ("a/b/22", 2), ("a/b/c/333", 3)]
        assert sorted(backend.list("a/b/")) == [("a/b/22", 2), ("a/b/c/333", 3)]
        assert list(backend.list("c/")) == []

    def test_many_files_are_read_and_the_absent_left_out(self, backend: Backend) -> None:
        names = [f"index/{number}" for number in range(40)]
        for name in names:
            backend.put(name, name.encode() * 10)
        found = dict(backend.get_all([*names, "index/absent"]))
        assert found == {name: name.encode() * 10 for name in names}
        assert dict(backend.get_all([])) == {}

    def test_an_empty_store_lists_nothing(self, backend: Backend) -> None:
        assert list(backend.list("packs/")) == []

    def test_names_keep_their_characters(self, backend: Backend) -> None:
        names = ["tags/default/a.b_c-d/k/%2ex%c3%a4", "snapshots/x/y/20260501T120000.000000Z-00ff"]
        for name in names:
            backend.put(name, name.encode())
        for name in names:
            assert backend.get(name) == name.encode()
        assert sorted(one.name for one in backend.list("tags/")) == names[:1]

    def test_an_upload_is_invisible_until_it_is_committed(
        self, backend: Backend, second: Backend
    ) -> None:
        with backend.upload() as upload:
            upload.write(b"some ")
            upload.write(memoryview(b"bytes"))
            assert upload.size == 10
            assert list(second.list("packs/")) == []
            upload.commit("packs/ab/abcd")
            assert second.get("packs/ab/abcd") == b"some bytes"
        assert [tuple(one) for one in second.list("packs/")] == [("packs/ab/abcd", 10)]

    def test_an_upload_that_is_not_committed_leaves_nothing(self, backend: Backend) -> None:
        backend.put("config", b"")
        with backend.upload() as upload:
            upload.write(b"x" * 100_000)
        with pytest.raises(ZeroDivisionError), backend.upload() as upload:  # noqa: PT012
            upload.write(b"x")
            raise ZeroDivisionError
        assert [one.name for one in backend.list("")] == ["config"]

    def test_an_upload_never_replaces(self, backend: Backend) -> None:
        backend.put("packs/ab/abcd", b"first")
        with pytest.raises(PalatineError), backend.upload() as upload:  # noqa: PT012
            upload.write(b"second")
            upload.commit("packs/ab/abcd")
        assert backend.get("packs/ab/abcd") == b"first"

    def test_uploads_by_many_threads_do_not_mix(self, backend: Backend) -> None:
        def upload(number: int) -> None:
            with backend.upload() as file:
                for _ in range(50):
                    file.write(bytes([number]) * 1000)
                file.commit(f"packs/{number}")

        with ThreadPoolExecutor(_RACERS) as pool:
            list(pool.map(upload, range(_RACERS)))
        for number in range(_RACERS):
            assert backend.get(f"packs/{number}") == bytes([number]) * 50_000

    def test_a_hold_shows_beats_and_goes(self, backend: Backend, second: Backend) -> None:
        hold = backend.hold("sessions/one", b"first and long")
        assert second.get("sessions/one") == b"first and long"
        hold.beat(b"second")
        assert second.get("sessions/one") == b"second"
        hold.beat(b"third, and the longest of all")
        assert second.get("sessions/one") == b"third, and the longest of all"
        hold.release()
        assert list(second.list("sessions/")) == []

    def test_a_hold_takes_no_name_that_is_taken(self, backend: Backend) -> None:
        hold = backend.hold("sessions/one", b"first")
        with pytest.raises(PalatineError):
            backend.hold("sessions/one", b"second")
        assert backend.get("sessions/one") == b"first"
        hold.release()

    def test_a_hold_whose_file_was_taken_away_is_released_all_the_same(
        self, backend: Backend
    ) -> None:
        hold = backend.hold("sessions/one", b"first")
        backend.delete("sessions/one")
        hold.release()
        assert list(backend.list("sessions/")) == []

    def test_names_that_come_and_go_while_listing_do_no_harm(self, backend: Backend) -> None:
        for number in range(20):
            backend.put(f"index/stays-{number}", b"")
        stop = threading.Event()

        def churn() -> None:
            while not stop.is_set():
                backend.put("index/comes", b"")
                backend.delete("index/comes")

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(20):
                names = {one.name for one in backend.list("index/")} - {"index/comes"}
                assert len(names) == 20
        finally:
            stop.set()
            thread.join()

    def test_threads_that_read_many_files_each_get_their_own(self, backend: Backend) -> None:
        """More files than a backend keeps open, so that descriptors are closed and used again."""
        for number in range(100):
            backend.put(f"packs/{number}", b"%d" % number)
        wrong: list[int] = []

        def read(seed: int) -> None:
            for step in range(1500):
                number = (seed * 37 + step * 11) % 100
                if backend.read(f"packs/{number}", 0, 10) != b"%d" % number:
                    wrong.append(number)

        with ThreadPoolExecutor(_RACERS) as pool:
            list(pool.map(read, range(_RACERS)))
        assert wrong == []
