"""docs/format.md against what palatine writes: the example, the numbers, and a second reader."""

from __future__ import annotations

import os
import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from tests.docs import example, mini_reader

import palatine
from palatine.backends.local import LocalBackend
from palatine.chunking import is_rewritten_in_place
from palatine.codec import delta
from palatine.model import filelist, names, pack, tree
from palatine.model.config import Chunking, Config, encode_config
from palatine.store import encoder, index, lineage, packer, resolve

PAGE = Path(__file__).parents[2] / "docs" / "format.md"
BLOCK = re.compile(r"^```(hex|text) (\S.*)\n((?:[^`].*\n)*)```$", re.MULTILINE)


def blocks(text: str) -> dict[str, bytes]:
    """Return the dumps of a page by their names."""
    return {
        match[2]: match[3].encode() if match[1] == "text" else _from_hex(match[3])
        for match in BLOCK.finditer(text)
    }


def _from_hex(dump: str) -> bytes:
    return b"".join(bytes.fromhex(line.partition(";")[0]) for line in dump.splitlines())


@pytest.fixture(scope="module")
def shown() -> dict[str, bytes]:
    return blocks(PAGE.read_text("utf-8"))


@pytest.fixture
def written(shown: dict[str, bytes], tmp_path: Path) -> mini_reader.Repository:
    """The files of the page's example, as a repository."""
    for name, data in shown.items():
        if "/" in name or name == "config":
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return mini_reader.Repository(tmp_path)


def test_the_example_is_what_palatine_writes_today(shown: dict[str, bytes]) -> None:
    fresh = blocks(example.page())
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    if f"made with zstd {version}." in PAGE.read_text("utf-8"):
        assert shown == fresh
        return
    # Another zstd may write other frames for the same bytes: all else has to be equal.
    same = [name for name in fresh if name.startswith(("config", "tree ", "tags/"))]
    assert {name: shown[name] for name in same} == {name: fresh[name] for name in same}
    (old,), (new,) = (
        [msgspec.msgpack.decode(data[40:]) for name, data in one.items() if "snapshots/" in name]
        for one in (shown, fresh)
    )
    assert [*old[:13], old[13][:4], *old[14:]] == [*new[:13], new[13][:4], *new[14:]]


def test_the_example_can_be_read_from_the_page(written: mini_reader.Repository) -> None:
    ((_, _, snapshot),) = written.snapshots()
    assert snapshot[:2] == ["default", "Notes"]
    found = {path: (entry, data) for path, entry, data in written.walk(snapshot[11][7][0][0])}
    files = {path: data for path, (entry, data) in found.items() if entry[1] == 0}
    assert files == example.FILES
    assert found[example.LINK][0][10] == b"old/2025.md"
    assert sorted(written.segments()) == sorted([n, *row] for n, row in written.rows.items())


def test_the_trees_shown_have_their_ids(
    shown: dict[str, bytes], written: mini_reader.Repository
) -> None:
    trees = {name[5:]: data for name, data in shown.items() if name.startswith("tree ")}
    assert len(trees) == 2
    for name, data in trees.items():
        assert written.get(mini_reader.TREE, bytes.fromhex(name)) == data


def test_the_delta_shown_can_be_applied(shown: dict[str, bytes]) -> None:
    assert mini_reader.apply_delta(shown["delta"], example.BASE) == example.CHANGED


# --- a second reader -----------------------------------------------------------------------------


def _palace(root: Path, rng: random.Random, blocks: int, block: int) -> None:
    """Make a palace with a bit of everything the format has a way to hold."""
    (root / "many").mkdir(parents=True)
    for number in range(3000):
        name = f"{number}-{rng.getrandbits(40):x}.md"
        (root / "many" / name).write_text(f"# Note {number}\n" + "word " * rng.randrange(200))
    (root / "empty").mkdir()
    (root / "none.txt").touch()
    (root / os.fsdecode(b"not-\xff-utf8")).write_bytes(b"name")
    (root / "index.usearch").write_bytes(rng.randbytes(blocks * block + 777))
    (root / "log.txt").write_bytes(rng.randbytes(3 << 20))
    (root / "small-again.txt").write_bytes(rng.randbytes(17_000))
    (root / "link.md").symlink_to("many/../none.txt")
    os.link(root / "small-again.txt", root / "twin.txt")
    with (root / "sparse.bin").open("wb") as file:
        file.seek(5 << 20)
        file.write(rng.randbytes(100_000))
        file.seek(9 << 20)
        file.write(b"end" * 5000)
        file.truncate(12 << 20)


def _day(root: Path, rng: random.Random, block: int) -> None:
    """Change a little everywhere."""
    with (root / "index.usearch").open("r+b") as file:
        size = file.seek(0, 2)
        for _ in range(6):
            file.seek(rng.randrange(size - 100))
            file.write(rng.randbytes(100))
        file.seek(0, 2)
        file.write(rng.randbytes(block // 3))
    text = (root / "log.txt").read_bytes()
    (root / "log.txt").write_bytes(text[:1_000_000] + b"a line" + text[1_000_000:] + b"more")
    for path in sorted((root / "many").iterdir())[::400]:
        path.write_bytes(path.read_bytes() + b"changed\n")
    sorted((root / "many").iterdir())[7].unlink()


def _source(root: Path) -> dict[bytes, tuple[int, bytes]]:
    found = {}
    for path in root.rglob("*"):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            found[name] = (2, os.fsencode(path.readlink()))
        elif path.is_dir():
            found[name] = (1, b"")
        else:
            found[name] = (0, path.read_bytes())
    return found


def _read(reader: mini_reader.Repository, root: bytes) -> dict[bytes, tuple[int, bytes]]:
    return {
        path: (entry[1], entry[10] if entry[1] == 2 else data)
        for path, entry, data in reader.walk(root)
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("blake3", Chunking(), 18), id="defaults"),
        pytest.param(("sha256", Chunking(4096, 4096, 8192, 16384), 5500), id="many-chunks"),
    ],
)
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[mini_reader.Repository, list[dict[bytes, tuple[int, bytes]]]]:
    """A repository with three days of a palace, and the palace as it was on each of them."""
    digest, chunking, count = request.param
    base = tmp_path_factory.mktemp("kept")
    rng = random.Random(7)
    backend = LocalBackend(base / "repository")
    backend.create("config", encode_config(Config(1, "0" * 32, digest, chunking)))
    _palace(base / "palace", rng, count, chunking.fixed)
    days = []
    with palatine.open_repository(base / "repository", cache=base / "cache") as repository:
        for _ in range(3):
            assert repository.snapshot(base / "palace").fresh
            days.append(_source(base / "palace"))
            _day(base / "palace", rng, chunking.fixed)
    return mini_reader.Repository(base / "repository"), days


Kept = tuple[mini_reader.Repository, list[dict[bytes, tuple[int, bytes]]]]


def _in_order(reader: mini_reader.Repository) -> list[list[Any]]:
    return sorted((body for _, _, body in reader.snapshots()), key=lambda body: int(body[2]))


def test_a_second_reader_reads_every_byte(kept: Kept) -> None:
    reader, days = kept
    snapshots = _in_order(reader)
    assert [_read(reader, body[11][7][0][0]) for body in snapshots] == days
    ids = {body[2]: object_id for _, object_id, body in reader.snapshots()}
    assert snapshots[1][7] == [ids[snapshots[0][2]]]


def test_the_repository_read_holds_everything_the_page_describes(kept: Kept) -> None:
    reader, _ = kept
    frames = {copy[0] for copies in reader.copies.values() for copy in copies}
    assert frames == {1, 2, 3} if reader.config["digest"] == "blake3" else frames >= {2, 3}
    granules = {
        int.from_bytes(copy[1][44:48], "little")
        for copies in reader.copies.values()
        for copy in copies
        if copy[0] == mini_reader.DELTA
    }
    assert granules == {0, 4096}
    entries = {path: e for path, e, _ in reader.walk(_in_order(reader)[0][11][7][0][0])}
    assert entries[b"index.usearch"][6] == (1 if reader.config["digest"] == "blake3" else 2)
    assert entries[b"twin.txt"][11] == b"small-again.txt"
    assert entries[b"sparse.bin"][8]


def test_footers_and_segments_say_the_same(kept: Kept) -> None:
    reader, _ = kept
    said = {name: row for name, *row in reader.segments()}
    assert said == reader.rows


def test_directories_are_cut_as_the_page_says(kept: Kept) -> None:
    reader, _ = kept
    for body in _in_order(reader):
        entries = {path: entry for path, entry, _ in reader.walk(body[11][7][0][0])}
        many = entries[b"many"][7][0][0]
        pieces = list(reader.pieces(many))
        assert len(pieces) > 3
        for number, (owners, pool, rows) in enumerate(pieces):
            ends = list(_piece_ends(rows))
            assert ends[:-1] == [False] * (len(rows) - 1)
            assert ends[-1] or number == len(pieces) - 1
            assert len(owners) == 1
            assert pool[0][1] == sum(row[5] for row in rows)
        assert msgspec.msgpack.decode(reader.get(mini_reader.TREE, many))[:2] == [1, 1]


def _piece_ends(rows: list[Any]) -> Iterator[bool]:
    pool = encoded = 0
    for count, row in enumerate(rows, 1):
        pool += row[5] if row[1] == 0 and not row[7] and not row[8] else 0
        encoded += len(msgspec.msgpack.encode(row))
        cut = count >= 64 and not zlib.crc32(row[0]) & 0xFF
        yield count >= 2048 or pool >= 512 << 10 or encoded >= 1 << 20 or cut


def test_lists_are_cut_as_the_page_says(kept: Kept) -> None:
    reader, _ = kept
    for body in _in_order(reader):
        entries = {path: entry for path, entry, _ in reader.walk(body[11][7][0][0])}
        level, parts = entries[b"index.usearch"][6:8]
        assert len(parts) <= 16
        while level:
            lists = [msgspec.msgpack.decode(reader.get(mini_reader.LIST, one)) for one, _ in parts]
            ends = [list(_list_ends(below)) for _, below in lists]
            assert not any(end for one in ends for end in one[:-1])
            assert all(one[-1] for one in ends[:-1])
            level, parts = level - 1, [part for _, below in lists for part in below]
        assert len(parts) > 16


def _list_ends(parts: list[Any]) -> Iterator[bool]:
    for count, (object_id, _) in enumerate(parts, 1):
        yield count >= 1024 or (count >= 64 and object_id[0] == 0)


# --- what the page says in passing ---------------------------------------------------------------


def test_names_are_encoded_as_the_page_says() -> None:
    plain = set(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
    rng = random.Random(3)
    for _ in range(2000):
        text = "".join(rng.choice("aZ9._-% /é漢.~") for _ in range(rng.randrange(1, 9)))
        encoded = "".join(
            chr(byte) if byte in plain or (byte == ord(".") and at) else f"%{byte:02x}"
            for at, byte in enumerate(text.encode())
        )
        assert names.escape(text) == encoded
        assert names.unescape(encoded) == text


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("It has at most {} KiB", tree.POOLED_MAX >> 10),
        ("its pool reaches {} KiB", tree.POOL_FULL >> 10),
        ("reach {} MiB, or", tree.PIECE_BYTES >> 20),
        ("- it has {} entries", tree.PIECE_MAX),
        ("it has at least {} entries", tree.PIECE_MIN),
        ("nodes have up to {} levels", tree.MAX_LEVEL),
        ("| name in a directory | {} bytes |", tree.NAME_MAX),
        ("a file of at most {} chunks", filelist.INLINE_MAX),
        ("when it has {} parts, or has at least 64", filelist.LIST_MAX),
        ("or has at least {} and the first byte", filelist.LIST_MIN),
        ("| object | {} MiB plain |", pack.OBJECT_MAX >> 20),
        ("ordinal < 2^{}", pack.ORDINAL_MAX.bit_length() - 1),
        ("pack ≤ {} GiB", pack.PACK_MAX >> 30),
        ("the *trailer*, {} bytes", pack.TRAILER.size),
        ("with which it reaches {} MiB or", packer.PACK_TARGET >> 20),
        ("MiB or {:,} objects", packer.MEMBERS_MAX),
        ("with which it covers {} packs", index.SEGMENT_PACKS),
        ("packs or {:,} objects; what", index.SEGMENT_OBJECTS),
        ("| index segment | none for readers; writers stop at {} packs", index.SEGMENT_PACKS),
        ("percent-encoded at most {} bytes", names.FILE_NAME_MAX),
        ("mtime from −2^{} to", (-tree.TIME_MIN_NS).bit_length() - 1),
        ("to 2^{} − 1; ids of 32 bytes; xattr", tree.TIME_MAX_NS.bit_length()),
        ("size 0 to 2^{} − 1", tree.SIZE_MAX.bit_length()),
        ("puts objects below {} KiB there", encoder.SOLID_BELOW >> 10),
        ("reaches {} KiB of plain bytes", encoder.SOLID_FULL >> 10),
        ("more than {} % of one", int(lineage.FRESH_START * 100)),
        ("{} for readers, ", resolve.CHAIN_MAX),
        ("192 for readers, {} for writers", lineage.DEPTH_MAX),
        ("length ≤ {} MiB", delta.LENGTH_MAX >> 20),
        ("Writers write 0 and {}", delta.PAGE),
        ("1 to {} bytes of UTF-8", names.LABEL_BYTES),
    ],
)
def test_the_numbers_are_the_code_s(said: str, value: int) -> None:
    assert said.format(value) in PAGE.read_text("utf-8")


def test_files_rewritten_in_place_are_those_named() -> None:
    text = PAGE.read_text("utf-8")
    for name in ("usearch", "redb", "db", "sqlite", "sqlite3"):
        assert f"`.{name}`" in text
        assert is_rewritten_in_place(b"a." + name.encode(), b"")
    for name in ("data_level0.bin", "link_lists.bin", "length.bin", "header.bin"):
        assert f"`{name}`" in text
        assert is_rewritten_in_place(name.encode(), b"")
    for head in (b"SQLite format 3\0", b"redb\x1a\x0a\xa9\x0d\x0a", b"usearch"):
        assert is_rewritten_in_place(b"x", head)
    assert not is_rewritten_in_place(b"notes.md", b"# Notes")
