"""Several actors on one repository, of whom one moves at a time: a random order, from a seed.

Each actor is a thread with a backend of its own onto the same files. Before each call to its
backend it may have to wait, for any number of calls of the others. A seed decides who moves, and
who crashes when; threads inside of one actor are not ordered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from random import Random

from palatine.backends.base import Backend, Hold, Stat, Upload
from palatine.backends.memory import MemoryBackend
from palatine.ids import Buffer
from palatine.testing.builders import FakeClock
from palatine.testing.faulty import FaultyBackend


class Turns:
    """Says whose turn it is."""

    def __init__(self, seed: int, switching: float = 0.3) -> None:
        self.random = Random(seed)
        self._switching = switching
        self._changed = threading.Condition()
        self._alive: list[str] = []
        self._current = ""

    def run(self, actors: dict[str, Callable[[], None]]) -> dict[str, BaseException]:
        """Let all actors move until each has ended; return what was raised by whom."""
        errors: dict[str, BaseException] = {}
        self._alive = [*actors]
        self._current = self.random.choice(self._alive)

        def act(name: str) -> None:
            self.wait(name, 0)
            try:
                actors[name]()
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                errors[name] = error
            finally:
                self._end(name)

        threads = [threading.Thread(target=act, args=(name,)) for name in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads), f"stuck: {self._alive}"
        return errors

    def wait(self, name: str, switching: float | None = None) -> None:
        """Let somebody else move, perhaps, and return when it is this actor's turn."""
        with self._changed:
            chance = self._switching if switching is None else switching
            if self._current == name and self.random.random() < chance:
                self._choose()
            while self._current != name and name in self._alive:
                self._changed.wait(60)

    def _choose(self) -> None:
        if self._alive:
            self._current = self.random.choice(self._alive)
            self._changed.notify_all()

    def _end(self, name: str) -> None:
        with self._changed:
            self._alive.remove(name)
            self._choose()


class TurnClock(FakeClock):
    """A clock for one actor: to sleep is to let others move."""

    def __init__(self, turns: Turns, name: str, now_us: int) -> None:
        super().__init__(now_us)
        self._turns = turns
        self._name = name

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._turns.wait(self._name, 1)


class TurnBackend(Backend):
    """Waits for its actor's turn before each call."""

    def __init__(self, inner: Backend, turns: Turns, name: str) -> None:
        self._inner = inner
        self._turns = turns
        self._name = name
        self.location = inner.location

    def _turn(self) -> Backend:
        self._turns.wait(self._name)
        return self._inner

    def get(self, name: str) -> bytes:
        return self._turn().get(name)

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self._turn().read(name, offset, length)

    def put(self, name: str, data: bytes) -> None:
        self._turn().put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._turn().create(name, data)

    def upload(self) -> Upload:
        return _TurnUpload(self, self._inner.upload())

    def hold(self, name: str, data: bytes) -> Hold:
        return _TurnHold(self, self._turn().hold(name, data))

    def delete(self, name: str) -> None:
        self._turn().delete(name)

    def list(self, prefix: str) -> Iterator[Stat]:
        yield from [*self._turn().list(prefix)]


class _TurnUpload(Upload):
    def __init__(self, backend: TurnBackend, inner: Upload) -> None:
        self._backend = backend
        self._inner = inner

    def write(self, data: Buffer) -> None:
        self._inner.write(data)
        self.size = self._inner.size

    def commit(self, name: str) -> None:
        self._backend._turn()
        self._inner.commit(name)

    def close(self) -> None:
        self._inner.close()


class _TurnHold(Hold):
    def __init__(self, backend: TurnBackend, inner: Hold) -> None:
        self._backend = backend
        self._inner = inner

    def beat(self, data: bytes) -> None:
        self._inner.beat(data)

    def release(self) -> None:
        self._backend._turn()
        self._inner.release()


def backend_of(turns: Turns, name: str, files: dict[str, bytes], crash: int | None) -> TurnBackend:
    """Return an actor's backend; with `crash`, all fails after so many changes."""
    faulty = FaultyBackend(MemoryBackend(files))
    if crash is not None:
        faulty.crash_after(crash)
    return TurnBackend(faulty, turns, name)
