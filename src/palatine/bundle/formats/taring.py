"""Tar archives as other tools expect them: headers by `tarfile`, contents streamed."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterable
from typing import Literal

from palatine.bundle.formats.base import Notes, Sink
from palatine.bundle.formats.walking import Item, Kind, contents
from palatine.bundle.limits import Seen, folded
from palatine.ids import Buffer

_RECORD = 20 * tarfile.BLOCKSIZE
_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
}


class GzipWriter:
    """Compresses into a sink, the same bytes at any time; without `finish` it is cut short."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 31)

    def write(self, data: Buffer, /) -> None:
        """Compress more."""
        if packed := self._deflate.compress(data):
            self._sink.write(packed)

    def finish(self) -> None:
        """Write the end."""
        self._sink.write(self._deflate.flush())


class TarWriter:
    """Writes members to a sink, and the end of the archive when asked to.

    Names that our own reader takes only when it is asked to are noted.
    """

    def __init__(self, sink: Sink, form: Literal[0, 1, 2], notes: Notes) -> None:
        """`form` is one of tarfile's formats."""
        self._sink = sink
        self._form = form
        self._notes = notes
        self._names = Seen()
        self._written = 0

    def add(self, info: tarfile.TarInfo, data: Iterable[bytes] = ()) -> None:
        """Write a member; `data` has as many bytes as its header says."""
        name = os.fsencode(info.name).rstrip(b"/")
        if not self._names.add(folded(name)):
            self._notes.name(
                "import and restore of it will need --allow-case-folding, because of names that"
                " differ only in case or in the spelling of accents", name,
            )  # fmt: skip
        self._write(info.tobuf(self._form, "utf-8", "surrogateescape"))
        size = 0
        for piece in data:
            size += len(piece)
            self._write(piece)
        self._write(bytes(-size % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Write the end: two empty blocks, and what fills the last record."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self._written % _RECORD))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._written += len(data)


def member_of(item: Item, name: bytes) -> tarfile.TarInfo:
    """Return the member that system tar makes of a file, its time to the nanosecond."""
    info = tarfile.TarInfo(os.fsdecode(name))
    status = item.status
    info.type = _TYPES[item.kind]
    info.mode = status.st_mode & 0o7777
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns // 10**9
    if status.st_mtime_ns % 10**9:
        info.pax_headers = {"mtime": f"{info.mtime}.{status.st_mtime_ns % 10**9:09d}"}
    if item.kind is Kind.FILE:
        info.size = status.st_size
    elif item.kind is Kind.SYMLINK:
        info.linkname = os.fsdecode(os.readlink(item.place))  # noqa: PTH115 - bytes as they are
    return info


def plain_member(name: bytes, size: int, mode: int, mtime: int = 0) -> tarfile.TarInfo:
    """Return a regular file's member without anything about whose it is."""
    info = tarfile.TarInfo(os.fsdecode(name))
    info.size, info.mode, info.mtime = size, mode, mtime
    return info


def add_item(archive: TarWriter, item: Item, name: bytes) -> None:
    """Write a file, directory or symlink under a name."""
    data = contents(item) if item.kind is Kind.FILE else ()
    archive.add(member_of(item, name), data)
