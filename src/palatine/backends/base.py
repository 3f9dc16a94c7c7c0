"""What a backend does. `palatine.testing.conformance` is the contract as tests."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from palatine.errors import NotFound
from palatine.ids import Buffer


class Stat(NamedTuple):
    """A name in the backend and the bytes of its file."""

    name: str
    size: int


class Upload(ABC):
    """A file being written, invisible until `commit`. Leaving the `with` block ends it."""

    size = 0

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Append bytes."""

    @abstractmethod
    def commit(self, name: str) -> None:
        """Make the file durable and visible under a name nothing else has."""

    @abstractmethod
    def close(self) -> None:
        """Drop what was not committed."""

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Hold(ABC):
    """A file whose owner shows that it lives; `release` deletes the file."""

    @abstractmethod
    def beat(self, data: bytes) -> None:
        """Replace the file's bytes: the heartbeat."""

    @abstractmethod
    def release(self) -> None:
        """Delete the file and let go."""


class Backend(ABC):
    """A flat space of names with slashes, in which a put is whole or absent, and durable.

    Raises NotFound for names it does not hold, ReadOnly and NoSpace where they apply, and
    RepositoryError for everything else that goes wrong below it. Safe to use from several threads.
    """

    location: str
    """How people write where it is."""

    directory: Path | None = None
    """The directory of this machine in which it is, if it is in one."""

    is_far = False
    """Whether reading takes so long that it is worth to keep what was read."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""

    @abstractmethod
    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""

    def view(self, name: str, offset: int, length: int) -> Buffer:
        """Read as `read` does; the bytes may lie where they came to, and are not to be changed."""
        return self.read(name, offset, length)

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write a file, replacing what has its name."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if nothing has its name; return whether it was written."""

    @abstractmethod
    def upload(self) -> Upload:
        """Begin a file whose name is not known yet."""

    @abstractmethod
    def hold(self, name: str, data: bytes) -> Hold:
        """Create a file that shows its owner lives for as long as it is held."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""

    def get_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and the bytes of their files; those that are not there are left out."""
        for name in names:
            with contextlib.suppress(NotFound):
                yield name, self.get(name)

    def create_all(self, names: Iterable[str]) -> None:
        """Write empty files under these names, where nothing has them; all durable at the end."""
        for name in names:
            self.create(name, b"")

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete files; those that are not there are no error. All are gone durably at the end."""
        for name in names:
            self.delete(name)

    def is_abandoned(self, name: str) -> bool:
        """Whether it is certain that nobody holds a file that `hold` made, one not there included.

        False where that cannot be told: then only the heartbeat tells.
        """
        folder = name[: name.rindex("/") + 1]
        return not any(stat.name == name for stat in self.list(folder))

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every file whose name begins with `prefix`, a folder with its final slash."""

    def sweep(self) -> int:
        """Remove what killed processes left unfinished long ago; return how many files.

        For one that still writes such a file after a day, that write fails.
        """
        return 0

    def free(self) -> int | None:
        """Return how many bytes may still be written, None where nobody knows."""
        return None

    def close(self) -> None:  # noqa: B027 - most backends have nothing open
        """Let go of whatever is open."""
