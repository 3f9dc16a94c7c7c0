"""import of a native bundle: into a repository, as the snapshot it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from palatine.bundle.age.keys import Keys
from palatine.bundle.limits import Limits
from palatine.bundle.native.intake import Intake
from palatine.bundle.native.matching import NativeBundle
from palatine.bundle.native.record import owner_of
from palatine.bundle.opening import Opened, opened
from palatine.bundle.recognise import NATIVE
from palatine.errors import Malformed, PalatineError, Refused
from palatine.ids import Kind, ObjectId
from palatine.model.names import check_label, join_palace, split_palace
from palatine.model.snapshot import Snapshot, decode_snapshot_file, encode_snapshot_file
from palatine.model.tree import Entry, EntryKind, Part
from palatine.ops.protection import PRE_RESTORE
from palatine.store.repository import Repository
from palatine.store.session import Session
from palatine.store.snapshots import Stored
from palatine.store.writer import Writer

_WHAT = "the bundle's snapshot"


@dataclass(frozen=True)
class Request:
    """What to take and as what: `file` is a file, or a directory of which the newest is taken.

    `palace` is a name for it, without one it keeps its own. `tags` are put on it, besides those it
    had when it was exported. `format` is what the user says it is; without it, that is recognised.
    `skip_verify`: another tool's archive is taken also where it is not what its digests say.
    `whole`: it is not taken when a database in it cannot be read; else the rest of it is.
    """

    file: Path
    palace: str | None = None
    tags: Sequence[str] = ()
    keys: Keys = field(default_factory=Keys)
    limits: Limits = field(default_factory=Limits)
    format: str | None = None
    skip_verify: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Imported:
    """What came of it: the snapshot that is in the repository now, `fresh` if it was not there.

    `was` is the id it was exported with; `same` says that it has that id here too, else `why` says
    why not. `added` are the bytes the repository grew by. `redacted`: secrets were taken out of it
    before it was written. `notes` are sentences on what another tool's archive could not say,
    `unverified` on what could not be checked.
    """

    file: Path
    stored: Stored
    fresh: bool
    added: int
    format: str = NATIVE
    was: str = ""
    why: str = ""
    redacted: bool = False
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all was kept that was there; what a snapshot lacked before is no matter."""
        return self.format == NATIVE or self.stored.snapshot.complete

    @property
    def same(self) -> bool:
        """Whether it is, bit for bit, the snapshot that was exported."""
        return self.stored.id.hex() == self.was


class Sink:
    """A repository's writer, with the repository to read from."""

    def __init__(self, repository: Repository, writer: Writer) -> None:
        self.put = writer.put
        self.present = writer.present
        self.name = writer.name
        self._repository = repository

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's verified bytes."""
        return self._repository.get(kind, object_id)


def import_native(repository: Repository, request: Request) -> Imported:
    """Take a native bundle into a repository; what is there of it is not stored again.

    The snapshot becomes visible when all of the bundle was read and found to be whole. Raises
    PathNotFound, SourceError, NoKey, Damaged, Malformed, Refused, and what the repository raises.
    """
    for tag in request.tags:
        check_label(tag)
    with (
        opened(request.file, request.limits, request.keys) as file,
        NativeBundle(file.stream, request.limits) as bundle,
    ):
        outline = _renamed(_outline(bundle, repository), request)
        _check_redacted(repository, request, bundle)
        repository.reporter.begin("importing", bundle.head.size)
        try:
            return _taken(repository, request, file, (bundle, outline))
        finally:
            repository.reporter.end()


def _taken(
    repository: Repository, request: Request, file: Opened, what: tuple[NativeBundle, Snapshot]
) -> Imported:
    bundle, outline = what
    with repository.writing(outline.tenant, outline.palace, outline.time_us) as (session, writer):
        intake = Intake(Sink(repository, writer), repository.config.chunking, repository.reporter)
        made = intake.take(bundle.head, bundle.entries())
        file.finish()
        made = _settled(_renamed(made, request), bundle, repository)
        writer.flush()
        tags = (*_labels(bundle.head.snapshot.tags), *request.tags)
        stored, fresh = kept(repository, session, made, (tags, request.tags))
        added = writer.added
    record = bundle.head.snapshot
    return Imported(
        request.file, stored, fresh, added, NATIVE, record.id, _why(stored, bundle, repository),
        bundle.head.redacted is not None,
    )  # fmt: skip


def _check_redacted(repository: Repository, request: Request, bundle: NativeBundle) -> None:
    """Raise Refused where a redacted snapshot would be taken for the newest of a whole palace."""
    record = bundle.head.snapshot
    if bundle.head.redacted is None or request.palace is not None:
        return
    for one in repository.list_snapshots():
        known = (one.snapshot.tenant, one.snapshot.palace) == (record.tenant, record.palace)
        if known and one.id.hex() != record.id:
            raise Refused(
                f"the bundle is redacted, and would stand among the snapshots of {one.palace}",
                "--palace NAME takes it under another name, or among them under theirs",
            )


def _outline(bundle: NativeBundle, repository: Repository) -> Snapshot:
    """Return the snapshot with empty roots, checked: before anything of it is kept."""
    record = bundle.head.snapshot
    empty = Entry(b"", EntryKind.DIRECTORY, 0, 0, 0, parts=(Part(bytes(32), 0),))
    owner = owner_of(record.owner)
    return checked(record.snapshot(empty, [(owner, empty)] * len(record.outside)), repository)


def checked(made: Snapshot, repository: Repository) -> Snapshot:
    """Return a snapshot as it will be read again; raises Malformed when it could not be."""
    try:
        _, data = encode_snapshot_file(made, repository.digest)
    except (OverflowError, UnicodeEncodeError):
        raise Malformed("the bundle's manifest holds a number or a text out of range") from None
    decoded = decode_snapshot_file(data, _WHAT, repository.digest)
    assert decoded is not None
    return decoded[1]


def _renamed(made: Snapshot, request: Request) -> Snapshot:
    if request.palace is None:
        return made
    tenant, palace = split_palace(request.palace)
    return msgspec.structs.replace(made, tenant=tenant, palace=palace)


def _settled(made: Snapshot, bundle: NativeBundle, repository: Repository) -> Snapshot:
    """Return the snapshot as it is kept here: with another digest its parents have no ids."""
    if bundle.head.digest != repository.digest.name:
        made = msgspec.structs.replace(made, parents=())
    return checked(made, repository)


def kept(
    repository: Repository,
    session: Session,
    made: Snapshot,
    tags: tuple[Sequence[str], Sequence[str]],
) -> tuple[Stored, bool]:
    """Return the snapshot in the repository, and whether it was not there before.

    `tags` are those that a new one gets, and those that one which is there gets. One that was
    forgotten, or just is being so, comes back: somebody wishes for it.
    """
    object_id, data = encode_snapshot_file(made, repository.digest)
    forgotten = [
        one for one in repository.forgotten.all(repository.reporter) if one.id == object_id
    ]
    there = [one for one in repository.list_snapshots() if one.id == object_id]
    for one in there:
        if repository.forgotten.entry_of(one) is None:
            for tag in tags[1]:
                repository.snapshots.add_tag(one, tag)
            return one._replace(tags=tuple(sorted({*one.tags, *tags[1]}))), False
    # a restore looks for this tag to find what was there before it: not in another's snapshots
    labels = {*tags[0], *(tag for one in there for tag in one.tags)} - {PRE_RESTORE}
    stored = Stored(object_id, session.key, made, tuple(sorted(labels)))
    for tag in stored.tags:
        repository.snapshots.add_tag(stored, tag)
    session.commit(data)
    repository.snapshots.delete(there)
    for entry in forgotten:
        repository.forgotten.take(entry)
    return stored, True


def _labels(tags: Sequence[str]) -> list[str]:
    found = []
    for tag in tags:
        try:
            found.append(check_label(tag))
        except PalatineError as error:
            raise Malformed(f"the bundle's manifest holds a bad tag: {error}") from error
    return found


def _why(stored: Stored, bundle: NativeBundle, repository: Repository) -> str:
    """Return why a snapshot has another id than it was exported with, in words; else nothing."""
    record = bundle.head.snapshot
    if stored.id.hex() == record.id:
        return ""
    if (record.tenant, record.palace) != (stored.snapshot.tenant, stored.snapshot.palace):
        return f"it was a snapshot of {join_palace(record.tenant, record.palace)}"
    if bundle.head.digest != repository.digest.name:
        return f"ids here are of {repository.digest.name}, and it comes from {bundle.head.digest}"
    return "it was made by another version, which recorded or cut something in another way"
