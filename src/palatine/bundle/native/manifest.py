"""The manifest of a native bundle: one JSON document, written and read a line at a time.

    {"palatine_bundle":1, …, "entries":[
    {"path":"palace","kind":"directory",…},
    {"path":"palace/notes.md","kind":"file",…}
    ]}

Any JSON parser reads it; this one holds one line. The entries are the archive's, in its order: the
palace, then each outside part in the record's order, each depth first, the names of a directory in
byte order. docs/bundles.md describes all fields.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Literal

import msgspec

from palatine.bundle.native.order import Order
from palatine.bundle.native.record import (
    Name,
    OwnerRecord,
    Record,
    Value,
    name,
    owner_of,
    owner_record,
    raw,
    unbase64,
)
from palatine.errors import FormatTooNew, Malformed
from palatine.ids import Buffer
from palatine.model.tree import Entry, EntryKind, Owner

FORMAT = 1
"""The version of the format, `palatine_bundle` in the manifest."""

MANIFEST, SUMS = b"manifest.json", b"SHA256SUMS"
"""The names of the archive's first and last entries."""

PALACE, OUTSIDE = b"palace", b"outside"
"""The directories that the palace and the outside parts lie in."""

LINE_MAX = 64 << 20
"""Bytes in the longest line that is read: a file with as many holes as a piece of a tree holds."""

BEGINNING = b'{"palatine_bundle":'
"""How a manifest begins: by this it is told from another tool's."""

_ENTRIES = b',"entries":[\n'
_END = b"]}\n"


class Head(Value, frozen=True):
    """What the manifest says before its entries.

    `digest` names the digest of the snapshot's ids. `redacted` is null, or what the redaction
    found. `size` are the bytes of all regular files, `data` those of them that lie in no hole,
    `count` the entries.
    """

    palatine_bundle: int
    digest: str
    snapshot: Record
    redacted: dict[str, Any] | None
    size: int
    data: int
    count: int


class Listed(Value, frozen=True):
    """One entry of the archive. `mode` is octal, `xattrs` are pairs of a name and base64.

    `link` is the path, in the archive, of the first name of a file with several. Such a file is a
    hard link in the archive, save where `own` says that it comes with bytes of its own. `owner` is
    left out where it is the palace's.
    """

    path: Name
    kind: Literal["file", "directory", "symlink"]
    mode: str
    mtime_ns: int
    size: int = 0
    holes: tuple[tuple[int, int], ...] = ()
    xattrs: tuple[tuple[Name, str], ...] = ()
    target: Name = ""
    link: Name = ""
    own: bool = False
    owner: OwnerRecord | None = None

    @property
    def raw_path(self) -> bytes:
        """The path's bytes."""
        return raw(self.path)

    @property
    def is_hard_link(self) -> bool:
        """Whether the archive holds a hard link, and no bytes, for it."""
        return bool(self.link) and not self.own

    @property
    def data(self) -> int:
        """Bytes that lie in no hole."""
        return self.size - sum(length for _, length in self.holes)

    def owned_by(self, palace: Owner) -> Owner:
        """Return the entry's owner; `palace` is that of the palace."""
        return owner_of(self.owner) if self.owner else palace

    def entry(self) -> Entry:
        """Return the entry as trees have it, without its content (`level`, `parts`, `owner`).

        Its link is as in the archive. Raises Malformed for a mode, a name or base64 that is none.
        """
        return Entry(
            self.raw_path.rpartition(b"/")[2],
            EntryKind[self.kind.upper()],
            _mode(self.mode),
            0,
            self.mtime_ns,
            self.size,
            holes=self.holes,
            xattrs=tuple((raw(key), unbase64(value)) for key, value in self.xattrs),
            target=raw(self.target),
            link=raw(self.link),
        )


def listed(path: bytes, entry: Entry, owner: Owner | None, link: bytes, own: bool) -> Listed:
    """Return an entry of the archive; `owner` is None where it is the palace's."""
    return Listed(
        path=name(path),
        kind=entry.kind.name.lower(),  # type: ignore[arg-type]  # the enum's names
        mode=f"{entry.mode:04o}",
        mtime_ns=entry.mtime_ns,
        size=entry.size,
        holes=entry.holes,
        xattrs=tuple((name(key), base64.b64encode(value).decode()) for key, value in entry.xattrs),
        target=name(entry.target),
        link=name(link),
        own=own,
        owner=owner_record(owner) if owner else None,
    )


class EntriesWriter:
    """Writes entries' lines to a file and counts them: the head, which comes first, needs that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode
        self.count = 0
        self.size = 0
        self.data = 0

    def add(self, entry: Listed) -> None:
        """Append an entry."""
        self._file.write((b",\n" if self.count else b"") + self._encode(entry))
        self.count += 1
        if entry.kind == "file" and not entry.is_hard_link:
            self.size += entry.size
            self.data += entry.data


def encode_head(head: Head) -> bytes:
    """Return the manifest's first line; the entries as written follow it, and then `encode_end`."""
    return msgspec.json.encode(head)[:-1] + _ENTRIES


def encode_end() -> bytes:
    """Return what follows the last entry: its line feed, and the last line."""
    return b"\n" + _END


class ManifestReader:
    """Reads a manifest from a stream, strict in its lines and in its order: `head`, then entries.

    Raises Malformed, FormatTooNew. Nothing of the stream is read beyond the last line.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0
        self._decode = msgspec.json.Decoder(Listed).decode
        self.head = self._read_head()

    def entries(self) -> Iterator[Listed]:
        """Yield the entries, each checked; at the end the stream must have ended."""
        roots = [
            PALACE,
            *(OUTSIDE + b"/" + part.name.encode() for part in self.head.snapshot.outside),
        ]
        order = Order(roots)
        size = data = 0
        for at in range(1, self.head.count + 1):
            line = self._line()
            end = b",\n" if at < self.head.count else b"\n"
            if not line.endswith(end) or (at == self.head.count and line.endswith(b",\n")):
                raise self._bad("an entry's line does not end as it should")
            entry = self._parsed(line[: -len(end)])
            order.check(entry)
            if entry.kind == "file" and not entry.is_hard_link:
                size, data = size + entry.size, data + entry.data
            yield entry
        if self._line() != _END or self._stream.read(1):
            raise self._bad("it goes on after its entries, or holds another number of them")
        order.finish()
        if (size, data) != (self.head.size, self.head.data):
            raise self._bad("its sizes do not add up")

    def _read_head(self) -> Head:
        line = self._line()
        if not line.endswith(_ENTRIES):
            raise self._bad("its first line is not a manifest's")
        text = line[: -len(_ENTRIES)] + b"}"
        try:
            version = msgspec.json.decode(text, type=_Version).palatine_bundle
            if version > FORMAT:
                raise FormatTooNew(
                    f"the bundle is of format {version}, newer than {FORMAT}", "upgrade palatine"
                )
            head = msgspec.json.decode(text, type=Head)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(str(error)) from error
        if version < 1 or head.count < 1 + len(head.snapshot.outside):
            raise self._bad("its head makes no sense")
        return head

    def _parsed(self, text: Buffer) -> Listed:
        try:
            return self._decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(str(error)) from error

    def _line(self) -> bytes:
        self._number += 1
        line = self._stream.readline(LINE_MAX + 1)
        if not line.endswith(b"\n"):
            raise self._bad("it ends too early" if len(line) <= LINE_MAX else "a line is too long")
        return line

    def _bad(self, why: str) -> Malformed:
        return Malformed(
            f"the bundle's manifest does not follow the format (line {self._number}): {why}"
        )


class _Version(Value, frozen=True):
    palatine_bundle: int


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if f"{mode:04o}" != text or not 0 <= mode <= 0o7777:
        raise Malformed(f"the bundle's manifest holds {text[:20]!r}, which is no mode")
    return mode
