"""Snapshots: the commit objects, and the files they lie in."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec

from palatine.errors import FormatTooNew, Malformed, UsageError
from palatine.ids import ID_SIZE, Buffer, Digest, Kind, ObjectId
from palatine.model.encoding import Decoder, Stored, encode
from palatine.model.names import check_label, check_palace
from palatine.model.tree import Entry, Owner, check_owner, check_root

MAGIC = b"PALSNAP\x01"
TIME_MIN_US, TIME_MAX_US = 0, 253402300799_999999
"""1970 to the end of 9999: what a snapshot's key can say."""
VOID = b"PALVOID\x01"
"""What a collector puts on the key of a writer it has fenced."""


class CapturedAs(IntEnum):
    """How an artifact's bytes were taken."""

    STABLE = 0
    """Equal before and after it was read."""
    PINNED = 1
    """A committed state, held still by a lock."""
    TORN = 2
    """It went on changing while it was read."""


class Health(IntEnum):
    """What SQLite said of a database's image."""

    UNKNOWN = 0
    """Not checked, or no database."""
    SOUND = 1
    """`quick_check` found nothing."""
    DAMAGED = 2
    """`quick_check` found something, or could not read the image."""


class Artifact(Stored, frozen=True):
    """A part of the palace worth a line of its own."""

    path: bytes
    kind: str
    captured: CapturedAs
    health: Health = Health.UNKNOWN


class Missing(Stored, frozen=True):
    """Something that should be in the snapshot and is not, or not as it was."""

    path: bytes
    reason: str


class Outside(Stored, frozen=True):
    """A part of the palace that lives elsewhere: its name, its recorded place, its root."""

    name: str
    place: bytes
    owner: Owner
    root: Entry


class Stats(Stored, frozen=True):
    """What the snapshot holds: files, directories, symlinks, and bytes as a reader sees them.

    `added` are the bytes the repository grew by when it was made.
    """

    files: int
    directories: int
    symlinks: int
    size: int
    added: int


class Place(NamedTuple):
    """Where in a snapshot a path leads: a root and its owner, what the paths of all below the root
    begin with, and the path from there.
    """

    root: Entry
    owner: Owner
    prefix: bytes
    inner: bytes


class Snapshot(Stored, frozen=True):
    """A palace at a moment.

    `time_us` orders snapshots (never before the parent's), `wall_us` is what the clock said; both
    microseconds since the epoch. `path` is where the palace was on `host`; `root` is its
    directory, whose one part is the tree (a single database is a tree of one file).
    """

    tenant: str
    palace: str
    time_us: int
    wall_us: int
    host: str
    user: str
    path: bytes
    parents: tuple[ObjectId, ...]
    message: str
    layout: str
    owner: Owner
    root: Entry
    outside: tuple[Outside, ...]
    stats: Stats
    artifacts: tuple[Artifact, ...]
    missing: tuple[Missing, ...]
    program: str

    @property
    def complete(self) -> bool:
        """Whether everything that should be in it is."""
        return not self.missing

    def split(self, path: bytes) -> tuple[Outside | None, bytes]:
        """Return the outside part that a path begins in (`@NAME/…`), if any, and the rest of it."""
        if path.startswith(b"@"):
            name, _, inner = path[1:].partition(b"/")
            for part in self.outside:
                if part.name.encode() == name:
                    return part, inner
        return None, path

    def resolve(self, path: bytes) -> Place:
        """Return where a path leads: into the palace or, `@NAME/…`, into an outside part."""
        part, inner = self.split(path)
        if part is None:
            return Place(self.root, self.owner, b"", path)
        return Place(part.root, part.owner, b"@" + part.name.encode() + b"/", inner)

    @property
    def healthy(self) -> bool:
        """Whether it is complete, and no database in it is known to be damaged."""
        return self.complete and self.health != Health.DAMAGED

    @property
    def health(self) -> Health:
        """The worst that is known of its artifacts."""
        return max((one.health for one in self.artifacts), default=Health.UNKNOWN)


def _without_health(snapshot: Snapshot) -> bytes:
    """Return a snapshot's bytes as they were written before artifacts had a field for health."""
    fields = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
    fields["artifacts"] = [(one.path, one.kind, one.captured) for one in snapshot.artifacts]
    return encode(tuple(fields.values()))


_DECODER = Decoder(Snapshot, _without_health)


def encode_snapshot_file(snapshot: Snapshot, digest: Digest) -> tuple[ObjectId, bytes]:
    """Return a snapshot's id and the bytes of its file: magic, id, encoding."""
    data = encode(snapshot)
    object_id = digest.object_id(Kind.SNAPSHOT, data)
    return object_id, MAGIC + object_id + data


def decode_snapshot_file(
    data: Buffer, name: str, digest: Digest
) -> tuple[ObjectId, Snapshot] | None:
    """Return id and snapshot from a snapshot file's bytes, or None for a void.

    Raises Malformed when the bytes are not what was written, FormatTooNew for a later version.
    """
    data = bytes(data)
    if data == VOID:
        return None
    head = len(MAGIC) + ID_SIZE
    if data[:7] == MAGIC[:7] and data[7:8] > MAGIC[7:]:
        raise FormatTooNew(f"{name} was written by a newer palatine", "upgrade palatine")
    if len(data) < head or data[: len(MAGIC)] != MAGIC:
        raise Malformed(f"{name} is not a snapshot file")
    object_id, body = data[len(MAGIC) : head], data[head:]
    if digest.object_id(Kind.SNAPSHOT, body) != object_id:
        raise Malformed(f"{name} is damaged: its bytes do not have its id")
    snapshot = _DECODER.decode(body, name)
    _check(snapshot, name)
    return object_id, snapshot


def _check(snapshot: Snapshot, name: str) -> None:
    try:
        check_palace(snapshot.palace)
        check_palace(snapshot.tenant)
        for part in snapshot.outside:
            check_label(part.name, "outside part")
    except UsageError as error:
        raise Malformed(f"{name} holds a bad name: {error}") from error
    times = (snapshot.time_us, snapshot.wall_us)
    if any(not TIME_MIN_US <= time <= TIME_MAX_US for time in times):
        raise Malformed(f"{name} has an impossible time")
    if any(len(parent) != ID_SIZE for parent in snapshot.parents):
        raise Malformed(f"{name} has a parent that is no id")
    if any(count < 0 for count in msgspec.structs.astuple(snapshot.stats)):
        raise Malformed(f"{name} has impossible counts")
    for owner, root in (
        (snapshot.owner, snapshot.root),
        *((part.owner, part.root) for part in snapshot.outside),
    ):
        check_owner(owner, name)
        check_root(root, name)
