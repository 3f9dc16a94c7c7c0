"""Trees: one encoding for one tree, and nothing decodes that is not a tree."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.strategies import LISTS, node_values, piece_values

from palatine.errors import Malformed
from palatine.model.encoding import encode
from palatine.model.filelist import FileList, decode_list
from palatine.model.tree import (
    EMPTY_TREE,
    Branch,
    Entry,
    EntryKind,
    Node,
    Owner,
    Part,
    Piece,
    Tree,
    decode_tree,
    encode_piece,
)

ID = bytes(range(32))
OWNER = Owner(0, "root", 0, "root")
TREES = st.one_of(piece_values(), node_values())


def file(name: bytes, **changes: Any) -> Entry:
    return Entry(**{"name": name, "kind": EntryKind.FILE, "mode": 0o644, "owner": 0,
                    "mtime_ns": 1, "size": 5, **changes})  # fmt: skip


def piece(*entries: Entry) -> bytes:
    pooled = sum(entry.size for entry in entries if entry.pooled)
    return encode(Piece((OWNER,), (Part(ID, pooled),) if pooled else (), entries))


@given(TREES)
def test_a_tree_survives_its_encoding(tree: Tree) -> None:
    assert decode_tree(encode(tree), ID) == tree


@given(TREES)
def test_a_tree_has_one_encoding(tree: Tree) -> None:
    data = encode(tree)
    assert encode(decode_tree(data, ID)) == data


@given(TREES, st.data())
def test_no_other_encoding_of_a_tree_is_one(tree: Tree, draw: st.DataObject) -> None:
    """An integer that takes more bytes than it must, for instance."""
    data = encode(tree)
    small = [at for at, byte in enumerate(data) if byte < 0x80]
    at = draw.draw(st.sampled_from(small))
    other = data[:at] + b"\xcc" + data[at:]
    with pytest.raises(Malformed):
        decode_tree(other, ID)


def test_the_message_says_that_an_encoding_is_not_canonical() -> None:
    for longer in (b"\xdc\x00\x04\x00\x90\x90\x90", b"\x94\xcc\x00\x90\x90\x90"):
        with pytest.raises(Malformed, match="not canonical"):
            decode_tree(longer, ID)
    whole = encode(Entry(b"a", EntryKind.FILE, 0o644, 0, 1))
    short = b"\x95" + whole[1 : len(encode((b"a", 0, 0o644, 0, 1)))]
    tree = piece(Entry(b"a", EntryKind.FILE, 0o644, 0, 1))
    assert isinstance(decode_tree(tree, ID), Piece)
    with pytest.raises(Malformed, match="not canonical"):
        decode_tree(tree.replace(whole, short), ID)
    parts = encode(FileList(1, (Part(ID, 5),)))
    assert decode_list(parts, ID).level == 1
    with pytest.raises(Malformed, match="not canonical"):
        decode_list(parts[:1] + b"\xcc" + parts[1:], ID)


@given(piece_values())
def test_a_piece_built_of_encoded_entries_is_the_piece_encoded(value: Piece) -> None:
    entries = b"".join(encode(entry) for entry in value.entries)
    built = encode_piece(value.owners, value.pool, entries, len(value.entries))
    assert built == encode(value)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 300, 2048])
def test_pieces_of_every_length_of_header_are_built_alike(count: int) -> None:
    entries = [file(b"%05d" % number, size=0) for number in range(count)]
    joined = b"".join(encode(entry) for entry in entries)
    assert encode_piece((OWNER,), (), joined, count) == encode(Piece((OWNER,), (), tuple(entries)))


def test_the_empty_tree_is_a_tree() -> None:
    assert decode_tree(EMPTY_TREE, ID) == Piece((), (), ())


@given(TREES, st.binary(min_size=1, max_size=5))
def test_nothing_may_follow_a_tree(tree: Tree, rest: bytes) -> None:
    with pytest.raises(Malformed):
        decode_tree(encode(tree) + rest, ID)


@given(TREES, st.data())
def test_a_tree_cut_short_is_malformed(tree: Tree, data: st.DataObject) -> None:
    whole = encode(tree)
    with pytest.raises(Malformed):
        decode_tree(whole[: data.draw(st.integers(0, len(whole) - 1))], ID)


@given(TREES, st.data())
def test_a_flipped_byte_means_something_else_or_is_malformed(
    tree: Tree, data: st.DataObject
) -> None:
    whole = bytearray(encode(tree))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    said, decoded = ID.hex(), None
    try:
        decoded = decode_tree(bytes(whole), ID)
    except Malformed as error:
        said = str(error)
    assert ID.hex() in said
    assert decoded != tree


@pytest.mark.parametrize("bad", [b"", b".", b"..", b"a/b", b"/", b"a\0b", b"\0", b"x" * 4097])
def test_bad_names_are_refused_by_the_name_of_the_tree(bad: bytes) -> None:
    with pytest.raises(Malformed, match=ID.hex()):
        decode_tree(piece(file(bad)), ID)
    with pytest.raises(Malformed, match=ID.hex()):
        decode_tree(encode(Node(1, (Branch(bad, ID, 1),))), ID)


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"c", b"b")])
def test_names_out_of_order_or_twice_are_refused(names: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed, match="order"):
        decode_tree(piece(*(file(name) for name in names)), ID)
    with pytest.raises(Malformed, match="order"):
        decode_tree(encode(Node(1, tuple(Branch(name, ID, 1) for name in names))), ID)


BAD_ENTRIES: dict[str, dict[str, object]] = {
    "a mode beyond the permission bits": {"mode": 0o10000},
    "a negative mode": {"mode": -1},
    "an owner that is not in the piece": {"owner": 1},
    "a negative owner": {"owner": -1},
    "a negative size": {"size": -1},
    "a size that no system can hold": {"size": 2**63, "parts": (Part(ID, 2**63),)},
    "an id that is too short": {"size": 9, "parts": (Part(ID[:31], 9),)},
    "parts that do not add up": {"size": 9, "parts": (Part(ID, 8),)},
    "a part of negative size": {"size": 9, "parts": (Part(ID, 10), Part(ID, -1))},
    "a hole beyond the end": {"size": 9, "holes": ((5, 5),), "parts": (Part(ID, 4),)},
    "holes that overlap": {"size": 9, "holes": ((0, 5), (4, 4))},
    "a hole of no length": {"size": 9, "holes": ((0, 0),), "parts": (Part(ID, 9),)},
    "a level beyond the deepest": {"size": 9, "level": 9, "parts": (Part(ID, 9),)},
    "a pooled file that is too large for a pool": {"size": 16 * 1024 + 1},
    "a directory without a tree": {"kind": EntryKind.DIRECTORY, "size": 0},
    "a directory with two": {
        "kind": EntryKind.DIRECTORY, "size": 0, "parts": (Part(ID, 0), Part(ID, 0)),
    },
    "a symlink to nothing": {"kind": EntryKind.SYMLINK, "size": 0},
    "a symlink with bytes": {
        "kind": EntryKind.SYMLINK, "size": 0, "target": b"x", "parts": (Part(ID, 0),),
    },
    "a symlink that no system can make": {
        "kind": EntryKind.SYMLINK, "size": 0, "target": b"a\0b",
    },
    "an attribute that no system can set": {"xattrs": ((b"user.a\0b", b""),)},
    "a first name outside the palace": {"link": b"../../etc/passwd"},
    "a first name from the root": {"link": b"/etc/passwd"},
    "a first name that is no path": {"link": b"a//b"},
    "a first name with a NUL": {"link": b"a\0b"},
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ENTRIES)
def test_impossible_entries_are_refused(what: str) -> None:
    with pytest.raises(Malformed, match=ID.hex()):
        decode_tree(piece(file(b"name", **BAD_ENTRIES[what])), ID)


@pytest.mark.parametrize(
    "owner",
    [Owner(-1, "", 0, ""), Owner(0, "", 2**32, ""), Owner(0, "a\0b", 0, ""), Owner(0, "", 0, "\0")],
)
def test_owners_that_no_system_has_are_refused(owner: Owner) -> None:
    with pytest.raises(Malformed, match=ID.hex()):
        decode_tree(encode(Piece((owner,), (), (file(b"name", size=0),))), ID)


def test_a_pool_must_fit_its_entries() -> None:
    for pool in ((), (Part(ID, 4),), (Part(ID, 2), Part(ID, 3)), (Part(ID[:8], 5),)):
        with pytest.raises(Malformed):
            decode_tree(encode(Piece((OWNER,), pool, (file(b"name"),))), ID)


def test_unknown_fields_kinds_and_tags_are_refused() -> None:
    entry = [b"name", 0, 0o644, 0, 1, 0]
    bad: object
    for bad in (
        [0, [], [], [[*entry, 0, [], [], [], b"", b"", "more"]]],
        [0, [], [], [[b"name", 3, 0o644, 0, 1, 0]]],
        [0, [], [], [["name", 0, 0o644, 0, 1, 0]]],
        [0, [], [], [], "more"],
        [2, [], [], []],
        [0, [], []],
        {"owners": []},
        None,
    ):
        with pytest.raises(Malformed):
            decode_tree(msgspec.msgpack.encode(bad), ID)


@pytest.mark.parametrize("level", [-1, 0, 9])
def test_nodes_of_impossible_levels_are_refused(level: int) -> None:
    with pytest.raises(Malformed):
        decode_tree(encode(Node(level, (Branch(b"a", ID, 1),))), ID)
    with pytest.raises(Malformed):
        decode_tree(encode(Node(1, ())), ID)


def test_an_array_that_says_it_is_huge_allocates_nothing() -> None:
    for data in (b"\x94\x00\xdd\xff\xff\xff\xff", b"\x94\x00\x90\x90\xdd\x7f\xff\xff\xff",
                 b"\xc6\xff\xff\xff\xff", b"\x94\x00\x90\x90\x91\xc6\xff\xff\xff\xff"):  # fmt: skip
        with pytest.raises(Malformed):
            decode_tree(data, ID)


def test_data_nested_without_end_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_tree(b"\x91" * 1_000_000, ID)


@given(LISTS)
def test_a_list_survives_its_encoding(value: FileList) -> None:
    data = encode(value)
    assert decode_list(data, ID) == value
    assert encode(decode_list(data, ID)) == data
    with pytest.raises(Malformed):
        decode_list(data + b"\0", ID)


@pytest.mark.parametrize(
    "value",
    [
        FileList(0, (Part(ID, 1),)),
        FileList(9, (Part(ID, 1),)),
        FileList(1, ()),
        FileList(1, (Part(ID, 0),)),
        FileList(1, (Part(ID, -1),)),
        FileList(1, (Part(ID[:31], 1),)),
        FileList(1, (Part(ID, 1),) * 1025),
    ],
)
def test_impossible_lists_are_refused(value: FileList) -> None:
    with pytest.raises(Malformed, match=ID.hex()):
        decode_list(encode(value), ID)
