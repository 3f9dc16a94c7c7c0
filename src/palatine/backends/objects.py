"""An object store (S3, GCS, Azure) as a backend: put-if-absent, ranges, and nothing else of it.

The store must show what was put to every later get and listing, as all three services do; and it
must heed put-if-absent (`If-None-Match: *`), else gc refuses to run beside writers.
"""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError

from palatine.backends.attempts import (
    Again,
    Attempts,
    is_absence,
    is_behind_the_end,
    is_refusal,
    status_of,
)
from palatine.backends.base import Backend, Hold, Stat, Upload
from palatine.clock import SYSTEM, Clock
from palatine.errors import NoSpace, NotFound, RepositoryError, Unclear
from palatine.ids import Buffer

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_GETS = 8
"""Small files that are fetched at the same time."""
_AT_ONCE = 1000
"""Names in one request to delete: what S3 takes."""


class ObjectBackend(Backend):
    """Objects below a prefix of a bucket.

    `store` is obstore's, with its own repetitions switched off; `slow` the same with more time for
    each request: packs are sent through it.
    """

    is_far = True

    def __init__(
        self, location: str, store: ObjectStore, slow: ObjectStore, clock: Clock = SYSTEM
    ) -> None:
        """Use a bucket, which must be there."""
        self.location = location
        self._store = store
        self._slow = slow
        self._attempts = Attempts(location, clock)

    def get(self, name: str) -> bytes:
        return self._attempts.run(name, lambda: _get(self._store, name))

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self.view(name, offset, length))

    def view(self, name: str, offset: int, length: int) -> Buffer:
        if not length:
            return b""
        return self._attempts.run(name, lambda: _read(self._store, name, offset, length))

    def put(self, name: str, data: bytes) -> None:
        self._attempts.run(name, lambda: obstore.put(self._store, name, data, use_multipart=False))

    def create(self, name: str, data: bytes) -> bool:
        return self._create(self._store, name, data)

    def upload(self) -> Upload:
        return _ObjectUpload(self)

    def hold(self, name: str, data: bytes) -> Hold:
        if not self.create(name, data):
            raise RepositoryError(f"{name} exists")
        return _ObjectHold(self, name)

    def delete(self, name: str) -> None:
        self._attempts.run(name, lambda: _delete(self._store, [name]))

    def delete_all(self, names: Iterable[str]) -> None:
        rest = iter(names)
        while some := [*islice(rest, _AT_ONCE)]:
            self._attempts.run(some[0], partial(_delete, self._store, some))

    def get_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        rest = iter(names)
        with ThreadPoolExecutor(_GETS, thread_name_prefix="palatine-get") as pool:
            under_way = deque(self._begin(pool, islice(rest, _GETS)))
            while under_way:
                name, future = under_way.popleft()
                under_way.extend(self._begin(pool, islice(rest, 1)))
                with suppress(NotFound):
                    yield name, future.result()

    def _begin(
        self, pool: ThreadPoolExecutor, names: Iterable[str]
    ) -> Iterator[tuple[str, Future[bytes]]]:
        for name in names:
            yield name, pool.submit(self.get, name)

    def is_abandoned(self, name: str) -> bool:
        return False  # there are no locks

    def list(self, prefix: str) -> Iterator[Stat]:
        yield from self._attempts.run(prefix or "its files", lambda: _list(self._store, prefix))

    def commit(self, name: str, data: Buffer) -> None:
        """Put a pack that has been written to the end."""
        if not self._create(self._slow, name, data):
            raise RepositoryError(f"{name} exists")

    def _create(self, store: ObjectStore, name: str, data: Buffer) -> bool:
        creation = _Creation(store, name, data)
        try:
            return self._attempts.run(name, creation.attempt)
        except RepositoryError as error:
            if creation.unclear:
                raise Unclear(
                    f"it is not known whether {name} was written: {error.message}", error.hint
                ) from error
            raise


class _Creation:
    """One put-if-absent, over all the requests made for it.

    A request without an answer may have been carried out: what stands there afterwards is ours if
    it has our bytes, which are either random or the same whoever writes them.
    """

    def __init__(self, store: ObjectStore, name: str, data: Buffer) -> None:
        self._store = store
        self._name = name
        self._data = data
        self.unclear = False

    def attempt(self) -> bool:
        try:
            obstore.put(self._store, self._name, self._data, mode="create", use_multipart=False)
        except AlreadyExistsError as error:
            # 409: somebody is at the name at this moment, which says nothing of what stands there
            busy = status_of(error) == 409
            return (busy or self.unclear) and self._is_ours()
        except Exception as error:
            self.unclear |= not is_refusal(error)
            raise
        self.unclear = False
        return True

    def _is_ours(self) -> bool:
        try:
            there = _get(self._store, self._name)
        except FileNotFoundError as error:
            if not is_absence(error):
                raise
            if self.unclear:
                raise NotFound(f"{self._name} was written and is gone again") from error
            raise Again("somebody was at the name") from error
        ours, self.unclear = self.unclear and there == self._data, False
        return ours


class _ObjectUpload(Upload):
    """Written to a nameless local file: the name that it will have is a digest of all of it."""

    def __init__(self, backend: ObjectBackend) -> None:
        self._backend = backend
        with _room():
            self._file = tempfile.TemporaryFile(prefix="palatine-")  # noqa: SIM115 - see close

    def write(self, data: Buffer) -> None:
        with _room():
            self._file.write(data)
        self.size += len(data)

    def commit(self, name: str) -> None:
        with _room():
            self._file.flush()
            # read into memory, each pack would leave a hole there when it is gone
            mapped = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ) if self.size else b""
        self._backend.commit(name, memoryview(mapped))

    def close(self) -> None:
        self._file.close()


class _ObjectHold(Hold):
    """A file that is put again and again: only the heartbeat shows that its owner lives."""

    def __init__(self, backend: ObjectBackend, name: str) -> None:
        self._backend = backend
        self._name = name

    def beat(self, data: bytes) -> None:
        self._backend.put(self._name, data)

    def release(self) -> None:
        self._backend.delete(self._name)


@contextmanager
def _room() -> Iterator[None]:
    """Tell failures of the local disk, on which packs wait until they are sent."""
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else RepositoryError
        raise kind(
            f"a pack could not be written to {tempfile.gettempdir()}: {error.strerror}",
            "packs wait there until they are sent: see to it, or set TMPDIR",
        ) from error


def _get(store: ObjectStore, name: str) -> bytes:
    result = obstore.get(store, name)
    return bytes(_whole(result.bytes(), result.meta["size"]))


def _read(store: ObjectStore, name: str, offset: int, length: int) -> Buffer:
    try:
        result = obstore.get(store, name, options={"range": (offset, offset + length)})
    except Exception as error:
        if is_behind_the_end(error):
            return b""
        raise
    return _whole(result.bytes(), min(length, result.meta["size"] - offset))


def _whole(data: obstore.Bytes, wanted: int) -> memoryview:
    if len(data) != wanted:
        raise Again(f"{len(data)} bytes of {wanted} came")
    return memoryview(data)


def _list(store: ObjectStore, prefix: str) -> list[Stat]:
    pages = obstore.list(store, prefix or None, chunk_size=_AT_ONCE)
    return [Stat(one["path"], one["size"]) for page in pages for one in page]


def _delete(store: ObjectStore, names: list[str]) -> None:
    try:
        obstore.delete(store, names)
    except FileNotFoundError as error:
        if not is_absence(error):
            raise
        # stores that have no request for many names at once stop at the first that is not there
        if len(names) > 1:
            for name in names:
                _delete(store, [name])
