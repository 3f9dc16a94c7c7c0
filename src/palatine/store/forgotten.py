"""Forgotten snapshots: what forget took away, whole until gc collects it, then only its id.

    forgotten/TENANT/PALACE/KEY        the snapshot file's bytes: it can be brought back
    forgotten/TENANT/PALACE/KEY-ID     empty, ID in 64 hexadecimal digits: gc has collected it

Both at once: collected. A snapshot of which a file stands under `snapshots/` too, under whatever
key, is not forgotten: forget was killed before it had deleted that, or the snapshot was brought
back. So each step here may be done again, and none has to be undone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

from palatine.backends.base import Backend
from palatine.errors import NotFound, PalatineError
from palatine.events import Reporter
from palatine.ids import Digest, ObjectId
from palatine.model.names import check_palace, join_palace, unescape
from palatine.store.snapshots import SNAPSHOTS, Stored, decode_stored

FORGOTTEN = "forgotten/"
_COLLECTED = re.compile(r"(?P<key>.+Z-[0-9a-f]{16})-(?P<id>[0-9a-f]{64})\Z")


class Forgotten(NamedTuple):
    """A snapshot that was forgotten; `stored` is None once gc has collected it.

    `name` is where the snapshot's bytes lie, or lay, below `forgotten/`.
    """

    id: ObjectId
    name: str
    stored: Stored | None

    @property
    def key(self) -> str:
        """The key it had: its time, and random digits."""
        return self.name.rpartition("/")[2]

    @property
    def palace(self) -> str:
        """The palace's name as people write it."""
        tenant, palace = self.name.split("/")[1:3]
        return join_palace(unescape(tenant), unescape(palace))


class ForgottenSnapshots:
    """What lies under `forgotten/`: read anew by each call."""

    def __init__(self, backend: Backend, digest: Digest) -> None:
        self._backend = backend
        self._digest = digest
        self.damaged: dict[str, str] = {}
        """Names of entries that cannot be used, and why."""

    def put(self, name: str, data: bytes) -> None:
        """Keep the bytes of the snapshot file `name` (`snapshots/…`) before it is deleted.

        Repeating it is no error: whoever forgets the same snapshot again puts the same bytes.
        """
        self._backend.put(_forgotten_name(name), data)

    def all(self, reporter: Reporter) -> list[Forgotten]:
        """Return every entry, oldest first, the collected ones too; damaged ones are told.

        Who asks leaves out those whose id a present snapshot has. Entries of equal id (forgotten,
        brought back, forgotten again) are one: the one with the greatest key that can be brought
        back, else any.
        """
        whole, collected = self._listed()
        found: dict[ObjectId, Forgotten] = {
            object_id: Forgotten(object_id, name, None) for name, object_id in collected.items()
        }
        found |= {one.id: one for one in self._whole(whole - collected.keys(), reporter)}
        return sorted(found.values(), key=lambda one: one.key)

    def whole(self, reporter: Reporter) -> list[Forgotten]:
        """Return every entry that gc has not collected, also several of equal id."""
        names, collected = self._listed()
        return [*self._whole(names - collected.keys(), reporter)]

    def ids(self) -> set[ObjectId]:
        """Return the ids of those that gc has collected: a listing tells them."""
        return set(self._listed()[1].values())

    def entry_of(self, stored: Stored) -> Forgotten | None:
        """Return what lies here under a snapshot's key: it was, or is being, forgotten.

        None also for one that gc has collected.
        """
        name = _forgotten_name(stored.name)
        names, collected = self._listed()
        whole = name in names and name not in collected
        return Forgotten(stored.id, name, stored) if whole else None

    def among(self, snapshots: Iterable[Stored]) -> set[ObjectId]:
        """Return the ids of those that somebody is forgetting, or began to."""
        names, _ = self._listed()
        return {one.id for one in snapshots if _forgotten_name(one.name) in names}

    def read(self, entry: Forgotten) -> bytes:
        """Return the bytes of a snapshot's file as they were put here; raises NotFound."""
        return self._backend.get(entry.name)

    def collect(self, entries: Iterable[Forgotten]) -> None:
        """Keep nothing of snapshots but their ids; their data is about to go."""
        entries = [*entries]
        self._backend.create_all(f"{one.name}-{one.id.hex()}" for one in entries)
        self._backend.delete_all(one.name for one in entries)

    def take(self, entry: Forgotten) -> None:
        """Remove what stands here of a snapshot that has been brought back under another key."""
        self._backend.delete(entry.name)
        self._backend.delete(f"{entry.name}-{entry.id.hex()}")

    def _whole(self, names: Set[str], reporter: Reporter) -> Iterator[Forgotten]:
        self.damaged = {}
        for name in sorted(names, key=lambda one: one.rpartition("/")[2]):
            try:
                stored = self._read(name)
            except NotFound:
                continue  # taken or collected since the listing
            except PalatineError as error:
                self.damaged[name] = str(error)
                reporter.notice(str(error))
                continue
            if stored is not None:
                yield Forgotten(stored.id, name, stored)

    def _listed(self) -> tuple[set[str], dict[str, ObjectId]]:
        """Return the names of whole entries, and of collected ones with their ids."""
        whole: set[str] = set()
        collected: dict[str, ObjectId] = {}
        for stat in self._backend.list(FORGOTTEN):
            folder, _, last = stat.name.rpartition("/")
            if not _is_folder(folder):
                continue
            match = _COLLECTED.match(last)
            if match:
                collected[f"{folder}/{match['key']}"] = bytes.fromhex(match["id"])
            else:
                whole.add(stat.name)
        return whole, collected

    def _read(self, name: str) -> Stored | None:
        data = self._backend.get(name)
        return decode_stored(SNAPSHOTS + name.removeprefix(FORGOTTEN), data, self._digest)


def _forgotten_name(snapshot_name: str) -> str:
    return FORGOTTEN + snapshot_name.removeprefix(SNAPSHOTS)


def _is_folder(folder: str) -> bool:
    """Whether a folder is one that palatine made: of a tenant and a palace."""
    try:
        _, tenant, palace = folder.split("/")
        check_palace(unescape(tenant))
        check_palace(unescape(palace))
    except (ValueError, PalatineError):
        return False
    return True
