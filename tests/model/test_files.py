"""The config and snapshot files: every byte of them is guarded."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.model.strategies import SNAPSHOTS
from tests.support import BLAKE3

from palatine.errors import Damaged, FormatTooNew, Malformed, PalatineError
from palatine.ids import Digest, Kind
from palatine.model.config import Chunking, Config, decode_config, encode_config
from palatine.model.encoding import encode
from palatine.model.snapshot import (
    MAGIC,
    VOID,
    Artifact,
    CapturedAs,
    Snapshot,
    Stats,
    decode_snapshot_file,
    encode_snapshot_file,
)
from palatine.model.tree import Entry, EntryKind, Owner, Part

CONFIG = Config(1, "0123456789abcdef" * 2, "blake3", Chunking())
ID = bytes(range(32))


def with_checksum(line: bytes) -> bytes:
    return b"%s\nsha256 %s\n" % (line, hashlib.sha256(line).hexdigest().encode())


def changed(**fields: object) -> bytes:
    values = json.loads(encode_config(CONFIG).split(b"\n")[0])
    return with_checksum(json.dumps(values | fields, separators=(",", ":")).encode())


def plain_snapshot() -> Snapshot:
    root = Entry(b"", EntryKind.DIRECTORY, 0o755, 0, 5, parts=(Part(ID, 0),))
    return Snapshot(
        "default", "alpha", 1, 1, "host", "user", b"/palace", (ID,), "", "generic",
        Owner(0, "root", 0, "root"), root, (), Stats(1, 0, 0, 3, 4), (), (), "palatine",
    )  # fmt: skip


def test_a_config_survives_its_encoding() -> None:
    assert decode_config(encode_config(CONFIG)) == CONFIG


def test_every_byte_of_a_config_is_guarded() -> None:
    data = encode_config(CONFIG)
    for at in range(len(data)):
        for mask in range(1, 256):
            bad = bytearray(data)
            bad[at] ^= mask
            with pytest.raises(Malformed):
                decode_config(bytes(bad))
    for length in range(len(data)):
        with pytest.raises(Malformed):
            decode_config(data[:length])
    with pytest.raises(Malformed):
        decode_config(data + b"\n")


@pytest.mark.parametrize(
    "fields",
    [
        {"palatine": 2},
        {"palatine": 99, "digest": "md5", "more": 1},
        {"features": ["sealed"]},
        {"features": ["sealed"], "more": 1},
        {"digest": "md5"},
    ],
)
def test_a_config_of_a_newer_palatine_says_so(fields: dict[str, object]) -> None:
    with pytest.raises(FormatTooNew) as raised:
        decode_config(changed(**fields))
    assert raised.value.hint == "upgrade palatine"


@pytest.mark.parametrize(
    "fields",
    [
        {"palatine": "1"},
        {"palatine": 0},
        {"id": "xyz"},
        {"id": "0123456789abcdef" * 2 + "\n"},
        {"digest": 5},
        {"more": 1},
        {"chunking": {"fixed": 0, "minimum": 4096, "average": 4096, "maximum": 4096}},
        {"chunking": {"fixed": 1 << 20, "minimum": 1, "average": 4096, "maximum": 8192}},
        {"chunking": {"fixed": 1 << 20, "minimum": 8192, "average": 4096, "maximum": 8192}},
        {"chunking": {"fixed": 1 << 40, "minimum": 4096, "average": 4096, "maximum": 8192}},
        {"chunking": {"fixed": 1 << 20, "minimum": 4096, "average": 4096, "maximum": 1 << 40}},
    ],
)
def test_impossible_configs_are_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode_config(changed(**fields))


@pytest.mark.parametrize("data", [b"", b"\n", b"{}", with_checksum(b"[]"), with_checksum(b"\xff")])
def test_what_is_no_config_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_config(data)


@given(SNAPSHOTS, st.sampled_from(["blake3", "sha256"]))
def test_a_snapshot_survives_its_file(snapshot: Snapshot, digest: str) -> None:
    object_id, data = encode_snapshot_file(snapshot, Digest(digest))
    assert decode_snapshot_file(data, "a name", Digest(digest)) == (object_id, snapshot)
    assert object_id == Digest(digest).object_id(Kind.SNAPSHOT, encode(snapshot))


def test_every_byte_of_a_snapshot_file_is_guarded() -> None:
    _, data = encode_snapshot_file(plain_snapshot(), BLAKE3)
    for at in range(len(data)):
        for mask in range(1, 256):
            bad = bytearray(data)
            bad[at] ^= mask
            with pytest.raises((Damaged, FormatTooNew), match="a name"):
                decode_snapshot_file(bytes(bad), "a name", BLAKE3)
    for length in range(len(data)):
        with pytest.raises(Damaged, match="a name"):
            decode_snapshot_file(data[:length], "a name", BLAKE3)
    with pytest.raises(Damaged, match="a name"):
        decode_snapshot_file(data + b"\0", "a name", BLAKE3)


def test_a_void_is_no_snapshot_and_no_damage() -> None:
    assert decode_snapshot_file(VOID, "a name", BLAKE3) is None


def test_a_snapshot_file_of_a_newer_palatine_says_so() -> None:
    _, data = encode_snapshot_file(plain_snapshot(), BLAKE3)
    with pytest.raises(FormatTooNew, match="a name"):
        decode_snapshot_file(data[:7] + b"\x02" + data[8:], "a name", BLAKE3)


def forged(snapshot: Snapshot) -> bytes:
    """Return a file whose id fits although the snapshot is impossible."""
    return encode_snapshot_file(snapshot, BLAKE3)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"palace": "../etc"},
        {"palace": ""},
        {"tenant": ".hidden"},
        {"tenant": "a/b"},
        {"parents": (ID[:5],)},
        {"time_us": 2**63},
        {"time_us": -(2**62)},
        {"root": Entry(b"", EntryKind.FILE, 0o755, 0, 5)},
        {"root": Entry(b"x", EntryKind.DIRECTORY, 0o755, 0, 5, parts=(Part(ID, 0),))},
        {"root": Entry(b"", EntryKind.DIRECTORY, 0o755, 0, 5, parts=(Part(ID[:9], 0),))},
        {"root": Entry(b"", EntryKind.DIRECTORY, 0o755, 1, 5, parts=(Part(ID, 0),))},
        {"root": Entry(b"", EntryKind.DIRECTORY, -1, 0, 5, parts=(Part(ID, 0),))},
        {"owner": Owner(-1, "", 0, "")},
    ],
)
def test_impossible_snapshots_are_refused_by_name(change: dict[str, object]) -> None:
    bad = msgspec.structs.replace(plain_snapshot(), **change)
    with pytest.raises(PalatineError):
        decode_snapshot_file(forged(bad), "a name", BLAKE3)


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_no_snapshot(data: bytes) -> None:
    assume(data != VOID)
    for body in (data, MAGIC + data, MAGIC + BLAKE3.object_id(Kind.SNAPSHOT, data) + data):
        with pytest.raises(Damaged):
            decode_snapshot_file(body, "a name", BLAKE3)


def test_a_config_with_more_than_it_needs_is_malformed() -> None:
    line, _, _ = encode_config(CONFIG).partition(b"\n")
    assert decode_config(with_checksum(line)) == CONFIG
    for other in (line.replace(b":", b": ", 1), line.replace(b',"features":[]', b"")):
        assert other != line
        with pytest.raises(Malformed, match="canonical"):
            decode_config(with_checksum(other))


def test_a_snapshot_of_the_time_before_health_is_read() -> None:
    artifact = Artifact(b"a.db", "sqlite", CapturedAs.PINNED)
    snapshot = msgspec.structs.replace(plain_snapshot(), artifacts=(artifact, artifact))
    data = encode(snapshot)
    short = data.replace(encode(artifact), b"\x93" + encode(artifact)[1:-1])
    assert len(short) == len(data) - 2
    object_id = BLAKE3.object_id(Kind.SNAPSHOT, short)
    found = decode_snapshot_file(MAGIC + object_id + short, "a name", BLAKE3)
    assert found == (object_id, snapshot)
    mixed = data.replace(encode(artifact), b"\x93" + encode(artifact)[1:-1], 1)
    with pytest.raises(Malformed, match="a name does not follow the format: its encoding"):
        decode_snapshot_file(
            MAGIC + BLAKE3.object_id(Kind.SNAPSHOT, mixed) + mixed, "a name", BLAKE3
        )
