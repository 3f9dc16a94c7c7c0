"""The two sides of a copy: a supplier gives snapshots and objects, a receiver takes what it lacks.

The receiver leads. It is offered snapshots and says which it lacks; it is given their files, walks
the trees itself, and asks for the objects that it does not hold. So it relies on nothing but what
it has looked at within its own session, whatever the other side says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from palatine.errors import Malformed, PalatineError
from palatine.ids import Buffer, Kind, ObjectId
from palatine.model.names import check_label
from palatine.model.pack import FrameKind, Member
from palatine.store.reach import Reference

SHORT = 16
"""Bytes of an id that are compared first: 500 snapshots are named in 8 kB."""

TAGS_MAX = 1000
"""Tags of one snapshot that another side may name."""


class Identity(NamedTuple):
    """What a repository says of itself: its id, its digest, and where it is, for people."""

    id: str
    digest: str
    location: str


class Offer(NamedTuple):
    """A snapshot as a list names it: the first bytes of its id, its palace, its time, its tags."""

    short: bytes
    palace: str
    seconds: int
    tags: tuple[str, ...]


class Answer(NamedTuple):
    """Of some offers, by their places in the list: those that are lacking, and why others are not.

    `forgotten` were forgotten by the receiver, `closed` are of palaces that it does not take, and
    of `untagged` it lacks these tags only.
    """

    lacking: tuple[int, ...]
    forgotten: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    untagged: tuple[tuple[int, tuple[str, ...]], ...] = ()


class SnapshotFile(NamedTuple):
    """The plain bytes of a snapshot's file, and the tags it bears."""

    data: bytes
    tags: tuple[str, ...]


class Described(NamedTuple):
    """How a supplier stores an object: a base where it is a delta, bytes stored and plain.

    `size` is -1 for an object that it cannot give.
    """

    kind: Kind
    id: ObjectId
    size: int
    length: int
    base: ObjectId = b""
    ordinal: int = 0


class Order(NamedTuple):
    """An object that is asked for, `full` if not as a delta; `length` is about what it will take.

    `base` is what it stands on, as far as that is known. What is asked for in full is read and
    verified by the supplier before it is sent.
    """

    kind: Kind
    id: ObjectId
    full: bool
    length: int = 0
    base: ObjectId = b""


class Given(NamedTuple):
    """A frame on its way: as in a pack. Without a payload: objects that cannot be given."""

    frame: FrameKind
    members: tuple[Member, ...]
    payload: Buffer
    base: ObjectId = b""
    ordinal: int = 0


class Received(NamedTuple):
    """What came of it: ids of snapshots that are there now, and of others why they are not."""

    done: tuple[ObjectId, ...]
    failed: tuple[tuple[ObjectId, str], ...]
    objects: int
    added: int


class Lost(PalatineError):
    """The other side cannot give an object that a snapshot needs."""

    code = "damaged"


class Supplier(ABC):
    """Whoever gives. Its answers are not believed."""

    identity: Identity

    damaged: tuple[str, ...] = ()
    """After `offers`: names of snapshot files that cannot be read, and so are not among them."""

    @abstractmethod
    def offers(self) -> list[Offer]:
        """Return all snapshots that may be had."""

    @abstractmethod
    def files(self, shorts: Sequence[bytes]) -> Iterator[SnapshotFile]:
        """Yield the files of snapshots, in this order; those that are gone are left out."""

    @abstractmethod
    def describe(self, wanted: Sequence[Reference], deep: bool) -> list[Described]:
        """Say how objects are stored, one by one; `deep`: and then all that they are based on."""

    @abstractmethod
    def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
        """Yield frames with these objects, in this order but for small ones, which share frames."""

    def close(self) -> None:  # noqa: B027 - a repository here has nothing to let go of
        """Let go of the other side."""


class Receiver(ABC):
    """Whoever takes."""

    identity: Identity

    @abstractmethod
    def lacks(self, offers: Sequence[Offer], named: bool) -> Answer:
        """Say which of some snapshots are lacking; `named`: also if they were forgotten."""

    @abstractmethod
    def tag(self, tags: Iterable[tuple[bytes, tuple[str, ...]]]) -> None:
        """Put tags on snapshots that are there, named by the first bytes of their ids."""

    @abstractmethod
    def receive(self, files: Iterable[SnapshotFile], supplier: Supplier) -> Received:
        """Take snapshots, oldest first, with all that they need."""


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags that another side names; raises Malformed for what is none."""
    if len(tags) > TAGS_MAX:
        raise Malformed(f"a snapshot bears {len(tags)} tags")
    try:
        return tuple(check_label(one) for one in tags)
    except PalatineError as error:
        raise Malformed(f"the other side names a bad tag: {error}") from error
