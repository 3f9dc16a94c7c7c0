"""Good bundles, changed at random: a clean error, or exactly what was exported.

Each property takes 60 inputs, 20 000 with PALATINE_TORTURE: of the file's bytes, the archive's
bytes and the manifest's; and of the way from the file on. What is wanted of each: a PalatineError,
or the very same trees.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.handmade import Handmade
from tests.bundle.hostile import zstd
from tests.support import count

from palatine import api
from palatine.bundle.limits import Guard, Limits
from palatine.bundle.native.intake import Intake
from palatine.bundle.native.matching import NativeBundle
from palatine.bundle.zstd import outline as zframes
from palatine.errors import PalatineError
from palatine.events import SILENT
from palatine.ids import Buffer, Digest, Kind, ObjectId
from palatine.model.config import Chunking
from palatine.model.snapshot import Snapshot

INPUTS = count(60, 20_000)
LIMITS = Limits(max_size=1 << 26)


class Sink:
    """Keeps nothing but the objects' bytes by id."""

    def __init__(self) -> None:
        self._digest = Digest("blake3")
        self.kept: dict[ObjectId, bytes] = {}

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        object_id = self._digest.object_id(kind, data)
        self.kept[object_id] = bytes(data)
        return object_id

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        return self._digest.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        return object_id in self.kept

    def get(self, kind: Kind, object_id: ObjectId) -> bytes:
        return self.kept[object_id]


def taken(data: bytes) -> Snapshot:
    """Return the snapshot that an import would make of a bundle's bytes."""
    raw = io.BytesIO(data)
    guard = Guard(zframes.decompressed(raw), LIMITS, raw.tell)
    with NativeBundle(guard, LIMITS) as bundle:
        made = Intake(Sink(), Chunking(), SILENT).take(bundle.head, bundle.entries())
    assert not guard.read(1)
    return made


TAR = Handmade().tar()
WHOLE = zstd(TAR)
RIGHT = taken(WHOLE)
ENDS = TAR.index(b"]}\n") + 3

Edit = tuple[str, int, int, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "copy", "swap"]),
        st.integers(0, 1 << 20),
        st.integers(1, 2000),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=3,
)


def edited(data: bytes, edits: list[Edit], first: int = 0, last: int | None = None) -> bytes:
    """Return `data` with edits between two places."""
    for deed, where, length, new in edits:
        end = len(data) if last is None else last
        at = first + where % max(1, end - first)
        stop = min(at + length, end)
        data = {
            "set": data[:at] + new + data[at + len(new) :],
            "cut": data[:at] + data[stop:],
            "insert": data[:at] + new + data[at:],
            "copy": data[:stop] + data[at:stop] + data[stop:],
            "swap": data[:at] + data[at:stop][::-1] + data[stop:],
        }[deed]
    return data


def check(data: bytes, same: bool = True) -> None:
    """Assert that a bundle is refused cleanly, or is what it was."""
    try:
        made = taken(data)
    except PalatineError:
        return
    if same:
        assert (made.root, made.owner, made.stats) == (RIGHT.root, RIGHT.owner, RIGHT.stats)


@settings(max_examples=INPUTS)
@given(edits=EDITS)
def test_the_file(edits: list[Edit]) -> None:
    check(edited(WHOLE, edits))


@settings(max_examples=INPUTS)
@given(edits=EDITS)
def test_the_archive(edits: list[Edit]) -> None:
    check(zstd(edited(TAR, edits)))


@settings(max_examples=INPUTS)
@given(edits=EDITS)
def test_the_manifest_where_it_lies(edits: list[Edit]) -> None:
    check(zstd(edited(TAR, edits, 512, ENDS)))


@settings(max_examples=INPUTS)
@given(edits=EDITS)
def test_a_manifest_that_its_hash_fits(edits: list[Edit]) -> None:
    made = Handmade()
    made.manifest_bytes = lambda data: edited(data, edits)
    # whoever writes another manifest, with its hash, has made another bundle: it need only be sound
    check(made.bundle(), same=False)


@settings(max_examples=INPUTS)
@given(edits=EDITS)
def test_headers_that_their_checksums_fit(edits: list[Edit]) -> None:
    blocks = [TAR[at : at + 512] for at in range(0, len(TAR), 512)]
    for deed, where, length, new in edits:
        at = where % len(blocks)
        if blocks[at][257:262] == b"ustar":
            blocks[at] = _resealed(edited(blocks[at], [(deed, length, 30, new)], 0, 512)[:512])
    check(zstd(b"".join(blocks)))


@settings(max_examples=INPUTS)
@given(edits=EDITS, whole=st.sampled_from([WHOLE, TAR, zstd(b""), b""]), tail=st.binary())
def test_the_whole_way(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Edit], whole: bytes, tail: bytes
) -> None:
    """Whatever a file is taken for, also for another tool's: no error but ours."""
    top = tmp_path_factory.mktemp("file", numbered=True)
    (top / "file").write_bytes(edited(whole, edits) + tail)
    with contextlib.suppress(PalatineError):
        report = api.verify_bundle(top / "file", cache=top / "cache")
        assert report.damage or report.unchecked or report.files == 5


def _resealed(block: bytes) -> bytes:
    block = block.ljust(512, b"\0")
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


@pytest.mark.parametrize("read", [lambda data: data, zstd], ids=["file", "archive"])
def test_what_was_not_changed_is_taken(read: Callable[[bytes], bytes]) -> None:
    assert taken(read(WHOLE if read(b"") == b"" else TAR)) == RIGHT
