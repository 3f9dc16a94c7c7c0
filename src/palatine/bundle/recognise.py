"""What lies at a path: a native bundle, another tool's archive, or a directory of such."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from palatine.bundle.age.keys import Keys
from palatine.bundle.limits import Guard, Limits
from palatine.bundle.native.manifest import LINE_MAX, MANIFEST, Head, ManifestReader
from palatine.bundle.opening import Container, opened
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
_FIRST = b'{"palatine_bundle":'


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
            head = peek(file.stream, limits)
            if head is not None:
                return Lying(path, NATIVE, head)
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


def peek(stream: Guard, limits: Limits) -> Head | None:
    """Return the head of a native bundle's manifest; None for another tool's archive.

    Raises Damaged, Malformed, FormatTooNew, Refused.
    """
    try:
        return _peeked(stream, limits)
    except FormatTooNew:
        stream.drain()  # what says so may be a flipped bit: then it is damaged
        raise


def _peeked(stream: Guard, limits: Limits) -> Head | None:
    member = next(members(stream, limits, distinct=False), None)
    if member is None or member.name != MANIFEST or member.kind != Kind.FILE:
        return None
    line = bytearray()
    while len(line) <= LINE_MAX and (data := member.read(1 << 16)):
        line += data
        if not line.startswith(_FIRST[: len(line)]):
            return None
        if b"\n" in data:
            break
    return ManifestReader(io.BytesIO(line)).head
