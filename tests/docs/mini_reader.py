"""A second reader of palatine's repositories: docs/format.md as a program.

It shares no code with palatine. If it cannot read what palatine wrote, the page is wrong.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import blake3
import msgspec
import zstandard

PREFIXES = {1: b"chunk\0", 2: b"list\0", 3: b"tree\0", 4: b"snapshot\0"}
CHUNK, LIST, TREE, SOLID, DELTA, FILE, DIRECTORY = 1, 2, 3, 2, 3, 0, 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
unpack = msgspec.msgpack.decode


class Repository:
    def __init__(self, root: Path) -> None:
        line, check = (root / "config").read_bytes().split(b"\n", 1)
        assert check == b"sha256 " + hashlib.sha256(line).hexdigest().encode() + b"\n"
        self.config = json.loads(line)
        assert (self.config["palatine"], self.config["features"]) == (1, [])
        self.hash: Any = {"blake3": blake3.blake3, "sha256": hashlib.sha256}[self.config["digest"]]
        self.files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
        self.copies: dict[tuple[int, bytes], list[Any]] = {}
        self.rows: dict[bytes, Any] = {}
        for name, path in self.files.items():
            if name.startswith("packs/"):
                self._read_pack(path)

    def _read_pack(self, path: Path) -> None:
        data = path.read_bytes()
        assert self.hash(data).hexdigest() == path.name
        length, digest, magic = struct.unpack("<I32s8s", data[-44:])
        footer = data[-44 - length : -44]
        assert (data[:8], magic) == (b"PALPACK\x01", b"PALPEND\x01")
        assert self.hash(footer).digest() == digest
        frames, parity = unpack(footer)
        assert parity == b""
        self.rows[bytes.fromhex(path.name)] = [len(data), frames]
        end = 24
        for frame, offset, size, members, base, ordinal in frames:
            assert offset >= end
            assert len(members) == 1 or frame == SOLID
            start, end = 0, offset + size
            for kind, object_id, plain in members:
                copy = (frame, data[offset:end], start, plain, base, ordinal)
                self.copies.setdefault((kind, object_id), []).append(copy)
                start += plain
        assert end <= len(data) - 44 - length

    def segments(self) -> Iterator[Any]:
        for name, path in self.files.items():
            if name.startswith("index/"):
                data = path.read_bytes()
                assert (self.hash(data).hexdigest(), data[:8]) == (path.name, b"PALINDX\x01")
                yield from unpack(data[8:])

    def snapshots(self) -> Iterator[tuple[str, bytes, list[Any]]]:
        for name, path in self.files.items():
            if name.startswith("snapshots/"):
                data = path.read_bytes()
                if data != b"PALVOID\x01":
                    assert data[:8] == b"PALSNAP\x01"
                    assert self.hash(b"snapshot\0" + data[40:]).digest() == data[8:40]
                    body = unpack(data[40:])
                    time = datetime.fromisoformat(name.split("/")[-1][:22] + "+00:00")
                    assert (time - EPOCH) // timedelta(microseconds=1) == body[2]
                    yield name, data[8:40], body

    def get(self, kind: int, object_id: bytes, trail: tuple[bytes, ...] = ()) -> bytes:
        assert object_id not in trail, "two deltas are each other's base"
        best = min(self.copies[kind, object_id], key=lambda copy: bool(copy[0] == DELTA))
        frame, payload, start, size, base, ordinal = best
        if frame == DELTA:
            assert payload[:44] == base + struct.pack("<QI", ordinal, size)
            data = apply_delta(payload, self.get(kind, base, (*trail, object_id)))
        else:
            data = zstandard.ZstdDecompressor().decompress(payload)[start : start + size]
        assert len(data) == size
        assert self.hash(PREFIXES[kind] + data).digest() == object_id
        return data

    def pieces(self, tree: bytes, level: int | None = None) -> Iterator[list[Any]]:
        tag, *rest = unpack(self.get(TREE, tree))
        assert level in (None, rest[0] if tag else 0)
        if tag == 0:
            yield rest
            return
        for first, child, count in rest[1]:
            below = list(self.pieces(child, rest[0] - 1))
            assert below[0][2][0][0] == first
            assert sum(len(entries) for _, _, entries in below) == count
            yield from below

    def walk(self, tree: bytes, path: bytes = b"") -> Iterator[tuple[bytes, list[Any], bytes]]:
        for _owners, pool, entries in self.pieces(tree):
            pooled = self.get(CHUNK, pool[0][0]) if pool else b""
            for entry in entries:
                name, kind, _, _, _, size, level, parts, holes, *_ = entry
                data = b""
                if kind == FILE and size and not parts and not holes:
                    data, pooled = pooled[:size], pooled[size:]
                elif kind == FILE:
                    data = self._contents(size, level, parts, holes)
                assert len(data) == size
                yield path + name, entry, data
                if kind == DIRECTORY:
                    yield from self.walk(parts[0][0], path + name + b"/")
            assert not pooled

    def _contents(self, size: int, level: int, parts: list[Any], holes: list[Any]) -> bytes:
        data = b"".join(self._part(level, *part) for part in parts)
        for offset, length in holes:
            data = data[:offset] + bytes(length) + data[offset:]
        return data

    def _part(self, level: int, object_id: bytes, size: int) -> bytes:
        data = self.get(LIST if level else CHUNK, object_id)
        if level:
            its_level, parts = unpack(data)
            assert its_level == level
            data = b"".join(self._part(level - 1, *part) for part in parts)
        assert len(data) == size
        return data


def apply_delta(payload: bytes, base: bytes) -> bytes:
    _base, _ordinal, length, granule = struct.unpack("<32sQII", payload[:48])
    if granule == 0:
        return _onto(payload[48:], base)
    count = -(-length // granule)
    start = 48 + -(-count // 8)
    marked = [page for page in range(count) if payload[48 + page // 8] >> page % 8 & 1]
    places = [(page * granule, min(length, (page + 1) * granule)) for page in marked]
    old = b"".join(base[a : a + granule] for a, _ in places)
    new = _onto(payload[start:], old) if places else b""
    data = bytearray(base[:length].ljust(length, b"\0"))
    for a, b in places:
        data[a:b], new = new[: b - a], new[b - a :]
    assert not new
    return bytes(data)


def _onto(frame: bytes, dictionary: bytes) -> bytes:
    if not dictionary:
        return zstandard.ZstdDecompressor().decompress(frame)
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=raw).decompress(frame)
