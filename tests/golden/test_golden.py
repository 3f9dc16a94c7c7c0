"""What was written once is read for ever: bytes and ids on record, and whole repositories."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.golden.make import facts
from tests.golden.values import (
    CONFIG,
    DIGESTS,
    ENCODINGS,
    FRAMES,
    HERE,
    ID,
    LIST,
    NODE,
    PIECE,
    PLAIN,
    RECORD,
    SNAPSHOT,
    base,
    versions,
)
from tests.support import SETTINGS

import palatine
from palatine.codec import delta
from palatine.ids import Digest, Kind
from palatine.model.config import decode_config
from palatine.model.filelist import decode_list
from palatine.model.pack import Listing, check_footer, decode_footer, decode_segment
from palatine.model.snapshot import decode_snapshot_file
from palatine.model.tree import decode_tree
from palatine.testing.builders import state_of


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def recorded(record: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(record["encodings"][name])


@pytest.mark.parametrize("name", ENCODINGS)
def test_todays_code_writes_the_bytes_on_record(record: dict[str, Any], name: str) -> None:
    assert ENCODINGS[name]().hex() == record["encodings"][name]


def test_todays_code_reads_the_bytes_on_record(record: dict[str, Any]) -> None:
    assert decode_tree(recorded(record, "piece"), ID) == PIECE
    assert decode_tree(recorded(record, "node"), ID) == NODE
    assert decode_list(recorded(record, "list"), ID) == LIST
    assert decode_config(recorded(record, "config")) == CONFIG
    listing = Listing(ID, 6000, tuple(FRAMES))
    assert decode_segment(recorded(record, "segment"), "index/x") == (listing,)
    footer = recorded(record, "footer")
    assert decode_footer(footer, ID, 6000) == listing
    for name in DIGESTS:
        digest = Digest(name)
        check_footer(footer, recorded(record, f"trailer {name}"), ID, digest)
        decoded = decode_snapshot_file(recorded(record, f"snapshot file {name}"), "x", digest)
        assert decoded is not None
        assert decoded[1] == SNAPSHOT


def test_ids_are_those_on_record(record: dict[str, Any]) -> None:
    assert [bytes.fromhex(one["plain"]) for one in record["ids"]] == PLAIN
    for one in record["ids"]:
        for name in DIGESTS:
            for kind in Kind:
                found = Digest(name).object_id(kind, bytes.fromhex(one["plain"]))
                assert found.hex() == one[name][kind.name.lower()]


def test_ids_are_what_the_format_says_by_the_standard_library_alone(
    record: dict[str, Any],
) -> None:
    for one in record["ids"]:
        for kind, found in one["sha256"].items():
            hashed = hashlib.sha256(kind.encode() + b"\0" + bytes.fromhex(one["plain"]))
            assert hashed.hexdigest() == found


@pytest.mark.parametrize("name", versions())
def test_deltas_on_record_still_give_what_they_gave(record: dict[str, Any], name: str) -> None:
    payload = base64.b64decode(record["deltas"][name])
    assert delta.read_head(payload)[:2] == (ID, 9)
    target = bytearray(base())
    delta.apply(payload, target)
    assert target == versions()[name]


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("without", ["nothing", "index"])
def test_a_repository_on_record_is_read_whole(
    record: dict[str, Any], tmp_path: Path, digest: str, without: str
) -> None:
    shutil.copytree(HERE / digest, tmp_path / "repository")
    if without == "index":
        shutil.rmtree(tmp_path / "repository" / "index")
    with palatine.open_repository(
        tmp_path / "repository", cache=tmp_path / "cache", settings=SETTINGS
    ) as repository:
        assert repository.verify(data=True).ok
        expected = record["repositories"][digest]
        assert [stored.id.hex() for stored in reversed(repository.log())] == [
            one["id"] for one in expected
        ]
        kinds = {total.frame.name for total in repository.stats().objects}
        assert kinds == {"PLAIN", "SOLID", "DELTA"} or kinds == {"SOLID", "DELTA"}
        for number, one in enumerate(expected):
            target = tmp_path / f"{number}"
            repository.restore(f"palace#v{number}", target)
            assert facts(state_of(target)) == one["state"]
            assert (target / "sub" / "sparse.bin").stat().st_blocks < 64
