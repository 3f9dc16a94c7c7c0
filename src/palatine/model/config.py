"""The repository's config: what every reader must know before it reads anything else.

A text file: one line of JSON, then one line with the SHA-256 of the first, so that a flipped byte
in the digest's name or the chunking cannot pass.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from palatine.errors import FormatTooNew, Malformed
from palatine.ids import DIGESTS
from palatine.model.checked import checked_line, with_checksum

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


class _Announced(msgspec.Struct, frozen=True):
    """What tells a later format from a damaged one, whatever else it holds."""

    palatine: int
    digest: str
    features: tuple[str, ...] = ()


def encode_config(config: Config) -> bytes:
    """Return the bytes of the config file."""
    return with_checksum(msgspec.json.encode(config))


def decode_config(data: bytes) -> Config:
    """Return the config; raises Malformed for damage, FormatTooNew for what we do not know."""
    line = checked_line(data)
    if line is None:
        raise Malformed(
            "the repository's config is damaged: its checksum does not fit",
            "every copy of a repository has the same config: take it from another copy",
        )
    try:
        _check_known(msgspec.json.decode(line, type=_Announced))
        config = msgspec.json.decode(line, type=Config)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"the repository's config does not follow the format: {error}") from error
    _check(config)
    if encode_config(config) != data:
        raise Malformed("the repository's config does not follow the format: it is not canonical")
    return config


def _check_known(announced: _Announced) -> None:
    hint = "upgrade palatine"
    if announced.palatine > FORMAT_VERSION:
        raise FormatTooNew(
            f"the repository has format {announced.palatine}, this palatine knows {FORMAT_VERSION}",
            hint,
        )
    if announced.features:
        words = ", ".join(announced.features)
        raise FormatTooNew(f"the repository uses features unknown here: {words}", hint)
    if announced.digest not in DIGESTS:
        raise FormatTooNew(f"the repository's digest {announced.digest!r} is unknown here", hint)


def _check(config: Config) -> None:
    cut = config.chunking
    ordered = 4096 <= cut.minimum <= cut.average <= cut.maximum <= 1 << 23
    in_range = cut.minimum <= 1 << 20 and cut.average <= 4 << 20
    aligned = cut.fixed % 4096 == 0 and 4096 <= cut.fixed <= 1 << 23
    if config.palatine < 1 or not (_ID.match(config.id) and ordered and in_range and aligned):
        raise Malformed("the repository's config holds impossible values")
