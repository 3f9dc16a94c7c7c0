"""A repository: its config, and the parts that work on it, made once and handed on."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from palatine.backends.base import Backend
from palatine.clock import SYSTEM, Clock
from palatine.errors import CatalogFailed, Exists, NoRepository, NotFound
from palatine.events import SILENT, Reporter
from palatine.ids import DIGESTS, Digest, Kind, ObjectId
from palatine.model.config import FORMAT_VERSION, Chunking, Config, decode_config, encode_config
from palatine.model.names import snapshot_key, snapshot_name
from palatine.store.catalog import Catalog
from palatine.store.forgotten import ForgottenSnapshots
from palatine.store.index import Index
from palatine.store.reader import Reader
from palatine.store.snapshots import Snapshots, Stored

if TYPE_CHECKING:
    # Who only reads a list need not load them: 6 ms of a start.
    from palatine.backends.cached import BlockCache
    from palatine.store.encoder import Parts
    from palatine.store.session import Session
    from palatine.store.writer import Writer

CONFIG = "config"


@dataclass(frozen=True)
class Settings:
    """What a user may turn: threads that encode, and seconds between a session's heartbeats.

    `fence_seconds`: a collector takes a session for dead whose heart has not beaten for so long.
    """

    workers: int = field(default_factory=lambda: max(2, min(8, os.cpu_count() or 2)))
    beat_seconds: float = 60.0
    fence_seconds: float = 600.0


class Repository:
    """An open repository. Close it, or use it as a context manager."""

    def __init__(
        self,
        backend: Backend,
        cache: Path | None,
        settings: Settings | None = None,
        reporter: Reporter = SILENT,
        clock: Clock = SYSTEM,
    ) -> None:
        """Open what a backend holds; `cache` is the user's cache directory, None for none.

        Raises NoRepository, Malformed or FormatTooNew.
        """
        self.backend = backend
        self.reporter = reporter
        self.clock = clock
        self.settings = settings or Settings()
        self.config = _read_config(backend)
        self.digest = Digest(self.config.digest)
        self.cache = cache / self._cache_name() if cache else None
        """Where derived facts about this repository lie; nobody else's."""
        self.catalog = Catalog(self.cache / "catalog.db" if self.cache else None)
        self.index = Index(backend, self.catalog, self.digest)
        self.snapshots = Snapshots(backend, self.catalog, self.digest)
        self.forgotten = ForgottenSnapshots(backend, self.digest)
        self.reader = Reader(backend, self.catalog, self.digest, self.refresh)
        self.blocks: BlockCache | None = None
        """What is kept here of packs that are far away; see `Reader.blocks`."""
        if backend.is_far and self.cache is not None:
            from palatine.backends.cached import BlockCache

            self.blocks = self.reader.blocks = BlockCache(backend, self.cache / "blocks")

    @staticmethod
    def create(backend: Backend, digest: str = DIGESTS[0]) -> None:
        """Make an empty repository; raises Exists where there is one."""
        Digest(digest)
        config = Config(FORMAT_VERSION, secrets.token_hex(16), digest, Chunking())  # type: ignore[arg-type]
        # looked for first: a store that does not heed put-if-absent would overwrite it
        if _has_config(backend) or not backend.create(CONFIG, encode_config(config)):
            raise Exists(f"there is a repository at {backend.location} already")

    @property
    def parts(self) -> Parts:
        """What those who write objects work on."""
        from palatine.store.encoder import Parts

        return Parts(self.backend, self.catalog, self.index, self.reader, self.digest)

    def refresh(self) -> dict[bytes, int]:
        """Learn what the repository holds now, and return the packs that are listed.

        A catalog that fails is made again.
        """
        try:
            listed = self.index.refresh(self.reporter)
        except CatalogFailed as error:
            self.reporter.notice(f"{error}; it is made again")
            self.catalog.clear()
            listed = self.index.refresh(self.reporter)
        self.reader.forget()
        return listed

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's verified bytes; see `Reader.get`."""
        return self.reader.get(kind, object_id)

    def expect(self, ids: Iterable[ObjectId]) -> None:
        """Hear which objects will be asked for soon; see `Reader.expect`."""
        self.reader.expect(ids)

    def list_snapshots(self, reread: bool = False) -> list[Stored]:
        """Return all snapshots, oldest first; see `Snapshots.all`."""
        try:
            return self.snapshots.all(self.reporter, reread)
        except CatalogFailed as error:
            self.reporter.notice(f"{error}; it is made again")
            self.catalog.clear()
            return self.snapshots.all(self.reporter, reread)

    @contextmanager
    def writing(self, tenant: str, palace: str, time_us: int) -> Iterator[tuple[Session, Writer]]:
        """Begin a session whose snapshot will have this time, and a writer for its objects."""
        with self.writing_all([(tenant, palace, time_us)]) as (sessions, writer):
            yield sessions[0], writer

    @contextmanager
    def writing_all(
        self, wanted: Sequence[tuple[str, str, int]]
    ) -> Iterator[tuple[list[Session], Writer]]:
        """Begin a session for each of some tenants, palaces and times; they share one writer.

        Every snapshot has its own key and announcement: a collector that gives one up keeps waiting
        for the others. What is condemned is read when all of them are announced.
        """
        from palatine.store.session import Session
        from palatine.store.writer import Writer

        with ExitStack() as stack:
            sessions = [
                stack.enter_context(
                    Session(
                        self.backend,
                        snapshot_name(
                            tenant, palace, snapshot_key(time_us, secrets.token_bytes(8))
                        ),
                        self.settings.beat_seconds,
                        self.reporter,
                    )
                )
                for tenant, palace, time_us in wanted
            ]
            listed = self.refresh().keys() - frozenset().union(*(one.condemned for one in sessions))
            usable = frozenset(row.n for row in self.catalog.packs() if row.name in listed)
            writer = Writer(self.parts, usable, self.settings.workers)
            try:
                yield sessions, writer
            finally:
                writer.close()

    def close(self) -> None:
        """Let go of files."""
        if self.blocks is not None:
            self.blocks.close()
        self.catalog.close()
        self.backend.close()

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cache_name(self) -> str:
        # Copies of a repository keep its id: each place has a catalog of its own.
        place = hashlib.sha256(self.backend.location.encode("utf-8", "surrogateescape"))
        return f"{self.config.id}-{place.hexdigest()[:16]}"


def _has_config(backend: Backend) -> bool:
    with suppress(NotFound):
        backend.get(CONFIG)
        return True
    return False


def _read_config(backend: Backend) -> Config:
    try:
        data = backend.get(CONFIG)
    except NotFound:
        raise NoRepository(
            f"there is no repository at {backend.location}", "make one with: pal init"
        ) from None
    return decode_config(data)
