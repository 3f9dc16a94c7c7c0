"""What a format is: how a restored palace becomes another tool's archive, and such an archive a
palace that can be snapshotted.

Formats know bytes. Where an archive goes under which conditions (what is there already, encryption,
the digest beside it), and how one is decrypted and decompressed, is said by who calls them.
"""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from palatine.bundle.files import check_free
from palatine.bundle.native.manifest import BEGINNING
from palatine.bundle.tar.read import Member
from palatine.errors import Malformed, Refused, UsageError
from palatine.ids import Buffer
from palatine.model.names import DEFAULT_TENANT
from palatine.model.snapshot import TIME_MAX_US, TIME_MIN_US

MANIFEST = b"manifest.json"
MANIFEST_MAX = 256 << 20
"""Bytes: a manifest with an entry for each of a million files is about that large."""
_SHOWN = 5
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
Opener = Callable[[Path], AbstractContextManager[Iterable[Member]]]
"""Opens an archive: decrypted and decompressed, as its members."""
T = TypeVar("T")


class Sink(Protocol):
    """Where the bytes of an archive go."""

    def write(self, data: Buffer, /) -> object:
        """Take all of `data`."""


class Redaction(NamedTuple):
    """What was redacted: the rules' set and names, how many matches, in which artifacts."""

    policy: str
    rules: tuple[str, ...]
    matches: int
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class About:
    """What an archive says of the snapshot in it: `snapshot` its id in hexadecimal, `path` where
    the palace was, `label` a few words (a tag), `recipients` whom it is encrypted for.
    """

    palace: str
    tenant: str
    layout: str
    snapshot: str
    time_us: int
    program: str
    path: bytes = b""
    message: str = ""
    label: str = ""
    redaction: Redaction | None = None
    recipients: tuple[str, ...] = ()

    @property
    def moment(self) -> datetime.datetime:
        """When the snapshot was taken, UTC."""
        return _EPOCH + datetime.timedelta(microseconds=self.time_us)


@dataclass(frozen=True)
class Found:
    """A palace that was in an archive, unpacked: `path` is the directory, or the single database.

    `palace` is None where the archive does not say whose it is. `notes` say what somebody has to
    know of it, `unverified` what nothing in the archive lets one check, or was not asked to be.
    """

    path: Path
    layout: str
    palace: str | None = None
    tenant: str = DEFAULT_TENANT
    time_us: int | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()


class Format(ABC):
    """The archives of one tool: `layouts` whose palaces they hold, how their names end."""

    name: str
    layouts: tuple[str, ...]
    suffix: str

    @abstractmethod
    def default_name(self, about: About) -> str:
        """Return what the tool would call the archive."""

    @abstractmethod
    def read(self, source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
        """Unpack an archive, or the newest of a directory, into an empty directory of ours.

        All is checked that the format lets one check; `skip_verify` leaves out what compares bytes
        with what they are said to be. Raises Damaged, Malformed, Refused, UsageError.
        """

    def check_free(self, target: Path, force: bool) -> None:
        """Raise Exists, Refused or UsageError when nothing can be written at a path."""
        check_free(target, force)

    def check_layout(self, layout: str) -> None:
        """Raise UsageError for palaces that the tool has no use for."""
        if layout not in self.layouts:
            raise UsageError(
                f"a palace of the layout {layout} cannot be written as {self.name}:"
                f" that is for {' and '.join(self.layouts)}",
                "leave out --format: a native bundle holds every palace",
            )


class StreamFormat(Format):
    """A format that is one file, written from beginning to end."""

    @abstractmethod
    def write(self, directory: Path, about: About, sink: Sink) -> tuple[str, ...]:
        """Write a restored palace; return what the format cannot hold, in sentences."""

    @abstractmethod
    def sibling(self, name: str, digest: str) -> bytes:
        """Return what the file `NAME.sha256` beside the archive says."""


class PathFormat(Format):
    """A format that is a directory, or several files."""

    @abstractmethod
    def write(self, directory: Path, about: About, target: Path, force: bool) -> tuple[str, ...]:
        """Write a restored palace to a path, complete or not at all; return as StreamFormat's does.

        Raises Exists for what is there, unless `force` allows to replace it.
        """


class Notes:
    """Gathers what has to be told: sentences, and names under what they have in common."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Tell something once."""
        if text not in self._said:
            self._said.append(text)

    def name(self, what: str, path: bytes) -> None:
        """Name one more of a sort; a few are told by name, the others counted."""
        names = self._names.setdefault(what, [])
        self._counts[what] = self._counts.get(what, 0) + 1
        if len(names) < _SHOWN:
            names.append(shown(path))

    def lines(self) -> tuple[str, ...]:
        """Return all of it, in sentences."""
        lines = list(self._said)
        for what, names in self._names.items():
            more = self._counts[what] - len(names)
            lines.append(f"{what}: {', '.join(names)}{f' and {more} more' if more else ''}")
        return tuple(lines)


def shown(path: bytes) -> str:
    """Return a path for people."""
    return path.decode("utf-8", "backslashreplace")


def rfc3339(moment: datetime.datetime) -> str:
    """Return a time as the tools write it: UTC, microseconds."""
    return moment.isoformat(timespec="microseconds")


def time_of(text: str) -> int | None:
    """Return microseconds since the epoch of RFC 3339 text, None for what is none."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        time_us = (moment - _EPOCH) // datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
    return time_us if TIME_MIN_US <= time_us <= TIME_MAX_US else None


def pretty(value: Mapping[str, Any]) -> bytes:
    """Return JSON as the tools write it: indented, keys in the order given."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def parsed(data: bytes, kind: type[T], what: str) -> T:
    """Return a manifest's value; fields we do not know are passed over. Raises Malformed."""
    if data.startswith(BEGINNING):
        raise Malformed(
            f"{what} is that of a native bundle",
            "leave out --format; if that is of no use, get a copy whose entries are in their order",
        )
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{what} is not what it should be: {error}") from None


def too_new(what: str, found: int, known: int) -> Refused:
    """Return the error for an archive of a later version than its tool's, as we know it."""
    return Refused(
        f"{what} {found} is newer than the supported {known}",
        "restore it with its own tool, and take a snapshot of that",
    )
