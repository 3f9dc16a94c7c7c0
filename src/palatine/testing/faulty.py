"""A backend that fails when it is told to: scripted faults, and a crash after which nothing works.

    backend = FaultyBackend(MemoryBackend())
    backend.fail("create", nth=2, error=NoSpace("full"))       # the second create does nothing
    backend.fail("put", nth=1, after=True)                     # the first put happens, then fails
    backend.cut_reads(1)                                       # every read comes up one byte short
    backend.crash_after(7)                                     # the machine stops at the 8th change

Kinds are the names of the backend's methods, and `commit`, `write`, `beat` and `release` for what
uploads and holds do.
"""

# A backend's methods are documented once, in backends/base.py.
# ruff: noqa: D102

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from palatine.backends.base import Backend, Hold, Stat, Upload
from palatine.errors import RepositoryError
from palatine.ids import Buffer

T = TypeVar("T")

MUTATING = frozenset({"put", "create", "commit", "hold", "beat", "release", "delete"})
"""The calls that change what a repository holds."""


class Crashed(RepositoryError):
    """The machine that this backend stands for is down."""


@dataclass
class _Fault:
    kind: str
    nth: int
    error: Exception
    after: bool
    prefix: str
    forever: bool
    seen: int = field(default=0)

    def strikes(self, kind: str, name: str) -> bool:
        if kind != self.kind or not name.startswith(self.prefix):
            return False
        self.seen += 1
        return self.seen == self.nth or (self.forever and self.seen > self.nth)


class FaultyBackend(Backend):
    """Passes everything on to another backend, save where a fault was scripted."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.location = inner.location
        self.directory = inner.directory
        self.is_far = inner.is_far
        self.calls: Counter[str] = Counter()
        """How often each kind of call was made."""
        self.changes = 0
        """How many calls changed something."""
        self.crashed = False
        self.before_change: Callable[[str, str], None] = lambda kind, name: None
        """Called with kind and name before each call that changes something."""
        self._faults: list[_Fault] = []
        self._limit: int | None = None
        self._short = 0
        self._lock = threading.Lock()

    def fail(
        self,
        kind: str,
        nth: int = 1,
        error: Exception | None = None,
        *,
        after: bool = False,
        prefix: str = "",
        forever: bool = False,
    ) -> None:
        """Let the nth call of a kind (to names that begin with `prefix`) fail; `after` it took
        effect, or instead of it; `forever`: and every later one.
        """
        raised = error or RepositoryError(f"{kind} was told to fail")
        self._faults.append(_Fault(kind, nth, raised, after, prefix, forever))

    def cut_reads(self, missing: int) -> None:
        """Let every read and get come up `missing` bytes short."""
        self._short = missing

    def crash_after(self, changes: int) -> None:
        """Let everything fail once `changes` more calls have changed something."""
        self._limit = self.changes + changes

    def heal(self) -> None:
        """Forget all faults: the machine is up again."""
        self._faults.clear()
        self._limit = None
        self._short = 0
        self.crashed = False

    def get(self, name: str) -> bytes:
        return self._shortened(self._call("get", name, lambda: self.inner.get(name)))

    def read(self, name: str, offset: int, length: int) -> bytes:
        read = self._call("read", name, lambda: self.inner.read(name, offset, length))
        return self._shortened(read)

    def put(self, name: str, data: bytes) -> None:
        self._call("put", name, lambda: self.inner.put(name, data))

    def create(self, name: str, data: bytes) -> bool:
        return self._call("create", name, lambda: self.inner.create(name, data))

    def upload(self) -> Upload:
        return _FaultyUpload(self, self._call("upload", "", self.inner.upload))

    def hold(self, name: str, data: bytes) -> Hold:
        return _FaultyHold(
            self, name, self._call("hold", name, lambda: self.inner.hold(name, data))
        )

    def delete(self, name: str) -> None:
        self._call("delete", name, lambda: self.inner.delete(name))

    def is_abandoned(self, name: str) -> bool:
        return self._call("is_abandoned", name, lambda: self.inner.is_abandoned(name))

    def list(self, prefix: str) -> Iterator[Stat]:
        yield from self._call("list", prefix, lambda: [*self.inner.list(prefix)])

    def free(self) -> int | None:
        return self.inner.free()

    def close(self) -> None:
        self.inner.close()

    def _shortened(self, data: bytes) -> bytes:
        return data[: max(0, len(data) - self._short)] if self._short else data

    def _call(self, kind: str, name: str, work: Callable[[], T]) -> T:
        with self._lock:
            struck = self._strike(kind, name)
        if kind in MUTATING:
            self.before_change(kind, name)
        if struck is not None and not struck.after:
            raise struck.error
        result = work()
        if struck is not None:
            raise struck.error
        return result

    def _strike(self, kind: str, name: str) -> _Fault | None:
        self.calls[kind] += 1
        if kind in MUTATING and not self.crashed:
            if self._limit is not None and self.changes >= self._limit:
                self.crashed = True
            else:
                self.changes += 1
        if self.crashed:
            raise Crashed("the machine is down")
        struck = [fault for fault in self._faults if fault.strikes(kind, name)]
        return struck[0] if struck else None


class _FaultyUpload(Upload):
    def __init__(self, backend: FaultyBackend, inner: Upload) -> None:
        self._backend = backend
        self._inner = inner

    def write(self, data: Buffer) -> None:
        self._backend._call("write", "", lambda: self._inner.write(data))
        self.size = self._inner.size

    def commit(self, name: str) -> None:
        self._backend._call("commit", name, lambda: self._inner.commit(name))

    def close(self) -> None:
        self._inner.close()


class _FaultyHold(Hold):
    def __init__(self, backend: FaultyBackend, name: str, inner: Hold) -> None:
        self._backend = backend
        self._name = name
        self._inner = inner

    def beat(self, data: bytes) -> None:
        self._backend._call("beat", self._name, lambda: self._inner.beat(data))

    def release(self) -> None:
        self._backend._call("release", self._name, self._inner.release)
