"""The writer's side of the concurrency protocol (docs/format.md, "Concurrency").

1. choose the snapshot key and put `sessions/RANDOM` that names it; beat it from then on
2. read `condemned/`, then the index, then list the packs: what lies in condemned packs is absent
3. put packs, then the index segment
4. commit: put the snapshot only if nothing has its key; a void there means we were given up

Whoever began after a condemnation relies on no condemned pack; whoever began before has committed
when the collector looks again, or never can: one key, one winner. No clock decides safety.
"""

from __future__ import annotations

import json
import secrets
import threading

from palatine.backends.base import Backend
from palatine.codec.seal import seal
from palatine.errors import Fenced, PalatineError, Unclear
from palatine.events import Reporter
from palatine.store.condemned import condemned

SESSIONS = "sessions/"


class Session:
    """A writer at work. Use as a context manager: leaving it ends the session."""

    def __init__(
        self, backend: Backend, snapshot_name: str, beat_seconds: float, reporter: Reporter
    ) -> None:
        """Announce the snapshot that is to be put under `snapshot_name`."""
        self._backend = backend
        self._name = snapshot_name
        self.key = snapshot_name.rpartition("/")[2]
        self._reporter = reporter
        self._beats = 0
        self._is_settled = True
        self._hold = backend.hold(f"{SESSIONS}{secrets.token_hex(16)}", self._announcement())
        self._ended = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(beat_seconds,), name="palatine-heartbeat", daemon=True
        )
        self._heart.start()
        try:
            self.condemned = condemned(backend)
        except BaseException:
            self.end()
            raise
        """Digests of the packs that must not be relied upon."""

    def commit(self, data: bytes) -> None:
        """Put the snapshot file. Raises Fenced when a collector took us for dead."""
        # What was sent without an answer may yet arrive, also when we are interrupted: then the
        # announcement stays until a collector closes the key.
        self._is_settled = False
        try:
            put = self._backend.create(self._name, seal(data))
        except PalatineError as error:
            self._is_settled = not isinstance(error, Unclear)
            raise
        self._is_settled = True
        if not put:
            raise Fenced(
                f"a collector took this writer for dead and closed {self._name}",
                "nothing was lost: run it again",
            )

    def end(self) -> None:
        """Withdraw the announcement, unless a snapshot may yet appear under its key."""
        self._ended.set()
        self._heart.join()
        if self._is_settled:
            self._hold.release()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _announcement(self) -> bytes:
        return json.dumps({"beat": self._beats, "snapshot": self._name}).encode()

    def _beat(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            self._beats += 1
            try:
                self._hold.beat(self._announcement())
            except PalatineError as error:
                self._reporter.notice(f"the session's heartbeat failed: {error}")
