"""A tar header's fields, and the pax records that go before one; each checked, none trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from palatine.errors import Malformed
from palatine.model.tree import SIZE_MAX, TIME_MAX_NS, TIME_MIN_NS

BLOCK = 512
_ID_MAX = (1 << 32) - 1
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_OLD = bytes(8)
_DECIMAL = re.compile(rb"-?\d{1,19}(\.\d{1,64})?(e[+-]?\d{1,2})?\Z")
"""Seconds; Python's tarfile writes them as it prints floats."""


@dataclass(frozen=True)
class Pax:
    """What pax records say of the member after them; None or empty: nothing."""

    path: bytes = b""
    linkpath: bytes = b""
    size: int | None = None
    mtime_ns: int | None = None
    uid: int | None = None
    gid: int | None = None
    user: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Header:
    """A header: `type` is its type flag, one byte; times in nanoseconds."""

    name: bytes
    type: bytes
    mode: int
    mtime_ns: int
    size: int
    link: bytes
    uid: int
    user: str
    gid: int
    group: str

    def merged(self, pax: Pax | None, name: bytes, link: bytes) -> Header:
        """Return the header with what came before it: GNU's long names, then pax."""
        found = replace(self, name=name or self.name, link=link or self.link)
        if pax is None:
            return found
        return replace(
            found,
            name=pax.path or found.name,
            link=pax.linkpath or found.link,
            size=found.size if pax.size is None else pax.size,
            mtime_ns=found.mtime_ns if pax.mtime_ns is None else pax.mtime_ns,
            uid=found.uid if pax.uid is None else pax.uid,
            gid=found.gid if pax.gid is None else pax.gid,
            user=found.user if pax.user is None else pax.user,
            group=found.group if pax.group is None else pax.group,
        )


def parse_header(block: bytes) -> Header:
    """Return the fields of a block of 512 bytes; raises Malformed."""
    magic = block[257:265]
    if magic not in (_POSIX, _GNU, _OLD):
        raise Malformed("this is no tar archive, or one that is damaged")
    said = _number(block[148:156], "checksum")
    body = block[:148] + b" " * 8 + block[156:]
    if sum(body) != said and sum(body) - 256 * sum(byte > 127 for byte in body) != said:
        raise Malformed("a header in the archive is damaged: its checksum does not fit")
    name = _text(block[:100])
    if magic == _POSIX and (prefix := _text(block[345:500])):
        name = prefix + b"/" + name
    seconds = _number(block[136:148], "time")
    return Header(
        name,
        block[156:157],
        _within(_number(block[100:108], "mode"), (1 << 24) - 1, "mode"),
        _nanoseconds(seconds * 10**9),
        _within(_number(block[124:136], "size"), SIZE_MAX, "size"),
        _text(block[157:257]),
        _within(_number(block[108:116], "owner"), _ID_MAX, "owner"),
        _word(_text(block[265:297]) if magic != _OLD else b""),
        _within(_number(block[116:124], "group"), _ID_MAX, "group"),
        _word(_text(block[297:329]) if magic != _OLD else b""),
    )


def parse_pax(data: bytes) -> Pax:
    """Return what pax records say; raises Malformed."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 12)
        length = data[at:space] if space > 0 else b""
        if not length.isdigit() or int(length) > len(data) - at:
            raise Malformed("a pax header in the archive is damaged")
        record = data[space + 1 : at + int(length)]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise Malformed("a pax header in the archive is damaged")
        if key.startswith(b"GNU.sparse."):
            raise Malformed("the archive holds a sparse file in GNU's own form")
        found[key] = value[:-1]
        at += int(length)
    uid, gid = (_count(found.get(key), _ID_MAX) for key in (b"uid", b"gid"))
    user, group = (
        None if (word := found.get(key)) is None else _word(word) for key in (b"uname", b"gname")
    )
    return Pax(
        found.get(b"path", b""),
        found.get(b"linkpath", b""),
        _count(found.get(b"size"), SIZE_MAX),
        _time(found.get(b"mtime")),
        uid,
        gid,
        user,
        group,
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _word(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\0", "")


def _number(field: bytes, what: str) -> int:
    """Return a number in octal digits or, where the first bit is set, in base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(1 << (8 * len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        return value
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if digits.strip(b"01234567"):
        raise Malformed(f"a header in the archive is damaged: its {what} is no number")
    return int(digits or b"0", 8)


def _within(value: int, most: int, what: str) -> int:
    if not 0 <= value <= most:
        raise Malformed(f"a header in the archive has the impossible {what} {value}")
    return value


def _count(raw: bytes | None, most: int) -> int | None:
    if raw is None or not raw:
        return None
    if not raw.isdigit() or len(raw) > 20:
        raise Malformed("a pax header in the archive holds something that is no number")
    return _within(int(raw), most, "number")


def _time(raw: bytes | None) -> int | None:
    if raw is None or not raw:
        return None
    if not _DECIMAL.match(raw):
        raise Malformed("a pax header in the archive holds something that is no time")
    return _nanoseconds(int(Decimal(raw.decode()).scaleb(9)))


def _nanoseconds(value: int) -> int:
    return min(max(value, TIME_MIN_NS), TIME_MAX_NS)
