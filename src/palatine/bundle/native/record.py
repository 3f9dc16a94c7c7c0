"""What a bundle's manifest says of the snapshot it holds: everything but its trees.

Plain values as JSON has them; `record_of` makes them of a snapshot, `Record.snapshot` makes the
snapshot of them and of trees that were built from the bundle's files.
"""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Sequence
from typing import Literal

import msgspec

from palatine.errors import Malformed
from palatine.model.snapshot import (
    Artifact,
    CapturedAs,
    Health,
    Missing,
    Outside,
    Snapshot,
    Stats,
)
from palatine.model.tree import Entry, Owner
from palatine.store.snapshots import Stored

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the manifest's objects. Fields that are not known are passed over when reading."""


class Raw(Value, frozen=True):
    """A name that is no UTF-8: its bytes in base64."""

    bytes: str


Name = str | Raw
"""A name or a path: text where it is UTF-8, else `{"bytes": base64}`, as in the CLI's JSON."""


class OwnerRecord(Value, frozen=True):
    """User and group: numbers, and names as recorded."""

    uid: int
    user: str
    gid: int
    group: str


class PartRecord(Value, frozen=True):
    """An outside part: its files are below `outside/NAME`."""

    name: str
    place: Name


class StatsRecord(Value, frozen=True):
    """The snapshot's counts; `size` and `added` in bytes."""

    files: int
    directories: int
    symlinks: int
    size: int
    added: int


class ArtifactRecord(Value, frozen=True):
    """A part of the palace with a kind of its own."""

    path: Name
    kind: str
    captured: Literal["stable", "pinned", "torn"]
    health: Literal["unknown", "sound", "damaged"]


class MissingRecord(Value, frozen=True):
    """What the snapshot lacks, and why."""

    path: Name
    reason: str


class Record(Value, frozen=True):
    """A snapshot without its trees. Ids are hexadecimal, `_us` microseconds since the epoch."""

    id: str
    tenant: str
    palace: str
    time: str
    time_us: int
    wall_us: int
    host: str
    user: str
    path: Name
    parents: tuple[str, ...]
    message: str
    layout: str
    owner: OwnerRecord
    outside: tuple[PartRecord, ...]
    stats: StatsRecord
    artifacts: tuple[ArtifactRecord, ...]
    missing: tuple[MissingRecord, ...]
    program: str
    tags: tuple[str, ...]

    def snapshot(self, root: Entry, outside: Sequence[tuple[Owner, Entry]]) -> Snapshot:
        """Return the snapshot with these roots, the outside parts' in the order of `outside`.

        Raises Malformed for ids and names that are none. What the model asks of a snapshot is not
        checked: encode it and decode it again for that.
        """
        return Snapshot(
            tenant=self.tenant,
            palace=self.palace,
            time_us=self.time_us,
            wall_us=self.wall_us,
            host=self.host,
            user=self.user,
            path=raw(self.path),
            parents=tuple(_from_hex(one) for one in self.parents),
            message=self.message,
            layout=self.layout,
            owner=owner_of(self.owner),
            root=root,
            outside=tuple(
                Outside(part.name, raw(part.place), owner, entry)
                for part, (owner, entry) in zip(self.outside, outside, strict=True)
            ),
            stats=Stats(*msgspec.structs.astuple(self.stats)),
            artifacts=tuple(
                Artifact(
                    raw(one.path), one.kind, CapturedAs[one.captured.upper()],
                    Health[one.health.upper()],
                )
                for one in self.artifacts
            ),
            missing=tuple(Missing(raw(one.path), one.reason) for one in self.missing),
            program=self.program,
        )  # fmt: skip


def record_of(stored: Stored) -> Record:
    """Return the record of a snapshot. `time` is its moment in RFC 3339, for people."""
    one = stored.snapshot
    moment = _EPOCH + datetime.timedelta(microseconds=one.time_us)
    return Record(
        id=stored.id.hex(),
        tenant=one.tenant,
        palace=one.palace,
        time=f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
        time_us=one.time_us,
        wall_us=one.wall_us,
        host=one.host,
        user=one.user,
        path=name(one.path),
        parents=tuple(parent.hex() for parent in one.parents),
        message=one.message,
        layout=one.layout,
        owner=owner_record(one.owner),
        outside=tuple(PartRecord(name=part.name, place=name(part.place)) for part in one.outside),
        stats=StatsRecord(**msgspec.structs.asdict(one.stats)),
        artifacts=tuple(
            ArtifactRecord(
                path=name(part.path), kind=part.kind,
                captured=part.captured.name.lower(),  # type: ignore[arg-type]  # the enum's names
                health=part.health.name.lower(),  # type: ignore[arg-type]
            )
            for part in one.artifacts
        ),
        missing=tuple(MissingRecord(path=name(gap.path), reason=gap.reason) for gap in one.missing),
        program=one.program,
        tags=tuple(sorted(stored.tags)),
    )  # fmt: skip


def name(value: bytes) -> Name:
    """Return a name as the manifest has it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Raw(bytes=base64.b64encode(value).decode())


def raw(value: Name) -> bytes:
    """Return a name's bytes; raises Malformed for what is no base64, or need not be."""
    if isinstance(value, str):
        return value.encode()
    data = unbase64(value.bytes)
    if name(data) != value:
        raise Malformed("a name in the manifest is in base64 without need")
    return data


def unbase64(text: str) -> bytes:
    """Return bytes from base64; raises Malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"the manifest holds {text[:40]!r}, which is no base64") from None


def owner_record(owner: Owner) -> OwnerRecord:
    """Return an owner as the manifest has it."""
    return OwnerRecord(**msgspec.structs.asdict(owner))


def owner_of(record: OwnerRecord) -> Owner:
    """Return the owner that a manifest names."""
    return Owner(record.uid, record.user, record.gid, record.group)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Malformed(f"the manifest holds {text[:80]!r}, which is no id") from None
