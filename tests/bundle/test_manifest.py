"""The manifest: what is written is read, by any JSON parser too; what does not fit is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.strategies import NAMES, OWNERS, SNAPSHOTS, entries
from tests.support import BLAKE3

from palatine.bundle.native.manifest import (
    EntriesWriter,
    Head,
    Listed,
    ManifestReader,
    encode_end,
    encode_head,
    listed,
)
from palatine.bundle.native.record import Raw, name, raw, record_of
from palatine.errors import FormatTooNew, Malformed
from palatine.model.snapshot import (
    Outside,
    Snapshot,
    Stats,
    decode_snapshot_file,
    encode_snapshot_file,
)
from palatine.model.tree import Entry, EntryKind, Owner
from palatine.store.snapshots import Stored

OWNER = Owner(1000, "anna", 100, "users")
SNAPSHOT = Snapshot(
    "default", "alpha", 5, 5, "host", "user", b"/\xff", (), "", "generic", OWNER,
    Entry(b"", EntryKind.DIRECTORY, 0o755, 0, 0), (), Stats(1, 1, 0, 3, 0), (), (), "palatine",
)  # fmt: skip


def entry(path: str, kind: str = "file", **more: Any) -> Listed:
    return Listed(path=path, kind=kind, **{"mode": "0644", "mtime_ns": 5, **more})  # type: ignore[arg-type]


def directory(path: str) -> Listed:
    return entry(path, "directory")


def written(found: Sequence[Listed], outside: Sequence[str] = (), **more: object) -> bytes:
    """Return a manifest with a head that fits the entries, save where `more` says otherwise."""
    spool = io.BytesIO()
    writer = EntriesWriter(spool)
    for one in found:
        writer.add(one)
    part = SNAPSHOT.root
    parts = tuple(Outside(one, b"/elsewhere", OWNER, part) for one in outside)
    snapshot = msgspec.structs.replace(SNAPSHOT, outside=parts)
    record = record_of(Stored(bytes(32), "key", snapshot, ("tag",)))
    fields: dict[str, Any] = {
        "palatine_bundle": 1, "digest": "blake3", "snapshot": record, "redacted": None,
        "size": writer.size, "data": writer.data, "count": writer.count,
    }  # fmt: skip
    return encode_head(Head(**{**fields, **more})) + spool.getvalue() + encode_end()


def read(data: bytes) -> list[Listed]:
    return list(ManifestReader(io.BytesIO(data)).entries())


PALACE = directory("palace")
GOOD = [
    PALACE, directory("palace/a"), entry("palace/a/b", size=10, holes=((2, 3), (5, 5))),
    entry("palace/a/c", size=10, link="palace/a/b"), entry("palace/a.b", size=4),
    entry("palace/d", "symlink", target="a"),
]  # fmt: skip


def test_what_is_written_is_read() -> None:
    data = written(GOOD)
    assert read(data) == GOOD
    document = json.loads(data)
    assert (document["count"], document["size"], document["data"]) == (6, 14, 6)
    assert [one["path"] for one in document["entries"]] == [one.path for one in GOOD]
    assert data.count(b"\n") == 1 + 6 + 1
    assert [json.loads(line.rstrip(b",")) for line in data.splitlines()[1:-1]] == (
        document["entries"]
    )


@given(data=st.data())
def test_every_entry_is_kept(data: st.DataObject) -> None:
    found = data.draw(entries(data.draw(NAMES), 1))
    owner, palace = data.draw(OWNERS), data.draw(OWNERS)
    path, link = b"palace/" + found.name, data.draw(st.one_of(st.just(b""), NAMES))
    if found.kind != EntryKind.FILE:
        link = b""
    mine = None if owner == palace else owner
    one = listed(path, found, mine, link, False)
    (_, again) = read(written([PALACE, one]))
    assert again == one
    assert again.owned_by(palace) == owner
    assert again.raw_path == path
    assert again.entry() == msgspec.structs.replace(found, level=0, parts=(), owner=0, link=link)


@given(snapshot=SNAPSHOTS)
def test_every_snapshot_is_kept(snapshot: Snapshot) -> None:
    object_id, _ = encode_snapshot_file(snapshot, BLAKE3)
    record = record_of(Stored(object_id, "key", snapshot, ()))
    again = msgspec.json.decode(msgspec.json.encode(record), type=type(record))
    outside = [(part.owner, part.root) for part in snapshot.outside]
    made = again.snapshot(snapshot.root, outside)
    assert made == snapshot
    made_id, data = encode_snapshot_file(made, BLAKE3)
    assert made_id.hex() == again.id
    assert decode_snapshot_file(data, "it", BLAKE3) == (object_id, snapshot)


@given(value=st.binary(max_size=20))
def test_names(value: bytes) -> None:
    assert raw(name(value)) == value
    assert isinstance(name(value), str) == (value.decode("utf-8", "ignore").encode() == value)


def test_a_name_has_one_way_to_be_written() -> None:
    with pytest.raises(Malformed, match="without need"):
        raw(Raw(bytes="YQ=="))
    with pytest.raises(Malformed, match="base64"):
        raw(Raw(bytes="!"))


def test_what_is_not_known_is_passed_over() -> None:
    data = written(GOOD).replace(b'"digest"', b'"x_new":{"a":[1]},"digest"', 1)
    data = data.replace(b'"mode"', b'"x_more":"?","mode"')
    assert read(data) == GOOD


def test_outside_parts_follow_in_their_order() -> None:
    parts = [directory("outside/z"), entry("outside/z/f"), directory("outside/b")]
    assert read(written([PALACE, *parts], ["z", "b"])) == [PALACE, *parts]
    for wrong in (["b", "z"], ["z"], ["z", "b", "c"], []):
        with pytest.raises(Malformed):
            read(written([PALACE, *parts], wrong))


@pytest.mark.parametrize(
    "found",
    [
        [],
        [directory("other")],
        [entry("palace")],
        [PALACE, PALACE],
        [PALACE, entry("/etc/passwd")],
        [PALACE, entry("palace/../a")],
        [PALACE, entry("palace//a")],
        [PALACE, entry("palace/.")],
        [PALACE, entry("palace/a\0b")],
        [PALACE, entry("palacea")],
        [PALACE, entry("manifest.json")],
        [PALACE, entry("palace/b"), entry("palace/a")],
        [PALACE, entry("palace/a"), entry("palace/a")],
        [PALACE, entry("palace/a/b")],
        [PALACE, entry("palace/a"), entry("palace/a/b")],
        [PALACE, directory("palace/a"), entry("palace/a/b/c")],
        [PALACE, directory("palace/a"), entry("palace/b"), entry("palace/a/c")],
        [PALACE, entry("palace/a", size=-1)],
        [PALACE, entry("palace/a", size=1, holes=((0, 2),))],
        [PALACE, entry("palace/a", size=9, holes=((3, 2), (4, 1)))],
        [PALACE, entry("palace/a", "directory", size=1)],
        [PALACE, entry("palace/a", "symlink")],
        [PALACE, entry("palace/a", target="x")],
        [PALACE, entry("palace/a", own=True)],
    ],
)
def test_lists_that_cannot_be(found: list[Listed]) -> None:
    with pytest.raises(Malformed):
        read(written(found))


@pytest.mark.parametrize("mode", ["644", "0o644", "-001", "10000", "+644", "0008", "00644", ""])
def test_modes_that_are_none(mode: str) -> None:
    with pytest.raises(Malformed, match="mode"):
        entry("palace/a", mode=mode).entry()


@pytest.mark.parametrize("wrong", ["size", "data", "count"])
@pytest.mark.parametrize("by", [-1, 1])
def test_sums_that_do_not_fit(wrong: str, by: int) -> None:
    right: dict[str, Any] = {"size": 14, "data": 6, "count": 6}
    right[wrong] += by
    with pytest.raises(Malformed):
        read(written(GOOD, **right))


def test_a_later_format_is_too_new() -> None:
    with pytest.raises(FormatTooNew, match="newer than 1"):
        ManifestReader(io.BytesIO(b'{"palatine_bundle":2,"entries":[\n]}\n'))


def test_cut_short_anywhere() -> None:
    data = written(GOOD)
    for end in range(len(data)):
        with pytest.raises(Malformed):
            read(data[:end])


@given(at=st.integers(0, len(written(GOOD)) - 1), byte=st.integers(0, 255))
def test_another_byte_is_refused_or_says_something_else(at: int, byte: int) -> None:
    data = bytearray(written(GOOD))
    data[at] = byte
    try:
        found = read(bytes(data))
        for one in found:
            one.entry()
    except (Malformed, FormatTooNew):
        return
    assert len(found) == len(GOOD)


@pytest.mark.parametrize("more", [b"x", b"\n", b"]}\n", b" "])
def test_nothing_may_follow(more: bytes) -> None:
    with pytest.raises(Malformed):
        read(written(GOOD) + more)


def test_a_line_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palatine.bundle.native.manifest.LINE_MAX", 2000)
    assert read(written(GOOD)) == GOOD
    with pytest.raises(Malformed, match="too long"):
        read(written([PALACE, entry("palace/" + "x" * 2000)]))
