"""Copying snapshots from a supplier to a receiver: which ones, how fast, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from palatine.clock import Clock
from palatine.errors import AmbiguousRevision, Malformed, Refused, UnknownRevision
from palatine.events import Reporter
from palatine.ids import Digest, ObjectId
from palatine.model.names import DEFAULT_TENANT, join_palace, snapshot_key
from palatine.model.snapshot import Snapshot, decode_snapshot_file
from palatine.ops import revisions
from palatine.store.snapshots import Stored
from palatine.sync.roles import (
    SHORT,
    Answer,
    Identity,
    Offer,
    Receiver,
    SnapshotFile,
    Supplier,
)
from palatine.sync.ssh import Begun
from palatine.sync.watched import Watched

_HEX = re.compile(r"[0-9a-f]{8,64}\Z")


@dataclass(frozen=True)
class Choice:
    """Which snapshots: of palaces or single ones by name (`what`), and of these all that fit.

    `since_us`: none that is older. Empty: all there are.
    """

    what: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    since_us: int | None = None


@dataclass(frozen=True)
class Options:
    """What is copied, at how many bytes a second at most; `dry_run`: nothing, it is only told.

    `ssh` is the command, with arguments, that reaches other hosts; `begun` may run it already.
    """

    choice: Choice = field(default_factory=Choice)
    dry_run: bool = False
    bandwidth: int | None = None
    ssh: str = "ssh"
    begun: Begun | None = None


@dataclass(frozen=True)
class Moved:
    """A snapshot that was, or would be, copied."""

    id: ObjectId
    snapshot: Snapshot

    @property
    def palace(self) -> str:
        """The palace's name as people write it."""
        return join_palace(self.snapshot.tenant, self.snapshot.palace)


@dataclass(frozen=True)
class Copied:
    """What was copied, `sent` bytes of it; and how many snapshots were not, because of what.

    `failed` says of snapshots that could not be had why; an id may be cut short. `damaged` are the
    supplier's snapshot files that cannot be read: which snapshots they were, nobody knows.
    `tagged` got a tag that they lacked.
    """

    snapshots: tuple[Moved, ...] = ()
    failed: tuple[tuple[ObjectId, str], ...] = ()
    tagged: int = 0
    forgotten: int = 0
    closed: int = 0
    damaged: tuple[str, ...] = ()
    objects: int = 0
    sent: int = 0


def check_digests(one: Identity, other: Identity) -> None:
    """Raise Refused unless two repositories name objects by the same digest."""
    if one.digest != other.digest:
        raise Refused(
            f"{one.location} names objects by {one.digest}, {other.location} by {other.digest}",
            "restore and snapshot into the other one, or begin it anew: pal init --hash",
        )


def copy(
    supplier: Supplier,
    receiver: Receiver,
    options: Options,
    surroundings: tuple[Reporter, Clock],
    known: Iterable[Offer] = (),
) -> Copied:
    """Copy what the receiver lacks of the snapshots that are chosen.

    `known`: what the receiver is known to have is not asked for again.
    Raises Refused for different digests, UnknownRevision and AmbiguousRevision for what is not
    there.
    """
    reporter, clock = surroundings
    check_digests(supplier.identity, receiver.identity)
    watched = Watched(supplier, reporter, options.bandwidth, clock)
    rest, named = _chosen(supplier, options.choice, clock.now_us())
    there = {one.short: {*one.tags} for one in known}
    rest = [one for one in rest if one.short not in there or not {*one.tags} <= there[one.short]]
    told = [
        (offers, receiver.lacks(offers, force))
        for offers, force in ((rest, False), (named, True))
        if offers
    ]
    lacking = [offers[at] for offers, answer in told for at in answer.lacking]
    tags = [(offers[at].short, labels) for offers, answer in told for at, labels in answer.untagged]
    shorts = [one.short for one in sorted(lacking, key=lambda one: one.seconds)]
    noted: dict[ObjectId, Moved] = {}
    bad: list[tuple[bytes, str]] = []
    files = _noting(supplier, shorts, noted, bad)
    counts = _counts([answer for _, answer in told])
    if options.dry_run:
        for _ in files:
            pass
        return Copied(tuple(noted.values()), tuple(bad), len(tags), *counts, supplier.damaged)
    if tags:
        receiver.tag(tags)
    if not shorts:
        return Copied((), (), len(tags), *counts, supplier.damaged)
    received = receiver.receive(files, watched)
    done = tuple(noted[one] for one in received.done if one in noted)
    return Copied(
        done,
        (*received.failed, *bad),
        len(tags),
        *counts,
        supplier.damaged,
        received.objects,
        watched.sent,
    )


def _counts(answers: Sequence[Answer]) -> tuple[int, int]:
    return sum(len(one.forgotten) for one in answers), sum(len(one.closed) for one in answers)


def _noting(
    supplier: Supplier,
    shorts: Sequence[bytes],
    noted: dict[ObjectId, Moved],
    bad: list[tuple[bytes, str]],
) -> Iterator[SnapshotFile]:
    """Yield the files of snapshots, and note what they are, and which are damaged."""
    for at, file in enumerate(supplier.files(shorts) if shorts else ()):
        try:
            moved = _decoded(file, supplier.identity)
        except Malformed as error:
            bad.append((file.data[8:40] or shorts[at], str(error)))
            continue
        noted[moved.id] = moved
        yield file


def _decoded(file: SnapshotFile, identity: Identity) -> Moved:
    decoded = decode_snapshot_file(
        file.data, f"a snapshot of {identity.location}", Digest(identity.digest)
    )
    if decoded is None:
        raise Malformed(f"{identity.location} gave a snapshot that is none")
    return Moved(*decoded)


def _chosen(supplier: Supplier, choice: Choice, now_us: int) -> tuple[list[Offer], list[Offer]]:
    """Return the offers that are chosen, and apart from them those that were named one by one."""
    offers = supplier.offers()
    named: list[Offer] = []
    if choice.what:
        palaces = {one.palace for one in offers}
        wanted = {word.removeprefix(f"{DEFAULT_TENANT}/") for word in choice.what} & palaces
        words = [
            word for word in choice.what if word.removeprefix(f"{DEFAULT_TENANT}/") not in palaces
        ]
        named = _named(supplier, offers, words, now_us)
        offers = [one for one in offers if one.palace in wanted and one not in named]
    return [one for one in offers if _fits(one, choice)], named


def _fits(offer: Offer, choice: Choice) -> bool:
    tenant = offer.palace.rpartition("/")[0] or DEFAULT_TENANT
    return (
        (not choice.tenants or tenant in choice.tenants)
        and (not choice.tags or bool({*choice.tags} & {*offer.tags}))
        and (choice.since_us is None or offer.seconds >= choice.since_us // 1_000_000)
    )


def _named(
    supplier: Supplier, offers: Sequence[Offer], words: Sequence[str], now_us: int
) -> list[Offer]:
    by_short = {one.short: one for one in offers}
    found: dict[bytes, Offer] = {}
    stored: list[Stored] | None = None
    for word in words:
        if _HEX.match(word):
            some = [one for one in offers if one.short.hex().startswith(word[: 2 * SHORT])]
            if len(some) > 1:
                raise AmbiguousRevision(f"{word!r} could be {len(some)} snapshots", "write more")
            if not some:
                raise UnknownRevision(f"{supplier.identity.location} has no snapshot {word!r}")
            found[some[0].short] = some[0]
            continue
        if stored is None:
            stored = _all_stored(supplier, offers)
        one = revisions.resolve(stored, word, now_us)
        found[one.id[:SHORT]] = by_short[one.id[:SHORT]]
    return [*found.values()]


def _all_stored(supplier: Supplier, offers: Sequence[Offer]) -> list[Stored]:
    """Return all snapshots as revisions want them: what is counted back has to be known."""
    tags = {one.short: one.tags for one in offers}
    found = []
    for file in supplier.files([*tags]):
        one = _decoded(file, supplier.identity)
        key = snapshot_key(one.snapshot.time_us, bytes(8))
        found.append(Stored(one.id, key, one.snapshot, tags.get(one.id[:SHORT], ())))
    return found
