"""A native bundle, read once: each member matched with the manifest, each byte hashed and compared.

Whoever takes the entries gets what the manifest says of each, and its content as it passes; only
when `entries` has ended without an error is any of it known to be what was exported. Memory is
bounded: the manifest and the hashes lie in scratch files.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from palatine.bundle.limits import Guard, Limits, Seen, check_count
from palatine.bundle.native.content import Content
from palatine.bundle.native.manifest import MANIFEST, SUMS, Head, Listed, ManifestReader
from palatine.bundle.native.record import raw
from palatine.bundle.sums import line
from palatine.bundle.tar.names import Clashes, clean_name, shown
from palatine.bundle.tar.read import Kind, Member, members
from palatine.errors import Damaged, FormatTooNew, Malformed, Refused
from palatine.ids import Digest

MANIFEST_MAX = 8 << 30
"""Bytes of the largest manifest: 20 million entries of 400 bytes."""

_HELD = 8 << 20
"""Bytes of a scratch file that are kept in memory before it is made."""
_KINDS = {"file": Kind.FILE, "directory": Kind.DIRECTORY, "symlink": Kind.SYMLINK}


class Arrived(NamedTuple):
    """An entry of the bundle: its path in the archive, what the manifest says, and its bytes.

    `content` is a regular file's that comes with bytes of its own; it is gone with the next entry.
    `wanted`: a later entry is another name of this file.
    """

    path: bytes
    listed: Listed
    content: Content | None
    wanted: bool


class NativeBundle:
    """A native bundle on a stream. Close it, or use it as a context manager."""

    def __init__(self, stream: Guard, limits: Limits) -> None:
        """Read the manifest and check it; raises Damaged, Malformed, FormatTooNew, Refused."""
        self._guard = stream
        self._limits = limits
        self._members = members(stream, limits, distinct=False)
        self._manifest = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 - `close` does
        self._sums = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115
        self._links = Seen()
        self._files = Seen()
        try:
            self._own_line = line(self._spool_manifest(), MANIFEST)
            self.head = self._survey()
        except FormatTooNew:
            self.close()
            stream.drain()  # what says so may be a flipped bit: then it is damaged
            raise
        except BaseException:
            self.close()
            raise

    def entries(self) -> Iterator[Arrived]:
        """Yield the entries; at the end everything was compared, to the archive's last byte.

        Raises Damaged, Malformed, Refused.
        """
        for listed in self._reader().entries():
            path = listed.raw_path
            member = self._next_member(path)
            _compare(member, listed, path)
            content = None
            if listed.kind == "file":
                if listed.is_hard_link:
                    self._check_link(listed, path)
                else:
                    content = Content(member.read, listed.size, listed.holes, self._credit)
            wanted = content is not None and path in self._links
            yield Arrived(path, listed, content, wanted)
            if content is not None:
                self._sums.write(line(content.finish(), path))
                if wanted:
                    self._files.add(_facts(path, listed))
        self._check_sums(self._next_member(SUMS))
        extra = next(self._members, None)
        if extra is not None:
            raise Malformed(f"the bundle goes on after its {SUMS.decode()}: {shown(extra.name)}")

    def close(self) -> None:
        """Drop the scratch files."""
        self._manifest.close()
        self._sums.close()

    def __enter__(self) -> NativeBundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spool_manifest(self) -> str:
        """Keep the manifest aside; return its SHA-256."""
        member = self._next_member(MANIFEST)
        if member.size > MANIFEST_MAX:
            raise Refused(
                f"the bundle's manifest has {member.size} bytes, more than {MANIFEST_MAX}",
                "nothing was kept of it; palatine writes none of that size",
            )
        digest = hashlib.sha256()
        while data := member.read():
            digest.update(data)
            self._manifest.write(data)
        return digest.hexdigest()

    def _reader(self) -> ManifestReader:
        self._manifest.seek(0)
        return ManifestReader(self._manifest)  # type: ignore[arg-type]  # it reads lines

    def _survey(self) -> Head:
        """Read the manifest once before anything is kept; note which files have more names."""
        reader = self._reader()
        head = reader.head
        Digest(head.digest)  # raises for one that nobody here knows
        check_count(head.count, self._limits)
        if head.size > self._limits.max_size:
            raise Refused(
                f"the bundle holds {head.size} bytes, more than {self._limits.max_size}",
                "if it is to be that large, allow it with --max-size",
            )
        clashes = None if self._limits.allow_case_folding else Clashes()
        for listed in reader.entries():
            path = listed.raw_path
            if clean_name(path) != path:
                raise Malformed(f"the bundle's manifest lists the bad name {shown(path)}")
            if clashes is not None:
                clashes.take(path)
            if listed.is_hard_link:
                self._links.add(raw(listed.link))
        return head

    def _next_member(self, wanted: bytes) -> Member:
        member = next(self._members, None)
        if member is None:
            raise Damaged(f"the bundle lacks {shown(wanted)}", "get a whole copy of it")
        if member.name != wanted or (wanted in (MANIFEST, SUMS) and member.kind != Kind.FILE):
            raise Malformed(
                f"the bundle holds {shown(member.name)} where {shown(wanted)} belongs:"
                " one of them was added, lost or moved"
            )
        return member

    def _check_link(self, listed: Listed, path: bytes) -> None:
        target = raw(listed.link)
        if _facts(target, listed) not in self._files:
            raise Malformed(
                f"the hard link {shown(path)} leads to {shown(target)}, and no file like it came"
                " before"
            )

    def _check_sums(self, member: Member) -> None:
        """Compare the bundle's hashes with those of what passed, line by line."""
        self._sums.seek(0)
        own, lines = self._own_line, _lines(member.read)
        for given in lines:
            if own and given == own:
                own = b""
            elif given != self._sums.readline():
                raise Damaged(
                    f"the bundle is damaged: its {SUMS.decode()} has {_name(given)} with another"
                    " hash than the bundle's content, or in another place",
                    "get a whole copy of it",
                )
        if own or self._sums.readline():
            raise Damaged(f"the bundle's {SUMS.decode()} lacks a line", "get a whole copy of it")

    def _credit(self, size: int) -> None:
        self._guard.sparse += size


def _compare(member: Member, listed: Listed, path: bytes) -> None:
    """Raise Malformed where a member is not what the manifest says of it."""
    kind = Kind.LINK if listed.is_hard_link else _KINDS[listed.kind]
    said = {
        "kind": (member.kind.value, kind.value),
        "mode": (f"{member.mode:04o}", listed.mode),
        "time": (member.mtime_ns, listed.mtime_ns),
        "size": (member.size, listed.size if kind == Kind.FILE else 0),
        "target": (member.target, raw(listed.target)),
        "link": (member.link, raw(listed.link) if kind == Kind.LINK else b""),
    }
    for what, (there, given) in said.items():
        if there != given:
            raise Malformed(
                f"the bundle's manifest says of {shown(path)} that its {what} is {_said(given)},"
                f" and the archive that it is {_said(there)}"
            )


def _said(value: object) -> str:
    return shown(value) if isinstance(value, bytes) else str(value)


def _facts(path: bytes, listed: Listed) -> bytes:
    """Return a file's path and what all names of it share."""
    return path + b"\0" + msgspec.msgpack.encode((listed.size, listed.holes))


def _lines(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield lines of a member, each with its line feed; a long one comes as several."""
    left = b""
    while data := read(1 << 16):
        *whole, left = (left + data).split(b"\n")
        yield from (one + b"\n" for one in whole)
        if len(left) > 1 << 20:
            yield left
            left = b""
    if left:
        yield left


def _name(given: bytes) -> str:
    return shown(given[66:].rstrip(b"\n") or b"a line")
