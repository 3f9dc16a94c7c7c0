"""What lies at a path: a native bundle, another tool's archive, or a directory of such."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from palatine.bundle.age.keys import Keys
from palatine.bundle.limits import Guard, Limits
from palatine.bundle.native.manifest import (
    BEGINNING,
    LINE_MAX,
    MANIFEST,
    OUTSIDE,
    PALACE,
    SUMS,
    Head,
    ManifestReader,
)
from palatine.bundle.opening import Container, opened
from palatine.bundle.tar.names import shown
from palatine.bundle.tar.read import Kind, members
from palatine.errors import FormatTooNew, Malformed, PathNotFound, SourceError, UsageError

NATIVE = "native"
FORMATS = {
    Container.ZSTD: "nexo",
    Container.GZIP: "trusty",
    Container.DATABASE: "ai-memory",
}
"""Which tool writes archives of a sort, where palatine did not."""
_OXIOS = "oxios"
_MANIFEST = "manifest.json"
_OURS = (PALACE, OUTSIDE, SUMS)
"""What lies at the top of a native bundle besides the manifest, and of no bundle of nexo."""


class Lying(NamedTuple):
    """What was found: where, in which format, and of a native bundle its manifest's head."""

    path: Path
    format: str
    head: Head | None = None


def recognise(path: Path, format: str | None, limits: Limits, keys: Keys) -> Lying:
    """Return what to take from a file or a directory, of a directory the newest native bundle.

    Another tool's directory is returned as it is: its format knows what is the newest. `format` is
    one that the user named. Raises PathNotFound, SourceError, UsageError, NoKey, Damaged,
    Malformed, Refused.
    """
    if format not in (None, NATIVE):
        assert format is not None
        return Lying(path, format)
    if not path.is_dir():
        lying = _file(path, limits, keys)
        if format == NATIVE != lying.format:
            raise Malformed(f"{path} is no native bundle", "leave out --format")
        return lying
    if (path / _MANIFEST).is_file() and format is None:
        return Lying(path, _OXIOS)
    found = [one for one in _all(path, limits, keys) if format in (None, one.format)]
    formats = sorted({one.format for one in found})
    if not found:
        raise PathNotFound(f"{path} holds no bundle", "name a file, or a directory of them")
    if len(formats) > 1:
        raise UsageError(
            f"{path} holds bundles of several formats: {', '.join(formats)}",
            "say which with --format, or name a file",
        )
    if formats != [NATIVE]:
        return Lying(path, formats[0])
    return max(found, key=_newness)


def _newness(one: Lying) -> tuple[int, int, str]:
    assert one.head is not None
    record = one.head.snapshot
    return record.time_us, record.wall_us, one.path.name


def _file(path: Path, limits: Limits, keys: Keys) -> Lying:
    with opened(path, limits, keys) as file:
        container = file.container
        if container in (Container.ZSTD, Container.GZIP, Container.TAR):
            first, head = peek(file.stream, limits)
            if head is not None:
                return Lying(path, NATIVE, head)
            # an archive of trusty-memory may have a palace of that name at its top
            if container != Container.GZIP and first.partition(b"/")[0] in _OURS:
                raise Malformed(
                    f"{path} is a native bundle without its manifest: {shown(first)} comes first,"
                    f" where {_MANIFEST} belongs; it was lost, or the archive was packed again",
                    "get a whole copy of it; or unpack it with tar, have `sha256sum -c SHA256SUMS`"
                    " check what is there, and take a snapshot of that",
                )
    if container not in FORMATS:
        raise Malformed(f"{path} is not a bundle, nor an archive of a tool that is known here")
    return Lying(path, FORMATS[container])


def _all(directory: Path, limits: Limits, keys: Keys) -> Iterator[Lying]:
    """Yield the bundles of a directory; whatever else lies there is passed over."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            with opened(path, limits, keys) as file:
                known = file.container not in (Container.OTHER, Container.TAR)
        except SourceError as error:
            raise SourceError(
                f"{error.message}: which bundle is the newest cannot be told", "name a file"
            ) from error
        if known:
            yield _file(path, limits, keys)


def peek(stream: Guard, limits: Limits) -> tuple[bytes, Head | None]:
    """Return the first name in an archive, and of a native bundle its manifest's head.

    Raises Damaged, Malformed, FormatTooNew, Refused.
    """
    try:
        return _peeked(stream, limits)
    except FormatTooNew:
        stream.drain()  # what says so may be a flipped bit: then it is damaged
        raise


def _peeked(stream: Guard, limits: Limits) -> tuple[bytes, Head | None]:
    found = members(stream, limits, distinct=False)
    member = next((one for one in found if one.name), None)  # the archive's root has none
    if member is None or member.name != MANIFEST or member.kind != Kind.FILE:
        return (member.name if member else b""), None
    line = bytearray()
    while len(line) <= LINE_MAX and (data := member.read(1 << 16)):
        line += data
        if not line.startswith(BEGINNING[: len(line)]):
            return member.name, None
        if b"\n" in data:
            break
    return member.name, ManifestReader(io.BytesIO(line)).head
