"""The worked example of docs/format.md: a tiny repository that is the same each time it is made.

`python -m tests.docs.example` prints the section's blocks; the test compares them with the page.
"""

from __future__ import annotations

import re
import secrets
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from palatine.backends.local import LocalBackend
from palatine.capture.pieces import DirectoryBuilder
from palatine.capture.signatures import Signatures
from palatine.codec import delta
from palatine.ids import Kind, ObjectId
from palatine.model.snapshot import Snapshot, Stats, encode_snapshot_file
from palatine.model.tree import Entry, EntryKind, Owner, Part
from palatine.store.repository import Repository, Settings
from palatine.store.snapshots import Stored

TIME_US = 1_777_629_600_000_000
MTIME_NS = TIME_US * 1000
ANN = Owner(1000, "ann", 1000, "ann")
FILES = {b"MEMORY.md": b"# Memory\n", b"old/2025.md": b"Nothing yet.\n", b"todo.md": b"- sleep\n"}
LINK = b"latest.md"
BASE = bytes(4096) + b"\1" * 4096 + b"\2" * 100
CHANGED = bytes(4096) + b"\1" * 4000 + b"changed!" * 12 + b"\2" * 100


class Counting:
    """Stands in for randomness: 00 01 02 and so on, then from 10 on, then from 20 on."""

    def __init__(self) -> None:
        self.calls = 0

    def token_bytes(self, size: int) -> bytes:
        self.calls += 1
        return bytes((16 * (self.calls - 1) + at) % 256 for at in range(size))

    def token_hex(self, size: int) -> str:
        return self.token_bytes(size).hex()


def make(root: Path) -> None:
    """Make the repository at `root`, with palatine's own writer."""
    random = Counting()
    with (
        mock.patch.object(secrets, "token_bytes", random.token_bytes),
        mock.patch.object(secrets, "token_hex", random.token_hex),
    ):
        backend = LocalBackend(root)
        Repository.create(backend)
        with Repository(backend, None, Settings(workers=1)) as repository:
            _snapshot(repository)


def _snapshot(repository: Repository) -> None:
    with repository.writing("default", "Notes", TIME_US) as (session, writer):
        sink: Any = writer
        old = _directory(sink, b"old/", {b"2025.md": FILES[b"old/2025.md"]}, None)
        top = {name: data for name, data in FILES.items() if b"/" not in name}
        root = Entry(
            b"", EntryKind.DIRECTORY, 0o700, 0, MTIME_NS,
            parts=(Part(_directory(sink, b"", top, old), 0),),
        )  # fmt: skip
        writer.flush()
        size = sum(map(len, FILES.values()))
        made = Snapshot(
            "default", "Notes", TIME_US, TIME_US, "host", "ann", b"/home/ann/Notes", (), "first",
            "generic", ANN, root, (), Stats(3, 1, 1, size, writer.added), (), (), "palatine",
        )  # fmt: skip
        object_id, data = encode_snapshot_file(made, repository.digest)
        repository.snapshots.add_tag(Stored(object_id, session.key, made, ()), "Keep me")
        session.commit(data)


def _directory(sink: Any, path: bytes, files: dict[bytes, bytes], old: ObjectId | None) -> ObjectId:
    entries = [
        (Entry(name, EntryKind.FILE, 0o600, 0, MTIME_NS, len(data)), data)
        for name, data in files.items()
    ]
    if old is not None:
        parts = (Part(old, 0),)
        entries.append((Entry(b"old", EntryKind.DIRECTORY, 0o700, 0, MTIME_NS, parts=parts), b""))
        entries.append(
            (Entry(LINK, EntryKind.SYMLINK, 0o777, 0, MTIME_NS, target=b"old/2025.md"), b"")
        )
    builder = DirectoryBuilder(sink, Signatures(None), path, {})
    for entry, data in sorted(entries, key=lambda pair: pair[0].name):
        builder.add(entry, ANN, b"", data)
    return builder.finish()


def blocks(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each stored file's name and its annotated dump, in the page's order."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    order = ["config", "packs", "index", "snapshots", "tags"]
    for name in sorted(names, key=lambda name: (order.index(name.split("/")[0]), name)):
        data = (root / name).read_bytes()
        folder = name.split("/")[0]
        if folder == "config":
            yield name, data.decode().rstrip("\n")
        elif folder == "packs":
            yield name, "\n".join(_pack(data))
        elif folder == "index":
            yield name, "\n".join([_line(data[:8], "magic"), *_msgpack(data[8:])])
        elif folder == "snapshots":
            head = [_line(data[:8], "magic"), _line(data[8:40], "the snapshot's id")]
            yield name, "\n".join([*head, *_msgpack(data[40:])])
        else:
            yield name, ""
    yield "delta", "\n".join(_delta())


def _delta() -> Iterator[str]:
    data = delta.encode(CHANGED, BASE, bytes(range(32)), 5)
    yield _line(data[:32], "base id")
    yield _line(data[32:40], "ordinal 5")
    yield _line(data[40:44], f"length {len(CHANGED)}")
    yield _line(data[44:48], "granule 4096")
    yield _line(data[48:49], "bitmap of 3 pages: page 1")
    yield from _raw(data[49:], "zstd frame of the 4096 bytes of page 1")


def trees(repository: Any, tree: bytes) -> Iterator[tuple[str, str]]:
    """Yield each tree of a snapshot by its id, as the mini-reader gives it, dumped."""
    data = repository.get(Kind.TREE, tree)
    yield tree.hex(), "\n".join(_msgpack(data))
    for piece in repository.pieces(tree):
        for entry in piece[2]:
            if entry[1] == EntryKind.DIRECTORY:
                yield from trees(repository, entry[7][0][0])


def _pack(data: bytes) -> Iterator[str]:
    length, _, _ = struct.unpack("<I32s8s", data[-44:])
    footer = data[-44 - length : -44]
    yield _line(data[:8], "magic")
    yield _line(data[8:24], "random")
    frames, _ = msgspec.msgpack.decode(footer)
    for row in frames:
        yield from _raw(data[row[1] : row[1] + row[2]], f"frame at {row[1]}")
    yield from _msgpack(footer)
    yield _line(data[-44:-40], f"footer length {length}")
    yield _line(data[-40:-8], "digest of the footer")
    yield _line(data[-8:], "magic")


def _line(data: bytes, comment: str, depth: int = 0) -> str:
    return f"{'  ' * depth}{data.hex()}  ; {comment}"


def _raw(data: bytes, comment: str) -> Iterator[str]:
    for at in range(0, len(data), 32):
        yield _line(data[at : at + 32], comment if not at else "…")


def _msgpack(data: bytes) -> Iterator[str]:
    """Yield a line for each value of MessagePack data, what is in an array indented."""
    at = 0
    waiting: list[int] = []
    while at < len(data):
        size, count, comment = _value(data, at)
        yield _line(data[at : at + size], comment, len(waiting))
        at += size
        if waiting:
            waiting[-1] -= 1
        if count:
            waiting.append(count)
        while waiting and not waiting[-1]:
            waiting.pop()


def _value(data: bytes, at: int) -> tuple[int, int, str]:
    """Return a value's size (an array's head only), how many values are in it, and a comment."""
    first = data[at]
    if 0x90 <= first <= 0x9F:
        return 1, first & 15, f"array of {first & 15}"
    if first == 0xDC:
        count = int.from_bytes(data[at + 1 : at + 3], "big")
        return 3, count, f"array of {count}"
    if first == 0xC4:
        size = data[at + 1]
        value = data[at + 2 : at + 2 + size]
        printable = re.fullmatch(rb"[ -~]*", value)
        return 2 + size, 0, f'bytes "{value.decode()}"' if printable else "an id"
    if 0xA0 <= first <= 0xBF:
        size = first & 31
        return 1 + size, 0, f'text "{data[at + 1 : at + 1 + size].decode()}"'
    if first < 0x80:
        return 1, 0, str(first)
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}[first]
    return 1 + size, 0, str(int.from_bytes(data[at + 1 : at + 1 + size], "big"))


def page() -> str:
    """Return all blocks as they stand in the page."""
    from tests.docs import mini_reader

    found = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "repository"
        make(root)
        reader = mini_reader.Repository(root)
        ((_, _, snapshot),) = reader.snapshots()
        dumped = [*blocks(root)]
        for tree, text in trees(reader, snapshot[11][7][0][0]):
            dumped.append((f"tree {tree}", text))
    for name, text in dumped:
        language = "text" if name == "config" else "hex"
        found.append(f"```{language} {name}\n{text}\n```\n".replace("\n\n```", "\n```"))
    return "\n".join(found)


if __name__ == "__main__":
    print(page())
