"""A strict tar reader for archives that nobody vouches for.

It understands ustar, GNU's long names and pax (POSIX.1-2017, pax, "ustar Interchange Format";
GNU tar manual, "Basic Tar Format"), and takes nothing that could lead out of the directory an
archive is unpacked to: no absolute name, no `..`, no devices, no name below something that is no
directory, no hard link but to a regular file that came before. Symlinks may point anywhere: they
are data. What the archive says twice, cuts short or adds after its end is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from palatine.bundle.limits import PATH_MAX, Limits, Readable, check_count
from palatine.bundle.tar.header import BLOCK, Header, Pax, parse_header, parse_pax
from palatine.bundle.tar.names import Names, clean_name, shown
from palatine.errors import Damaged, Malformed

READ_SIZE = 1 << 20
_EXTENSION_MAX = 16 << 20
"""Bytes of a pax header or a GNU long name."""
_PADDING_MAX = 1 << 20
"""Bytes of zeros after an archive's end: tar fills up its last record."""
_ZEROS = bytes(BLOCK)


class Kind(Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    LINK = "hard link"


_KINDS = {
    b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE,
    b"1": Kind.LINK, b"2": Kind.SYMLINK, b"5": Kind.DIRECTORY,
}  # fmt: skip
_REFUSED = {
    b"3": "a character device", b"4": "a block device", b"6": "a named pipe",
    b"S": "a sparse file in GNU's own form", b"M": "a part of a file of several volumes",
    b"D": "a list of GNU's incremental backups", b"V": "a volume's label",
}  # fmt: skip


@dataclass
class Member:
    """One member: its name without a slash at either end (the archive's root: empty).

    `size` in bytes, of regular files only; `target` is a symlink's, `link` the earlier file's name
    of a hard link. Its bytes can be read until the next member is asked for.
    """

    name: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    size: int
    target: bytes
    link: bytes
    owner: tuple[int, str, int, str]
    _archive: _Archive

    def read(self, size: int = READ_SIZE, /) -> bytes:
        """Return at most `size` of the next bytes, none at the end; raises Damaged."""
        return self._archive.content(size)


def members(stream: Readable, limits: Limits, distinct: bool = True) -> Iterator[Member]:
    """Yield an archive's members in order, and read it to its very end.

    Without `distinct` names are not compared with each other: the caller has a list of them.
    Raises Damaged, Malformed, and Refused for what a limit forbids.
    """
    archive = _Archive(stream)
    names = Names(limits) if distinct else None
    count = 0
    while True:
        archive.finish_member()
        header = archive.next_header()
        if header is None:
            archive.check_end()
            return
        count += 1
        check_count(count, limits)
        member = _member(header, archive)
        if names is not None:
            names.take(member.name, member.kind.value, member.link)
        yield member


class _Archive:
    """The bytes of an archive."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = self._padding = 0

    def content(self, size: int) -> bytes:
        if not self._left:
            return b""
        data = self._stream.read(min(size, self._left, READ_SIZE))
        if not data:
            raise _short()
        self._left -= len(data)
        return data

    def finish_member(self) -> None:
        """Pass over what was not read of a member."""
        while self._left:
            self.content(READ_SIZE)
        if self._exactly(self._padding).strip(b"\0"):
            raise Malformed("the archive has bytes where only padding may be")
        self._padding = 0

    def next_header(self) -> Header | None:
        """Return the next header with all that goes before it; None at the end."""
        pax: Pax | None = None
        name = link = b""
        while True:
            block = self._exactly(BLOCK)
            if block == _ZEROS:
                if pax is not None or name or link:
                    raise Malformed("the archive ends after a header that goes with another")
                return None
            header = parse_header(block)
            if header.type in (b"x", b"g", b"L", b"K"):
                data = self._extension(header)
                if header.type == b"g":
                    _check_global(parse_pax(data))
                elif pax if header.type == b"x" else name if header.type == b"L" else link:
                    raise Malformed("the archive gives one member two headers of a kind")
                elif header.type == b"x":
                    pax = parse_pax(data)
                elif header.type == b"L":
                    name = data.removesuffix(b"\0")
                else:
                    link = data.removesuffix(b"\0")
                continue
            header = header.merged(pax, name, link)
            self._begin(header)
            return header

    def check_end(self) -> None:
        """Raise unless nothing but a second block of zeros and padding is left."""
        if self._exactly(BLOCK) != _ZEROS:
            raise Malformed("the archive goes on after its end")
        left = _PADDING_MAX
        while data := self._stream.read(READ_SIZE):
            left -= len(data)
            if left < 0 or data.strip(b"\0"):
                raise Malformed("there is something after the archive's end")

    def _begin(self, header: Header) -> None:
        self._left = header.size if _KINDS.get(header.type) == Kind.FILE else 0
        self._padding = -self._left % BLOCK

    def _extension(self, header: Header) -> bytes:
        if header.size > _EXTENSION_MAX:
            raise Malformed(f"the archive has a header of {header.size} bytes")
        data = self._exactly(header.size)
        if self._exactly(-header.size % BLOCK).strip(b"\0"):
            raise Malformed("the archive has bytes where only padding may be")
        return data

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise _short()
            data = data + more if data else more
        return data


def _member(header: Header, archive: _Archive) -> Member:
    kind = _KINDS.get(header.type)
    if kind == Kind.FILE and header.name.endswith(b"/") and not header.size:
        kind = Kind.DIRECTORY  # tar before 1988 had no other sign for one
    name = clean_name(header.name)
    if kind is None:
        what = _REFUSED.get(header.type, f"something of the unknown type {header.type!r}")
        raise Malformed(f"{shown(name)} in the archive is {what}, which no bundle holds")
    if kind != Kind.FILE and header.size:
        raise Malformed(f"{shown(name)} in the archive is a {kind.value} with content")
    if not name and kind != Kind.DIRECTORY:
        raise Malformed(f"the archive has a {kind.value} without a name")
    target = link = b""
    if kind == Kind.SYMLINK:
        target = header.link
        if not target or b"\0" in target or len(target) > PATH_MAX:
            raise Malformed(f"the symlink {shown(name)} in the archive leads nowhere")
    elif kind == Kind.LINK:
        link = clean_name(header.link, "hard link's target")
    return Member(
        name, kind, header.mode & 0o7777, header.mtime_ns, header.size, target, link,
        (header.uid, header.user, header.gid, header.group), archive,
    )  # fmt: skip


def _check_global(pax: Pax) -> None:
    if pax.path or pax.linkpath or pax.size is not None:
        raise Malformed("the archive gives all its members one name or size")


def _short() -> Damaged:
    return Damaged("the bundle ends too early: it was cut short", "get a whole copy of it")
