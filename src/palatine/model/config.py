"""The repository's config: what every reader must know before it reads anything else.

A text file: one line of JSON, then one line with the SHA-256 of the first, so that a flipped byte
in the digest's name or the chunking cannot pass.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from palatine.errors import FormatTooNew, Malformed

FORMAT_VERSION = 1
_ID = re.compile(r"[0-9a-f]{32}\Z")


class Chunking(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How files are cut, bytes: `fixed` for files rewritten in place, FastCDC for the rest."""

    fixed: int = 1 << 20
    minimum: int = 256 << 10
    average: int = 1 << 20
    maximum: int = 2 << 20


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Identity and parameters of a repository, fixed when it is made."""

    palatine: int
    id: str
    digest: Literal["blake3", "sha256"]
    chunking: Chunking
    features: tuple[str, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    palatine: int


def encode_config(config: Config) -> bytes:
    """Return the bytes of the config file."""
    line = msgspec.json.encode(config)
    return b"%s\nsha256 %s\n" % (line, hashlib.sha256(line).hexdigest().encode())


def decode_config(data: bytes) -> Config:
    """Return the config; raises Malformed for damage, FormatTooNew for what we do not know."""
    line, _, rest = data.partition(b"\n")
    if rest != b"sha256 %s\n" % hashlib.sha256(line).hexdigest().encode():
        raise Malformed(
            "the repository's config is damaged: its checksum does not fit",
            "every copy of a repository has the same config: take it from another copy",
        )
    try:
        version = msgspec.json.decode(line, type=_Version).palatine
        if version > FORMAT_VERSION:
            raise FormatTooNew(
                f"the repository has format {version}, this palatine knows {FORMAT_VERSION}",
                "upgrade palatine",
            )
        config = msgspec.json.decode(line, type=Config)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"the repository's config does not follow the format: {error}") from error
    _check(config)
    return config


def _check(config: Config) -> None:
    if config.features:
        raise FormatTooNew(
            f"the repository uses features unknown here: {', '.join(config.features)}",
            "upgrade palatine",
        )
    cut = config.chunking
    ordered = 4096 <= cut.minimum <= cut.average <= cut.maximum <= 1 << 23
    if not _ID.match(config.id) or not ordered or not 4096 <= cut.fixed <= 1 << 23:
        raise Malformed("the repository's config holds impossible values")
