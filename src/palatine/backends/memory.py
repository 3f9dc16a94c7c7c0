"""A dictionary as a backend: for tests of everything above, with the local one's manners."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from palatine.backends.base import Backend, Hold, Stat, Upload
from palatine.errors import NotFound, RepositoryError
from palatine.ids import Buffer


class MemoryBackend(Backend):
    """Keeps files in memory. Two backends may share one `files` dictionary, as two hosts would."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        """Begin empty, or on somebody else's files."""
        self.files: dict[str, bytes] = {} if files is None else files
        self.location = "memory"
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes:
        try:
            return self.files[name]
        except KeyError:
            raise NotFound(f"the repository has no {name}") from None

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self.get(name)[offset : offset + length]

    def put(self, name: str, data: bytes) -> None:
        self.files[name] = bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        with self._lock:
            if name in self.files:
                return False
            self.put(name, data)
            return True

    def upload(self) -> Upload:
        return _MemoryUpload(self)

    def hold(self, name: str, data: bytes) -> Hold:
        if not self.create(name, data):
            raise RepositoryError(f"{name} exists")
        return _MemoryHold(self, name)

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def list(self, prefix: str) -> Iterator[Stat]:
        for name, data in sorted(self.files.items()):
            if name.startswith(prefix):
                yield Stat(name, len(data))


class _MemoryUpload(Upload):
    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._data = bytearray()

    def write(self, data: Buffer) -> None:
        self._data += data
        self.size = len(self._data)

    def commit(self, name: str) -> None:
        if not self._backend.create(name, bytes(self._data)):
            raise RepositoryError(f"{name} exists")

    def close(self) -> None:
        self._data.clear()


class _MemoryHold(Hold):
    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self._backend = backend
        self._name = name

    def beat(self, data: bytes) -> None:
        self._backend.put(self._name, data)

    def release(self) -> None:
        self._backend.delete(self._name)
