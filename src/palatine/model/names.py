"""Names that users choose, and the names of files in a repository that are made of them."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache
from urllib.parse import unquote

from palatine.errors import Malformed, UsageError

DEFAULT_TENANT = "default"
_PALACE = re.compile(r"(?![.-])[A-Za-z0-9._-]{1,128}\Z")
_KEY = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{16}\Z")
_PLAIN = re.compile(r"[a-z0-9_-]")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
FILE_NAME_MAX = 255
"""Bytes in a file name, on every file system that matters."""
LABEL_BYTES = 80
"""A label's longest UTF-8 encoding: percent-encoded it still fits a file name."""


def check_palace(name: str, what: str = "palace name") -> str:
    """Return a palace's or tenant's name; raises UsageError when it is none."""
    if not _PALACE.match(name):
        raise UsageError(
            f"{name!r} is not a {what}",
            "use 1 to 128 letters, digits, '.', '_' or '-', not beginning with '.' or '-'",
        )
    if len(escape(name)) > FILE_NAME_MAX:
        raise UsageError(
            f"{name!r} is too long a {what}", "each capital takes three bytes: use fewer of them"
        )
    return name


def check_label(label: str, what: str = "tag") -> str:
    """Return a tag; raises UsageError when it cannot be one."""
    printable = label.isprintable() and label == label.strip()
    if not label or not printable or len(label.encode("utf-8", "replace")) > LABEL_BYTES:
        raise UsageError(
            f"{label!r} is not a {what}", f"use 1 to {LABEL_BYTES} bytes of printable text"
        )
    return label


def check_message(message: str) -> str:
    """Return a snapshot's message; raises UsageError for one that is not text."""
    try:
        message.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "the message is not valid UTF-8", "check the terminal's encoding"
        ) from None
    return message


def split_palace(text: str) -> tuple[str, str]:
    """Split `TENANT/PALACE` or `PALACE` into tenant and palace, both checked."""
    tenant, _, palace = text.rpartition("/")
    return check_palace(tenant or DEFAULT_TENANT, "tenant name"), check_palace(palace)


def join_palace(tenant: str, palace: str) -> str:
    """Return the palace's name as people write it: the default tenant is left out."""
    return palace if tenant == DEFAULT_TENANT else f"{tenant}/{palace}"


@lru_cache(1024)
def escape(name: str) -> str:
    """Return a name as a file name that no file system folds: lower case, percent-encoded.

    A dot stays unless it comes first; capitals are encoded because some file systems fold case.
    """
    encoded = "".join(
        chr(byte) if _PLAIN.match(chr(byte)) or (byte == 0x2E and at) else f"%{byte:02x}"
        for at, byte in enumerate(name.encode("utf-8", "surrogateescape"))
    )
    return encoded


def unescape(name: str) -> str:
    """Return the name that `escape` made a file name of; raises Malformed for another's work."""
    plain = unquote(name, errors="surrogateescape")
    if escape(plain) != name:
        raise Malformed(f"{name!r} is not a name palatine writes")
    return plain


def snapshot_key(time_us: int, random: bytes) -> str:
    """Return a snapshot's key: its time, so that keys sort by it, and 8 random bytes."""
    return f"{key_time(time_us)}-{random.hex()}"


def key_time(time_us: int) -> str:
    """Return the part of a key that says the snapshot's time."""
    moment = _EPOCH + datetime.timedelta(microseconds=time_us)
    return f"{moment:%Y%m%dT%H%M%S.%f}Z"


def check_key(key: str) -> str:
    """Return a snapshot key; raises Malformed for another name."""
    if not _KEY.match(key):
        raise Malformed(f"{key!r} is not a snapshot's name")
    return key


def snapshot_name(tenant: str, palace: str, key: str) -> str:
    """Return where a snapshot lies in the repository."""
    return f"snapshots/{escape(tenant)}/{escape(palace)}/{key}"


def tag_prefix(tenant: str, palace: str, key: str) -> str:
    """Return the folder of a snapshot's tags."""
    return f"tags/{escape(tenant)}/{escape(palace)}/{key}/"


def pack_name(digest: bytes) -> str:
    """Return where the pack with that digest lies."""
    text = digest.hex()
    return f"packs/{text[:2]}/{text}"
