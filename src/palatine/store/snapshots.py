"""The snapshots and tags of a repository: small files, listed each time, read once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from palatine.backends.base import Backend
from palatine.codec.seal import unseal
from palatine.errors import Malformed, PalatineError
from palatine.events import Reporter
from palatine.ids import Digest, ObjectId
from palatine.model.names import (
    check_key,
    check_label,
    escape,
    join_palace,
    key_time,
    snapshot_name,
    tag_prefix,
    unescape,
)
from palatine.model.snapshot import Snapshot, decode_snapshot_file
from palatine.store.catalog import Catalog

SNAPSHOTS = "snapshots/"
TAGS = "tags/"
_TAG_PARTS = 5
"""Parts of a tag's name: tags, tenant, palace, key, tag."""


class Stored(NamedTuple):
    """A snapshot, its id, its key and its tags."""

    id: ObjectId
    key: str
    snapshot: Snapshot
    tags: tuple[str, ...]

    @property
    def palace(self) -> str:
        """The palace's name as people write it."""
        return join_palace(self.snapshot.tenant, self.snapshot.palace)

    @property
    def name(self) -> str:
        """Where its file lies in the repository."""
        return snapshot_name(self.snapshot.tenant, self.snapshot.palace, self.key)


class Snapshots:
    """Every snapshot of a repository, as of the last `refresh`."""

    def __init__(self, backend: Backend, catalog: Catalog, digest: Digest) -> None:
        self._backend = backend
        self._catalog = catalog
        self._digest = digest
        self.damaged: dict[str, str] = {}
        """Names of snapshot files that cannot be used, and why."""
        self._twins: dict[ObjectId, list[Stored]] = {}

    def all(self, reporter: Reporter, reread: bool = False) -> list[Stored]:
        """Return all snapshots, oldest first; damaged ones are told to the reporter.

        `reread` trusts no copy in the catalog: each file is read where it lies.

        Snapshots of equal id (pushed twice under two keys) are one: the one with the least key. It
        bears the tags of all of them.
        """
        files = self._read_all() if reread else self._files()
        tags = self._tags()
        self.damaged = {}
        found: dict[ObjectId, list[Stored]] = {}
        for name, data in sorted(files.items(), key=lambda item: item[0].rpartition("/")[2]):
            try:
                stored = self._decode_or_reread(name, data, tags)
            except PalatineError as error:
                self.damaged[name] = str(error)
                reporter.notice(str(error))
                continue
            if stored is not None:
                found.setdefault(stored.id, []).append(stored)
        self._twins = found
        joined = [_joined(twins) for twins in found.values()]
        return sorted(joined, key=lambda one: (one.snapshot.time_us, one.key))

    def add_tag(self, stored: Stored, tag: str) -> None:
        """Put a tag on a snapshot; one it bears already is no error."""
        self._backend.create(self._tag_name(stored, tag), b"")

    def remove_tag(self, stored: Stored, tag: str) -> None:
        """Take a tag from a snapshot, under whatever key it lies."""
        for one in self._twins.get(stored.id, [stored]):
            self._backend.delete(self._tag_name(one, tag))

    def read(self, stored: Stored) -> bytes:
        """Return the bytes of a snapshot's file as they lie in the repository."""
        return self._backend.get(stored.name)

    def tags_now(self, snapshots: Iterable[Stored]) -> dict[ObjectId, set[str]]:
        """Return the tags that snapshots bear now: one listing for all of them."""
        tags = self._tags()
        return {one.id: {*tags.get(_tag_folder(one), ())} for one in snapshots}

    def delete(self, snapshots: Iterable[Stored]) -> None:
        """Delete snapshot files, then their tags; their bytes must have been kept elsewhere."""
        names = {_tag_folder(one): one.name for one in snapshots}
        self._backend.delete_all(names.values())
        tags = (stat.name for stat in self._backend.list(TAGS))
        self._backend.delete_all(tag for tag in tags if tag.rpartition("/")[0] + "/" in names)

    def _tag_name(self, stored: Stored, tag: str) -> str:
        return _tag_folder(stored) + escape(check_label(tag))

    def _files(self) -> dict[str, bytes]:
        listed = {stat.name: stat.size for stat in self._backend.list(SNAPSHOTS)}
        known = self._catalog.snapshot_files()
        # a file of another size than it had is read again: immutable files do not change
        wanted = [
            name for name, size in listed.items() if len(known.get(name, b"")) != size or not size
        ]
        fresh = dict(self._backend.get_all(wanted))  # without those forgotten since the listing
        gone = known.keys() - listed.keys()
        if fresh or gone:
            self._catalog.set_snapshot_files(fresh, gone)
        return {name: data for name, data in (known | fresh).items() if name in listed}

    def _read_all(self) -> dict[str, bytes]:
        return dict(self._backend.get_all(stat.name for stat in self._backend.list(SNAPSHOTS)))

    def _decode_or_reread(
        self, name: str, data: bytes, tags: dict[str, list[str]]
    ) -> Stored | None:
        """Decode what may be the catalog's copy of a file; where that is bad, the file itself."""
        try:
            return self._decode(name, data, tags)
        except Malformed:
            actual = self._backend.get(name)
            if actual == data:
                raise
            stored = self._decode(name, actual, tags)
            self._catalog.set_snapshot_files({name: actual}, ())
            return stored

    def _decode(self, name: str, data: bytes, tags: dict[str, list[str]]) -> Stored | None:
        stored = decode_stored(name, data, self._digest)
        if stored is None:
            return None
        return stored._replace(tags=tuple(sorted(tags.get(_tag_folder(stored), ()))))

    def _tags(self) -> dict[str, list[str]]:
        tags: dict[str, list[str]] = {}
        for stat in self._backend.list(TAGS):
            tag = _tag(stat.name)
            if tag is not None:
                tags.setdefault(stat.name.rpartition("/")[0] + "/", []).append(tag)
        return tags


def _joined(twins: Sequence[Stored]) -> Stored:
    """Return the first of some snapshots of equal id, with the tags of all."""
    return twins[0]._replace(tags=tuple(sorted({tag for one in twins for tag in one.tags})))


def _tag_folder(stored: Stored) -> str:
    return tag_prefix(stored.snapshot.tenant, stored.snapshot.palace, stored.key)


def _tag(name: str) -> str | None:
    """Return the tag that a file of tags/ is, or None for a name palatine does not write."""
    try:
        return check_label(unescape(name.rpartition("/")[2]))
    except PalatineError:
        return None


def foreign_tags(names: Iterable[str]) -> list[str]:
    """Return which of some names below tags/ are none that palatine writes."""
    return [name for name in names if len(name.split("/")) != _TAG_PARTS or _tag(name) is None]


def decode_stored(name: str, data: bytes, digest: Digest) -> Stored | None:
    """Return the snapshot in a snapshot file's bytes, without its tags, or None for a void.

    Raises Malformed also where the file is not named as what it holds; FormatTooNew.
    """
    decoded = decode_snapshot_file(unseal(data), name, digest)
    if decoded is None:
        return None
    object_id, snapshot = decoded
    key = check_key(name.rpartition("/")[2])
    fits = key.startswith(key_time(snapshot.time_us))
    if not fits or name != snapshot_name(snapshot.tenant, snapshot.palace, key):
        raise Malformed(f"{name} holds another snapshot than its name says")
    return Stored(object_id, key, snapshot, ())


def newest(snapshots: Iterable[Stored]) -> Stored | None:
    """Return the newest of some snapshots."""
    return max(snapshots, key=lambda one: (one.snapshot.time_us, one.key), default=None)
